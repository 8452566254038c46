/* What the f32 paths of all levels share: x as it is, rows of W expanded to f32 before they are packed. */
#ifndef MN_KERNELS_MATMUL_F32_H
#define MN_KERNELS_MATMUL_F32_H

#include "kernels/matmul.h"

#include <string.h>

/* Rows an odd number of cache lines apart, or those of a tile would fall into the same sets of the cache. */
static inline size_t mn_odd_lines(size_t bytes) { return (bytes + 63) / 64 * 64 | 64; }

static inline size_t mn_f32_x_row_bytes(int64_t n_in) { return mn_odd_lines((size_t)n_in * sizeof(float)); }

static inline void mn_f32_prepare(const float *x, int64_t n_in, void *row) { memcpy(row, x, (size_t)n_in * sizeof *x); }

/* Where the part's inputs of output `first_output + o` stand; the last output where there are fewer. */
static inline const char *mn_matmul_row(const mn_matmul_part *part, int64_t o) {
    const mn_dtype_info *info = mn_dtype_get(part->w->type);
    int64_t last = part->n_outputs - 1;
    return (const char *)part->w->data +
           (size_t)(part->first_output + (o < last ? o : last)) * mn_tensor_row_bytes(part->w) +
           (size_t)(part->first_input / info->block_elems) * (size_t)info->block_bytes;
}

/* Behind the last row of W: up to there a kernel may read past a row. */
static inline const char *mn_matmul_end(const mn_matmul_part *part) {
    return (const char *)part->w->data + (size_t)part->w->ne[1] * mn_tensor_row_bytes(part->w);
}

/* The same in W^T: where the part's outputs of input `first_input + i` stand. */
static inline const char *mn_matmul_column(const mn_matmul_part *part, int64_t i) {
    return (const char *)part->w->data + (size_t)(part->first_input + i) * part->row_bytes +
           mn_dtype_row_bytes(part->w->type, part->first_output);
}

#endif
