/* The transpose of vec.h in portable C: four by four, which compilers keep in registers. */
#ifndef MN_KERNELS_TRANSPOSE_H
#define MN_KERNELS_TRANSPOSE_H

#include <stdint.h>

static inline void mn_transpose(float *dst, int64_t dst_stride, const float *src, int64_t src_stride, int64_t n_rows,
                                int64_t n) {
    int64_t i = 0;
    for (; i + 4 <= n_rows; i += 4)
        for (int64_t j = 0; j < n; j++)
            for (int k = 0; k < 4; k++) dst[j * dst_stride + i + k] = src[(i + k) * src_stride + j];
    for (; i < n_rows; i++)
        for (int64_t j = 0; j < n; j++) dst[j * dst_stride + i] = src[i * src_stride + j];
}

#endif
