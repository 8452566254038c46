/* f32 in portable C, written so that compilers keep the tile in vector registers. */
#include "kernels/matmul_f32.h"

enum { OUTPUTS = 8, INPUTS = 256, ROWS = 4 };

typedef struct panel {
    float w[INPUTS][OUTPUTS];
    float row[INPUTS];
} panel;

static void pack(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    panel *p = dst;
    for (int o = 0; o < OUTPUTS; o++) {
        vec->to_f32(part->w->type, mn_matmul_row(part, o), p->row, part->n_inputs);
        for (int i = 0; i < part->n_inputs; i++) p->w[i][o] = p->row[i];
    }
}

static void pack_transposed(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    panel *p = dst;
    for (int i = 0; i < part->n_inputs; i++)
        vec->to_f32(part->w->type, mn_matmul_column(part, i), p->w[i], part->n_outputs);
}

static void tile_row(const mn_matmul_part *part, const panel *p, const float *x, const float *old, float *out) {
    float sum[OUTPUTS] = {0};
    if (old) memcpy(sum, old, (size_t)part->n_outputs * sizeof *sum);
    for (int i = 0; i < part->n_inputs; i++) {
        for (int o = 0; o < OUTPUTS; o++) sum[o] += x[i] * p->w[i][o];
    }
    memcpy(out, sum, (size_t)part->n_outputs * sizeof *sum);
}

static void tile_rows(const panel *p, int n_inputs, const float *const x[ROWS], float sum[ROWS][OUTPUTS]) {
    float s[ROWS][OUTPUTS];
    memcpy(s, sum, sizeof s);
    for (int i = 0; i < n_inputs; i++) {
        for (int r = 0; r < ROWS; r++) {
            for (int o = 0; o < OUTPUTS; o++) s[r][o] += x[r][i] * p->w[i][o];
        }
    }
    memcpy(sum, s, sizeof s);
}

static void tile(const mn_matmul_part *part, const void *src, void *next, const char *x, size_t x_row_bytes,
                 int64_t n_rows, mn_matmul_sums sums) {
    (void)next;
    int64_t r = 0;
    for (; r + ROWS <= n_rows; r += ROWS) {
        float sum[ROWS][OUTPUTS] = {{0}};
        const float *rows[ROWS];
        for (int k = 0; k < ROWS; k++) {
            rows[k] = (const float *)(x + (size_t)(r + k) * x_row_bytes) + part->first_input;
            if (sums.add) memcpy(sum[k], sums.old + (r + k) * sums.old_stride, (size_t)part->n_outputs * sizeof(float));
        }
        tile_rows(src, part->n_inputs, rows, sum);
        for (int k = 0; k < ROWS; k++)
            memcpy(sums.out + (r + k) * sums.out_stride, sum[k], (size_t)part->n_outputs * sizeof(float));
    }
    for (; r < n_rows; r++)
        tile_row(part, src, (const float *)(x + (size_t)r * x_row_bytes) + part->first_input,
                 sums.add ? sums.old + r * sums.old_stride : NULL, sums.out + r * sums.out_stride);
}

static const mn_matmul_path f32_path = {
    .panel_outputs = OUTPUTS,
    .block_inputs = INPUTS,
    .panel_bytes = sizeof(panel),
    .x_element_bytes = sizeof(float),
    .x_row_bytes = mn_f32_x_row_bytes,
    .prepare = mn_f32_prepare,
    .pack = pack,
    .pack_transposed = pack_transposed,
    .tile = tile,
};

void mn_matmul_init_generic(mn_matmul_kernels *table) {
    table->exact = &f32_path;
    for (int type = 0; type < MN_DTYPE_COUNT; type++)
        table->fast[type] = &f32_path, table->many_rows[type] = MN_MANY_ROWS;
}
