/* Vectors inside the rows of a step: heads of queries and keys, parts of them, or whole rows as one head. */
#ifndef MN_KERNELS_VECTORS_H
#define MN_KERNELS_VECTORS_H

#include <stdint.h>

/* Head h of row r is the n floats from data + r * row_stride + h * head_stride. */
typedef struct mn_vectors {
    float *data;
    int64_t row_stride, head_stride;
    int n_heads, n;
} mn_vectors;

static inline float *mn_vector_at(const mn_vectors *v, int64_t row, int head) {
    return v->data + row * v->row_stride + head * v->head_stride;
}

/* Rows of n floats without gaps, as one head each. */
static inline mn_vectors mn_vectors_of_rows(float *data, int n) { return (mn_vectors){data, n, n, 1, n}; }

/* Rows of n_heads heads of n floats without gaps. */
static inline mn_vectors mn_vectors_of_heads(float *data, int n_heads, int n) {
    return (mn_vectors){data, (int64_t)n_heads * n, n, n_heads, n};
}

#endif
