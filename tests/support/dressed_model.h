/* Random models whose norms, biases and taps are random too, so that none of them can be forgotten unseen; with key and
 * value heads that are copies of each other where a test wants them. */
#ifndef MN_TESTS_DRESSED_MODEL_H
#define MN_TESTS_DRESSED_MODEL_H

#include "tensor/dtype.h"

#include <stdint.h>

enum { DRESSED_LAYERS = 2, DRESSED_HEADS = 8, DRESSED_KV_HEADS = 4, DRESSED_HEAD_DIM = 16, DRESSED_EMBD = 64 };

/* Writes one of DRESSED_KV_HEADS (or n_kv_heads > 0) key and value heads, f32, head j a copy of head twin[j] (NULL: all
 * differ). The same for the same arguments. Returns `path`. */
const char *dressed_model_write(const char *arch, const char *path, int n_kv_heads, const int *twin);

/* Logits [*n] of some tokens, all rows one after another, in exact arithmetic and the window that the model has; the
 * caller frees them. */
float *model_logits(const char *path, int64_t *n);
/* |a - b| / |a| of the logits of two models. */
double logits_apart(const char *a, const char *b);

#endif
