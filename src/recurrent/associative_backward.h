/* What the backward of linear attention and of Infini-attention share: the matrix of a memory (associative.h) as plain
 * numbers, and the backward of the feature maps.
 */
#ifndef MN_RECURRENT_ASSOCIATIVE_BACKWARD_H
#define MN_RECURRENT_ASSOCIATIVE_BACKWARD_H

#include "recurrent/associative.h"

/* A matrix [k_dim, v_dim] and a normaliser z [k_dim] behind it, or the gradients of both. */
typedef struct mn_memory_matrix {
    const mn_vec_kernels *vec;
    int k_dim, v_dim;
    float *m, *z;
} mn_memory_matrix;

static inline size_t mn_memory_floats(int k_dim, int v_dim) { return (size_t)k_dim * ((size_t)v_dim + 1); }
mn_memory_matrix mn_memory_view(const mn_kernels *kernels, float *data, int k_dim, int v_dim);

/* M += a k u^T */
void mn_memory_store(const mn_memory_matrix *m, const float *k, const float *u, float a);
/* out [v_dim] = M^T k */
void mn_memory_recall(const mn_memory_matrix *m, float *out, const float *k);
/* out [k_dim] += a M u */
void mn_memory_add_keys(const mn_memory_matrix *m, float *out, const float *u, float a);
/* What a state (associative.h) holds, the stores kept aside included; state NULL: zeros. */
void mn_memory_load(const mn_memory_matrix *m, const void *state);

/* d_x += the gradient of x from d_feature and x itself; feature: phi(x). */
typedef void mn_feature_backward_fn(const mn_kernels *kernels, float *d_x, const float *x, const float *feature,
                                    const float *d_feature, int n);
mn_feature_backward_fn mn_feature_elu1_backward, mn_feature_silu_l2_backward;

#endif
