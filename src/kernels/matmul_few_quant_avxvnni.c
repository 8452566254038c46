/* Quantised weights times a few rows of activations, with the 256-bit dot product of bytes. */
#define MN_HAS_DOT_BYTES
#include "kernels/matmul_few_tile_avx2.h"

MN_UNPACK_TYPES(MN_FEW_QUANT_PATH)

void mn_matmul_init_few_quant_avxvnni(mn_matmul_kernels *table) {
#define ENTER(type, dtype, ...) table->fast[dtype] = &path_##type;
    MN_UNPACK_TYPES(ENTER)
}
