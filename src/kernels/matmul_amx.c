/* Many rows: 32 rows by 32 outputs, multiplied by tdpbf16ps in tiles of 16 by 16. Activations and weights of every type but
 * f32 are rounded to bf16, the quantised ones after they were scaled: one rounding of 2^-9 each, where the bytes of the
 * level below round an activation to 1/254 of the largest of 32. docs/decisions/tiles-of-bf16.md says why not tiles of bytes.
 */
#include "kernels/amx.h"
#include "kernels/matmul_f32.h"
#include "kernels/matmul_panel_avx512.h"
#include "kernels/matmul_quant.h"

enum { ROWS = MN_AMX_ROWS, INPUTS = MN_QUANT_INPUTS, PAIRS = INPUTS / 2, STEP_PAIRS = 16, STEP_INPUTS = 32 };

/* Pairs of inputs of 16 outputs are what a tile wants from memory; whole steps, filled up with zeros. */
typedef struct panel {
    mn_panel_column column[PAIRS];
    char room[sizeof(mn_quant_panel)]; /* for the packers of the level below */
} panel;

static int64_t whole_steps(int64_t n_in) { return (n_in + STEP_INPUTS - 1) / STEP_INPUTS * STEP_INPUTS; }

static size_t x_row_bytes(int64_t n_in) { return mn_odd_lines((size_t)whole_steps(n_in) * sizeof(uint16_t)); }

static __mmask16 inputs_mask(int64_t n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1); }

