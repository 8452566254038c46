/* Cross-entropy fused with the output projection: the loss and its gradients, a tile of rows at a time, so that logits
 * [n_rows, n_vocab] never stand in memory.
 *
 *   l = softcap(x W^T + b)           p = softmax(l)
 *   loss of a row = weight ((1 - share) (-log p[label]) + share T^2 KL(t || s)),
 *       t = softmax(teacher's logits / T), s = softmax(l / T)
 *
 * the second term being distillation (Hinton et al., arXiv:1503.02531, section 2; T^2 keeps its gradient's size when
 * the temperature changes). Rows of weight 0, and rows without a label where there is no teacher, cost nothing: tiles
 * are made of the others.
 */
#ifndef MN_TRAIN_CROSS_ENTROPY_H
#define MN_TRAIN_CROSS_ENTROPY_H

#include "base/status.h"
#include "kernels/compute.h"
#include "tensor/tensor.h"

#include <stdint.h>

enum { MN_NO_LABEL = -1 };

/* The teacher's logits [n, n_vocab] for n rows of the step, by their numbers; may be overwritten by the caller. */
typedef mn_status mn_teacher_fn(void *arg, const int64_t *rows, int64_t n, float *logits, mn_error *err);

typedef struct mn_cross_entropy {
    const float *x; /* [n_rows, n_embd], normalised, as the output projection takes it */
    int64_t n_rows;
    const mn_tensor *w;     /* [n_vocab, n_embd], of any type; tied or not */
    const float *bias;      /* [n_vocab] or NULL */
    float softcap;          /* 0 = none */
    const int32_t *labels;  /* [n_rows]; MN_NO_LABEL (or any negative): none */
    const float *weights;   /* [n_rows] >= 0, or NULL = 1 */
    mn_teacher_fn *teacher; /* NULL: labels alone */
    void *teacher_arg;
    float temperature, share; /* with a teacher */
    float scale;              /* of the gradients: 1 over the weights of all that a step of the optimiser learns from */
    float *d_x;               /* [n_rows, n_embd], written; NULL: only the loss is wanted (validation) */
    float *d_w, *d_bias;      /* [n_vocab, n_embd], [n_vocab], added to; NULL: frozen */
} mn_cross_entropy;

/* Sums over the rows that count, not scaled. */
typedef struct mn_loss {
    double loss;    /* weighted */
    double label;   /* of it the labels' part: sum of weight * -log p[label] */
    double weights; /* of rows that count */
    int64_t n_rows; /* that count */
} mn_loss;

/* Adds to *loss. Products as mn_matmul_training makes them: 2 n_vocab n_embd operations for the loss of a row, 6 with
 * gradients. Results do not depend on the number of threads. Scratch: tiles of logits, 8 MiB each or 128 rows; 2 with a
 * teacher. MN_ERR_ARGUMENT for a label outside the vocabulary, MN_ERR_MEMORY, and what the teacher says. */
mn_status mn_cross_entropy_run(const mn_compute *c, const mn_cross_entropy *e, mn_loss *loss, mn_error *err);

#endif
