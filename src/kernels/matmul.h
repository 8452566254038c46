/* Weights times activations: y = W x for one row (decode) or many (prefill), for every weight type.
 *
 *   out[r, o] = sum_i x[r, i] W[o, i]      x [n_rows, n_in] f32, W [n_out, n_in] of any dtype, out [n_rows, n_out] f32
 *
 * Exact (mn_compute.exact): the weights' values in f32, products and sums in f32, within n_in 2^-24 sum_i |x_i W_i| of
 * the true value. Fast, where the level has such instructions: activations are quantised to 8 bits per 32 for
 * quantised weights (an error of at most max|x_block| / 254 in each x_i), or rounded to bf16 for many_rows rows or more
 * and bf16 weights (2^-8 relative in each x_i); the other levels, fewer rows of bf16 weights, and f32 and f16 weights
 * are computed as in exact mode.
 *
 * avx512, with SIMD but no dot products of bytes, quantises activations when there are fewer rows than many_rows (16),
 * which wait for memory; more rows wait for products, f32 multiplies them no slower, and they are computed as in exact
 * mode. avx2 and avxvnni quantise activations for any number of rows; from many_rows (16) on they sum in another order.
 *
 * Levels with tiles (amx) round to bf16 in fast mode when there are many_rows rows or more, activations and weights
 * of every type but f32: 2^-8 relative in each factor, less than 8 bits per 32 cost.
 *
 * In both modes every output is summed over i in one fixed order: a row's result does not depend on n_rows, on the
 * other rows, or on the number of threads, bit for bit; but where the two paragraphs above say so, and for f16 and bf16
 * weights from avx2 up, n_rows below many_rows give other bits than n_rows from there on.
 *
 * How: W is cut into panels of a few vectors of outputs and a block of inputs. A panel is expanded once into the form
 * that the dot instructions want, small enough for the first-level cache, and all rows of x pass over it, a tile of
 * accumulators in registers at a time. One row goes the same way, or where that does not keep up with memory, by a
 * kernel of its own that adds up in the same order. Few rows, but of f32 weights, have a tile on avx2 that reads W as
 * it is stored, and of quantised weights on avx512bf16 a kernel that unpacks W into registers.
 */
#ifndef MN_KERNELS_MATMUL_H
#define MN_KERNELS_MATMUL_H

#include "kernels/compute.h"
#include "kernels/vec.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* The part of W that one panel holds. */
typedef struct mn_matmul_part {
    const mn_tensor *w; /* pack_transposed: W^T, [n_in, n_out], rows row_bytes apart */
    size_t row_bytes;
    int64_t first_output;
    int n_outputs; /* 1 .. panel_outputs of the path */
    int64_t first_input;
    int n_inputs; /* 1 .. block_inputs of the path; all but the last block of a row are full */
} mn_matmul_part;

/* Where the sums of a block of inputs go: out[r, o] = sum, or old[r, o] + sum when there is something before (add). old
 * may be out, and is when nothing is added. Strides in floats. stream: out is whole lines of the cache that are not
 * read soon, better written around the caches. */
typedef struct mn_matmul_sums {
    bool add, stream;
    const float *old;
    int64_t old_stride;
    float *out;
    int64_t out_stride;
} mn_matmul_sums;

