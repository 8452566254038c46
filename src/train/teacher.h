/* A teacher: another model over the same vocabulary, whose distributions a training learns from beside the labels
 * (Hinton et al., arXiv:1503.02531; cross_entropy.h has the loss). It reads the rows of a pass once, document by
 * document, and keeps what its output projection takes; logits are made for a tile of rows at a time.
 */
#ifndef MN_TRAIN_TEACHER_H
#define MN_TRAIN_TEACHER_H

#include "model/model.h"
#include "model/sequence.h"
#include "train/cross_entropy.h"

struct mn_train_batch;

typedef struct mn_teacher {
    mn_model model;
    const mn_compute *compute; /* of the pass; borrowed */
    mn_sequence sequence;
    float *hidden; /* [n_rows, n_embd], normed */
    int64_t capacity;
} mn_teacher;

/* Maps the model of any types at path. Errors: another vocabulary than the student's, a window that its positions do
 * not reach. The caller closes it. */
mn_status mn_teacher_open(const char *path, const mn_model *student, int64_t window, mn_teacher *out, mn_error *err);
/* One that reads over a dry pool and keeps nothing: for a plan. */
mn_status mn_teacher_open_dry(const char *path, const mn_model *student, int64_t window, mn_teacher *out,
                              mn_error *err);
void mn_teacher_close(mn_teacher *t);

/* Reads the rows of the pass that stands in the batch. Cost: a forward pass of the teacher without its logits. */
mn_status mn_teacher_read(mn_teacher *t, const mn_compute *compute, const struct mn_train_batch *batch, mn_error *err);
/* Logits of rows of that pass; arg: the teacher. */
mn_teacher_fn mn_teacher_logits;

#endif
