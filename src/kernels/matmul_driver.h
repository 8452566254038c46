/* Inside the matrix products: what the forward (matmul.c) and the backward (matmul_backward.c) hand to one driver. */
#ifndef MN_KERNELS_MATMUL_DRIVER_H
#define MN_KERNELS_MATMUL_DRIVER_H

#include "kernels/matmul.h"

/* out[r, o] = sum_i x[r, i] W[o, i], or += (add): rows of x in the form of path, in scratch. */
typedef struct mn_matmul_task {
    const mn_matmul_path *path;
    const mn_tensor *w; /* [n_out, n_in]; transposed: W^T, [n_in, n_out] */
    bool transposed;
    size_t w_row_bytes; /* from one row of a transposed W to the next; 0: rows have no gaps */
    float *out;
    int64_t out_stride;
    bool add;
    const char *x;
    size_t x_row_bytes;
} mn_matmul_task;

/* Several products of n_rows >= 1 rows each, shared out to threads together. No output lies in two of them. Scratch is
 * not rewound. MN_ERR_MEMORY. */
mn_status mn_matmul_run(const mn_compute *c, const mn_matmul_task *tasks, int n_tasks, int64_t n_rows, mn_error *err);

/* The path of products of n_rows rows with weights of a type; and mn_matmul_many by another choice. */
typedef const mn_matmul_path *mn_matmul_path_fn(const mn_compute *c, mn_dtype type, int64_t n_rows);
mn_matmul_path_fn mn_matmul_choose_path;
mn_status mn_matmul_by(const mn_compute *c, mn_matmul_path_fn *choose, float *const *outs, const int64_t *out_strides,
                       const float *x, int64_t x_stride, int64_t n_rows, const mn_tensor *const *ws, int n_ws,
                       mn_error *err);

/* Room for n_rows prepared rows of n_in, whole tiles of them; NULL when scratch ends. */
char *mn_matmul_alloc_rows(const mn_compute *c, const mn_matmul_path *path, int64_t n_rows, int64_t n_in);

#endif
