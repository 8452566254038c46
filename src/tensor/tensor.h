/* A named array in memory that somebody else owns: a weight in a mapped file. */
#ifndef MN_TENSOR_TENSOR_H
#define MN_TENSOR_TENSOR_H

#include "tensor/dtype.h"

enum { MN_MAX_DIMS = 4 };

/* ne[0] is the dimension that runs fastest (GGUF's order): a matrix W [n_out, n_in] has ne = {n_in, n_out}. */
typedef struct mn_tensor {
    const char *name;
    mn_dtype type;
    int n_dims;
    int64_t ne[MN_MAX_DIMS]; /* unused ones are 1 */
    size_t bytes;
    const void *data;
    size_t matrix_bytes; /* from one matrix of a three-dimensional tensor to the next; 0: they follow each other */
} mn_tensor;

/* Bytes from one row (ne[0] elements) to the next. */
static inline size_t mn_tensor_row_bytes(const mn_tensor *t) { return mn_dtype_row_bytes(t->type, t->ne[0]); }

/* Matrix i of a three-dimensional tensor [ne2][ne1][ne0] (expert i, head i), as a view. */
static inline mn_tensor mn_tensor_matrix(const mn_tensor *t, int64_t i) {
    mn_tensor view = *t;
    view.n_dims = 2;
    view.ne[2] = view.ne[3] = 1;
    view.bytes = mn_tensor_row_bytes(t) * (size_t)t->ne[1];
    view.data = (const char *)t->data + (size_t)i * (t->matrix_bytes ? t->matrix_bytes : view.bytes);
    return view;
}

#endif