static void prepare(const float *x, int64_t n_in, void *row) {
    uint16_t *out = row;
    for (int64_t i = 0; i < whole_steps(n_in); i += STEP_INPUTS) {
        __m512 low = _mm512_maskz_loadu_ps(inputs_mask(n_in - i), x + i);
        __m512 high = _mm512_maskz_loadu_ps(inputs_mask(n_in - i - 16), x + i + 16);
        _mm512_storeu_si512(out + i, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

/* c0 .. c3 [16, 16]: rows 0-15 and 16-31 by outputs 0-15 and 16-31; c_row_bytes apart. The second 16 rows may be absent. */
typedef struct sums {
    float *rows[2];
    size_t row_bytes;
    bool old; /* to add to, else to overwrite */
} sums;

/* Rows of out are further apart than the processor's own prefetcher looks: those of the next 32 are asked for, two a step;
 * beyond the last it asks in vain. */
MN_ALWAYS_INLINE void fetch_sums(const sums *out, int step) {
    const char *next = (const char *)out->rows[1] + (size_t)(ROWS + 2 * step) * out->row_bytes;
    for (int i = 0; i < 2; i++, next += out->row_bytes) {
        __builtin_prefetch(next, 1);
        __builtin_prefetch(next + 64, 1);
    }
}

MN_ALWAYS_INLINE void multiply_steps(sums out, const mn_panel_column *w, const char *x0, const char *x1, size_t x_bytes,
                                     int n_steps, const bool both) {
    const int stride = sizeof *w;
    if (out.old) {
        _tile_loadd(0, out.rows[0], out.row_bytes);
        _tile_loadd(1, out.rows[0] + 16, out.row_bytes);
        if (both) {
            _tile_loadd(2, out.rows[1], out.row_bytes);
            _tile_loadd(3, out.rows[1] + 16, out.row_bytes);
        }
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int step = 0; step < n_steps; step++, w += STEP_PAIRS, x0 += 64, x1 += 64) {
        if (both) fetch_sums(&out, step);
        _tile_loadd(4, x0, x_bytes);
        _tile_loadd(6, &w->half[0], stride);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, &w->half[1], stride);
        _tile_dpbf16ps(1, 4, 7);
        if (!both) continue;
        _tile_loadd(5, x1, x_bytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out.rows[0], out.row_bytes);
    _tile_stored(1, out.rows[0] + 16, out.row_bytes);
    if (!both) return;
    _tile_stored(2, out.rows[1], out.row_bytes);
    _tile_stored(3, out.rows[1] + 16, out.row_bytes);
}

static int steps_of(const mn_matmul_part *part) { return (part->n_inputs + STEP_INPUTS - 1) / STEP_INPUTS; }

/* Up to 16 rows of which some are absent, or outputs are: through copies. */
static void tile_of_few(const mn_matmul_part *part, const panel *p, const char *x, size_t x_bytes, int n_rows, float *out,
                        int64_t out_stride) {
    float sum[ROWS][MN_PANEL_OUTPUTS] __attribute__((aligned(64)));
    char rows[ROWS][INPUTS * 2] __attribute__((aligned(64))) = {{0}};
    int n_steps = steps_of(part);
    for (int r = 0; r < n_rows; r++) {
        memcpy(rows[r], x + (size_t)r * x_bytes, (size_t)n_steps * 64);
        memcpy(sum[r], out + r * out_stride, (size_t)part->n_outputs * sizeof *out);
    }
    multiply_steps((sums){{sum[0]}, sizeof sum[0], part->first_input > 0}, p->column, rows[0], NULL, sizeof rows[0], n_steps,
                   false);
    for (int r = 0; r < n_rows; r++) memcpy(out + r * out_stride, sum[r], (size_t)part->n_outputs * sizeof *out);
}

static void tile(const mn_matmul_part *part, const void *p, const char *x, size_t x_bytes, int64_t n_rows, float *out,
                 int64_t out_stride) {
    const panel *w = p;
    x += (size_t)part->first_input * sizeof(uint16_t);
    if (part->n_outputs == MN_PANEL_OUTPUTS) {
        for (; n_rows >= 2 * ROWS; n_rows -= 2 * ROWS, x += 2 * ROWS * x_bytes, out += 2 * ROWS * out_stride)
            multiply_steps((sums){{out, out + ROWS * out_stride}, (size_t)out_stride * sizeof *out, part->first_input > 0},
                           w->column, x, x + ROWS * x_bytes, x_bytes, steps_of(part), true);
    }
    for (; n_rows > 0; n_rows -= ROWS, x += ROWS * x_bytes, out += ROWS * out_stride)
        tile_of_few(part, w, x, x_bytes, (int)(n_rows < ROWS ? n_rows : ROWS), out, out_stride);
}

/* The last step's pairs that are not there. */
static void fill_up(panel *p, int n_inputs) {
    const mn_panel_column none = {{_mm512_setzero_si512(), _mm512_setzero_si512()}};
    for (int i = (n_inputs + 1) / 2; i < whole_steps(n_inputs) / 2; i++) p->column[i] = none;
}

/* Bytes 0 to 3 of every lane, as floats. */
MN_ALWAYS_INLINE __m512 byte_floats(__m512i bytes, const int k) {
    __m512i shifted = k == 3 ? _mm512_srli_epi32(bytes, 24)
                             : _mm512_and_si512(_mm512_srli_epi32(bytes, 8 * (unsigned)k), _mm512_set1_epi32(255));
    return _mm512_cvtepi32_ps(shifted);
}

/* Rounds to bf16 and joins what belongs into the low and the high half of every lane. */
MN_ALWAYS_INLINE __m512i join_pair(__m512 low, __m512 high) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                           20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* w = scale u + base of each block (or half of one), base = -min or -2^offset_bits scale. */
static void expand(const mn_quant_panel *in, panel *out, int n_inputs, int unit_columns, int offset_bits) {
    __m512 offset = _mm512_set1_ps((float)-(1 << offset_bits));
    for (int k = 0; k < n_inputs / 4; k++)
        for (int h = 0; h < 2; h++) {
            int unit = k / unit_columns;
            __m512i bytes = in->column[k].half[h];
            __m512 scale = in->scale[unit][h], base = offset_bits ? _mm512_mul_ps(offset, scale) : -in->min[unit][h];
            __m512 w[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) w[i] = _mm512_fmadd_ps(byte_floats(bytes, i), scale, base);
            out->column[2 * k].half[h] = join_pair(w[0], w[1]);
            out->column[2 * k + 1].half[h] = join_pair(w[2], w[3]);
        }
}

#define PATH(type, pack_fn)                           \
    static const mn_matmul_path path_##type = {       \
        .panel_outputs = MN_PANEL_OUTPUTS,            \
        .block_inputs = INPUTS,                       \
        .panel_bytes = sizeof(panel),                 \
        .enter = mn_amx_enter_whole,                  \
        .leave = mn_amx_leave,                        \
        .x_row_bytes = x_row_bytes,                   \
        .prepare = prepare,                           \
        .pack = pack_fn,                              \
        .tile = tile,                                 \
    }

/* offset_bits 0: the type has minima. */
#define QUANT(type, sub_blocks, offset_bits)                                                              \
    static void pack_##type(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {          \
        (void)vec;                                                                                        \
        panel *p = dst;                                                                                   \
        mn_quant_panel *bytes = (mn_quant_panel *)(void *)p->room;                                        \
        mn_quant_pack_part(part, mn_quant_pack_##type, bytes);                                            \
        expand(bytes, p, part->n_inputs, 8 / sub_blocks, offset_bits);                                    \
    }                                                                                                     \
    PATH(type, pack_##type)
QUANT(q8_0, 1, 7);
QUANT(q4_0, 1, 3);
QUANT(q4_1, 1, 0);
QUANT(q5_0, 1, 4);
QUANT(q5_1, 1, 0);
QUANT(iq4_nl, 1, 7);
QUANT(q2_k, 2, 0);
QUANT(q3_k, 2, 2);
QUANT(q4_k, 1, 0);
QUANT(q5_k, 1, 0);
QUANT(q6_k, 2, 5);

/* The level below packs the same pairs into the same columns. */
static void pack_f16(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    mn_bf16_pack_f16(part, vec, dst);
    fill_up(dst, part->n_inputs);
}

static void pack_bf16(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    mn_bf16_pack_bf16(part, vec, dst);
    fill_up(dst, part->n_inputs);
}
PATH(f16, pack_f16);
PATH(bf16, pack_bf16);

void mn_matmul_init_amx(mn_matmul_kernels *table) {
    table->many[MN_F16] = &path_f16;
    table->many[MN_BF16] = &path_bf16;
    table->many[MN_Q8_0] = &path_q8_0;
    table->many[MN_Q4_0] = &path_q4_0;
    table->many[MN_Q4_1] = &path_q4_1;
    table->many[MN_Q5_0] = &path_q5_0;
    table->many[MN_Q5_1] = &path_q5_1;
    table->many[MN_IQ4_NL] = &path_iq4_nl;
    table->many[MN_Q2_K] = &path_q2_k;
    table->many[MN_Q3_K] = &path_q3_k;
    table->many[MN_Q4_K] = &path_q4_k;
    table->many[MN_Q5_K] = &path_q5_k;
    table->many[MN_Q6_K] = &path_q6_k;
}
