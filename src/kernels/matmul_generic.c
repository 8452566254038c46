#include "kernels/matmul.h"

/* Sixteen partial sums, added pairwise: the order is the same for every row. */
enum { LANES = 16 };

static float dot(const float *x, const float *w, int64_t n) {
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++) lane[k] += x[i + k] * w[i + k];
    }
    for (int k = 0; i < n; i++, k++) lane[k] += x[i] * w[i];
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int k = 0; k < width; k++) lane[k] += lane[k + width];
    }
    return lane[0];
}

static void column(float *out, int64_t out_stride, const float *x, int64_t x_stride, int64_t n_rows, const float *w,
                   int64_t n_in) {
    for (int64_t r = 0; r < n_rows; r++) out[r * out_stride] = dot(x + r * x_stride, w, n_in);
}

void mn_matmul_init_generic(mn_matmul_kernels *table) { *table = (mn_matmul_kernels){.column = column}; }
