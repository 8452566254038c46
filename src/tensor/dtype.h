/* Element types of weights and KV entries, with the numbers GGUF gives them.
 *
 * A type is a block: block_elems values in block_bytes bytes. Rows are whole blocks.
 */
#ifndef MN_TENSOR_DTYPE_H
#define MN_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mn_dtype {
    MN_F32 = 0,
    MN_F16 = 1,
    MN_Q4_0 = 2,
    MN_Q4_1 = 3,
    MN_Q5_0 = 6,
    MN_Q5_1 = 7,
    MN_Q8_0 = 8,
    MN_Q2_K = 10,
    MN_Q3_K = 11,
    MN_Q4_K = 12,
    MN_Q5_K = 13,
    MN_Q6_K = 14,
    MN_IQ4_NL = 20,
    MN_IQ4_XS = 23,
    MN_I32 = 26, /* whole numbers, of tables; no weights */
    MN_BF16 = 30,
    MN_MXFP4 = 39,
    MN_DTYPE_COUNT = 40
} mn_dtype;

typedef struct mn_dtype_info {
    const char *name; /* "q8_0"; NULL for a number that is no type here */
    int block_elems;
    int block_bytes;
    bool quantised;
    /* src: n_blocks blocks -> dst: n_blocks * block_elems floats, exactly as the format defines them */
    void (*to_f32)(const void *src, float *dst, int64_t n_blocks);
    /* NULL for the types that are read only (Q5_K, I32) */
    void (*from_f32)(const float *src, void *dst, int64_t n_blocks);
} mn_dtype_info;

/* NULL when type is none of the above. */
const mn_dtype_info *mn_dtype_get(int type);
/* By name, any case ("Q8_0", "q8_0"); -1 when unknown. */
int mn_dtype_find(const char *name);
/* Bytes of a row of n elements; 0 when n is not a whole number of blocks or the size overflows. */
size_t mn_dtype_row_bytes(mn_dtype type, int64_t n);
/* n: elements, a multiple of the block. */
void mn_to_f32(mn_dtype type, const void *src, float *dst, int64_t n);
/* The type must have from_f32. */
void mn_from_f32(mn_dtype type, const float *src, void *dst, int64_t n);

#endif