/* One way to multiply: in which form it wants x and W, and the tile that multiplies them. */
typedef struct mn_matmul_path {
    int panel_outputs; /* outputs of a panel */
    int block_inputs;  /* inputs of a panel: a multiple of 256, the largest block of a type; more than a row has: all */
    size_t panel_bytes;  /* of an expanded panel, room to work included; 64-byte aligned */
    int tile_rows;       /* tile reads rows of x (and ignores them) up to a multiple of this; 0: none but its own */
    int x_element_bytes; /* of prepared rows, where they hold one element per input in order; else 0 */
    /* Before and after any use of pack, finish, tile and row on a thread: state of the processor to set up and give
     * back. leave of a path that heeds stream sees to it that other threads find the results. NULL: nothing to do. */
    void (*enter)(void);
    void (*leave)(void);
    /* Bytes of a prepared row of x, a multiple of 64. */
    size_t (*x_row_bytes)(int64_t n_in);
    /* One row of x, f32, into that form. */
    void (*prepare)(const float *x, int64_t n_in, void *row);
    /* Expands a part of W. Outputs that are not there are whatever is cheap. NULL: the tile reads W as it is stored,
     * any number of outputs at once. */
    void (*pack)(const mn_matmul_part *part, const mn_vec_kernels *vec, void *panel);
    /* The same from W^T of f32, f16 or bf16: the outputs of an input stand side by side. NULL: not by this path. */
    void (*pack_transposed)(const mn_matmul_part *part, const mn_vec_kernels *vec, void *panel);
    /* What pack left to be done before a tile may use the panel. NULL: nothing. */
    void (*finish)(void *panel);
    /* sums[r, 0 .. n_outputs) of x[r, part's inputs] . panel; x: prepared rows. next: a panel that was packed and that
     * the tile finishes meanwhile; NULL: there is none. */
    void (*tile)(const mn_matmul_part *part, const void *panel, void *next, const char *x, size_t x_row_bytes,
                 int64_t n_rows, mn_matmul_sums sums);
    /* The same for one row (GEMV) and all inputs (first_input = 0), bit for bit, where memory is the limit; panel is
     * room to work. NULL: pack and tile do it. */
    void (*row)(const mn_matmul_part *part, const void *x, void *panel, float *out);
    /* The same for 1 to few_rows rows of x, x_row_bytes apart, and a W of 16 outputs or more; bit for bit what pack and
     * tile give. A lone row comes here where there is no `row`, or W is thin. NULL: they do it. */
    void (*few)(const mn_matmul_part *part, const void *x, size_t x_row_bytes, int64_t n_rows, void *panel, float *out,
                int64_t out_stride);
    int few_rows;
} mn_matmul_path;

enum { MN_MANY_ROWS = 8 }; /* many_rows, where a level does not say otherwise */

typedef struct mn_matmul_kernels {
    const mn_matmul_path *exact;
    const mn_matmul_path *fast[MN_DTYPE_COUNT];
    /* Instead of fast from many_rows rows on; NULL: fast does them as well. */
    const mn_matmul_path *many[MN_DTYPE_COUNT];
    int many_rows[MN_DTYPE_COUNT];
} mn_matmul_kernels;

void mn_matmul_init_generic(mn_matmul_kernels *table);
void mn_matmul_init_avx2(mn_matmul_kernels *table);
void mn_matmul_init_quant_avx2(mn_matmul_kernels *table);
void mn_matmul_init_avxvnni(mn_matmul_kernels *table);
void mn_matmul_init_avx512(mn_matmul_kernels *table);
void mn_matmul_init_avx512bf16(mn_matmul_kernels *table);
void mn_matmul_init_amx(mn_matmul_kernels *table);

/* Rows of x and out are x_stride and out_stride floats apart. Scratch comes from c->scratch.
 * Returns MN_ERR_MEMORY when there is none left; shapes are the caller's promise. */
mn_status mn_matmul(const mn_compute *c, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                    int64_t n_rows, const mn_tensor *w, mn_error *err);

/* Whether the products of many rows with weights of that type round neither factor below f32. */
bool mn_matmul_keeps_f32(const mn_matmul_kernels *kernels, mn_dtype type);

/* Several weights for the same x in one go (q, k, v; gate and up): x is quantised once. outs[i] has stride
 * out_strides[i]. */
mn_status mn_matmul_many(const mn_compute *c, float *const *outs, const int64_t *out_strides, const float *x,
                         int64_t x_stride, int64_t n_rows, const mn_tensor *const *ws, int n_ws, mn_error *err);

#endif
