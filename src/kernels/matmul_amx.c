/* Many rows: 32 rows by 32 outputs, multiplied by tdpbf16ps in tiles of 16 by 16. Activations and weights of every type
 * but f32 are rounded to bf16, the quantised ones after they were scaled: one rounding of 2^-8 each, where the bytes of
 * the level below round an activation to 1/254 of the largest of 32. docs/decisions/tiles-of-bf16.md says why not tiles
 * of bytes.
 */
#include "kernels/amx.h"
#include "kernels/matmul_f32.h"
#include "kernels/matmul_pairs_avx512bf16.h"
#include "kernels/matmul_panel_avx512.h"
#include "kernels/matmul_quant.h"

enum {
    INPUTS = MN_QUANT_INPUTS,
    PAIRS = INPUTS / 2,
    STEP_INPUTS = 32, /* what one product of tiles takes */
    STEP_PAIRS = STEP_INPUTS / 2,
    GROUP_ROWS = 2 * MN_AMX_ROWS
};

/* Pairs of inputs of 16 outputs are what a tile wants from memory; whole steps, filled up with zeros. Quantised weights
 * are bytes at first, and become pairs a half column of bytes at a time. */
typedef struct panel {
    mn_panel_column column[PAIRS];
    mn_quant_panel bytes; /* or room for the packers of the level below */
    int n_halves, n_done; /* half columns of bytes */
    int unit_shift;       /* 2^unit_shift columns share a scale */
    int offset_bits;      /* 0: the type has minima */
} panel;

static void leave(void) {
    mn_sums_leave();
    mn_amx_leave();
}

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

/* Bytes 0 to 3 of every lane, as floats. */
MN_ALWAYS_INLINE __m512 byte_floats(__m512i bytes, const int k) {
    __m512i shifted = k == 3 ? _mm512_srli_epi32(bytes, 24)
                             : _mm512_and_si512(_mm512_srli_epi32(bytes, 8 * (unsigned)k), _mm512_set1_epi32(255));
    return _mm512_cvtepi32_ps(shifted);
}

/* w = scale u + base of each block (or half of one), base = -min or -2^offset_bits scale. */
MN_ALWAYS_INLINE void expand_half(panel *p) {
    int k = p->n_done / 2, h = p->n_done % 2, unit = k >> p->unit_shift;
    __m512i bytes = p->bytes.column[k].half[h];
    __m512 scale = p->bytes.scale[unit][h], w[4];
    __m512 base = -p->bytes.min[unit][h];
    if (p->offset_bits) base = _mm512_mul_ps(_mm512_set1_ps((float)-(1 << p->offset_bits)), scale);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) w[i] = _mm512_fmadd_ps(byte_floats(bytes, i), scale, base);
    p->column[2 * k].half[h] = mn_join_pair(w[0], w[1]);
    p->column[2 * k + 1].half[h] = mn_join_pair(w[2], w[3]);
    p->n_done++;
}

static void finish(void *panel_) {
    panel *p = panel_;
    while (p->n_done < p->n_halves) expand_half(p);
}

/* Sums of a group of rows on their way out of the tiles. Products of tiles leave the vector units idle: these sums, and
 * bytes of the next panel, pass through them while the next group is multiplied, a few at each step. */
typedef struct leaving {
    float sum[GROUP_ROWS][MN_PANEL_OUTPUTS];
    const float (*next)[MN_PANEL_OUTPUTS]; /* the row that goes next, of n_rows that still have to */
    int n_rows;
    mn_matmul_sums to;
    __mmask16 mask[2];
} leaving;

MN_ALWAYS_INLINE void let_row_go(leaving *l) {
    __m512 low = _mm512_load_ps(*l->next), high = _mm512_load_ps(*l->next + 16);
    if (l->to.add) {
        low = _mm512_add_ps(low, _mm512_maskz_loadu_ps(l->mask[0], l->to.old));
        high = _mm512_add_ps(high, _mm512_maskz_loadu_ps(l->mask[1], l->to.old + 16));
    }
    mn_store_sums(&l->to, l->to.out, l->mask, low, high);
    mn_sums_advance(&l->to, 1);
    l->next++;
    l->n_rows--;
}

/* Stores a tile of sums and makes room for the next ones. */
#define RENEW(tile, row, output)                                                                                       \
    _tile_stored(tile, &l->sum[row][output], sizeof l->sum[0]);                                                        \
    _tile_zero(tile)

/* One step of a group: tiles 0 to 3 are rows 0-15 and 16-31 by outputs 0-15 and 16-31. At the first one the sums of the
 * group before leave one by one, each when its successor is about to be begun: stored together they would wait for the
 * last product. x is used once for each panel and must not push the panel out of the first-level cache (stream). */
MN_ALWAYS_INLINE void multiply_step(const bool first, const bool both, leaving *l, const mn_panel_column *w,
                                    const char *x, size_t x_bytes) {
    const int stride = sizeof *w;
    _tile_stream_loadd(4, x, x_bytes);
    _tile_loadd(6, &w->half[0], stride);
    if (first) {
        RENEW(0, 0, 0);
    }
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, &w->half[1], stride);
    if (first) {
        RENEW(1, 0, 16);
    }
    _tile_dpbf16ps(1, 4, 7);
    if (both) _tile_stream_loadd(5, x + MN_AMX_ROWS * x_bytes, x_bytes);
    if (first) {
        RENEW(2, 16, 0);
    }
    if (both) _tile_dpbf16ps(2, 5, 6);
    if (first) {
        RENEW(3, 16, 16);
    }
    if (both) _tile_dpbf16ps(3, 5, 7);
}

/* What a step takes along: rows of sums that leave, half columns of the next panel. */
typedef struct beside {
    int n_rows, n_halves;
} beside;

/* All steps of a group, and what can be done beside them. */
MN_ALWAYS_INLINE void multiply_group(const bool both, leaving *l, const mn_panel_column *w, const char *x,
                                     size_t x_bytes, int n_steps, panel *next, beside each) {
#pragma GCC unroll 1
    for (int step = 0; step < n_steps; step++, w += STEP_PAIRS, x += 64) {
        if (step == 0)
            multiply_step(true, both, l, w, x, x_bytes);
        else
            multiply_step(false, both, l, w, x, x_bytes);
        for (int i = 0; i < each.n_rows && l->n_rows > 0; i++) let_row_go(l);
        for (int i = 0; i < each.n_halves && next->n_done < next->n_halves; i++) expand_half(next);
    }
}

static void begin_leaving(leaving *l, const mn_matmul_sums *sums, int64_t n_rows) {
    l->next = (const float(*)[MN_PANEL_OUTPUTS])l->sum;
    l->n_rows = n_rows < GROUP_ROWS ? (int)n_rows : GROUP_ROWS;
    l->to = *sums;
}

/* Of the last group. */
static void let_all_go(leaving *l) {
    _tile_stored(0, &l->sum[0][0], sizeof l->sum[0]);
    _tile_stored(1, &l->sum[0][16], sizeof l->sum[0]);
    _tile_stored(2, &l->sum[16][0], sizeof l->sum[0]);
    _tile_stored(3, &l->sum[16][16], sizeof l->sum[0]);
    while (l->n_rows > 0) let_row_go(l);
}

static void tile(const mn_matmul_part *part, const void *p, void *next, const char *x, size_t x_bytes, int64_t n_rows,
                 mn_matmul_sums sums) {
    leaving l __attribute__((aligned(64)));
    l.n_rows = 0;
    for (int h = 0; h < 2; h++) l.mask[h] = mn_half_mask(part->n_outputs, h);
    const mn_panel_column *w = ((const panel *)p)->column;
    int n_steps = (part->n_inputs + STEP_INPUTS - 1) / STEP_INPUTS;
    beside each = {(GROUP_ROWS + n_steps - 1) / n_steps, 0};
    if (next) {
        int n_all = (int)((n_rows + GROUP_ROWS - 1) / GROUP_ROWS) * n_steps;
        each.n_halves = (((panel *)next)->n_halves + n_all - 1) / n_all;
    }
    x += (size_t)part->first_input * sizeof(uint16_t);
    for (; n_rows > 0; n_rows -= GROUP_ROWS, x += GROUP_ROWS * x_bytes, mn_sums_advance(&sums, GROUP_ROWS)) {
        if (n_rows > MN_AMX_ROWS)
            multiply_group(true, &l, w, x, x_bytes, n_steps, next, each);
        else
            multiply_group(false, &l, w, x, x_bytes, n_steps, next, each);
        begin_leaving(&l, &sums, n_rows);
    }
    let_all_go(&l);
    if (next) finish(next);
}

/* The last step's pairs that are not there. */
static void fill_up(panel *p, int n_inputs) {
    const mn_panel_column none = {{_mm512_setzero_si512(), _mm512_setzero_si512()}};
    for (int i = (n_inputs + 1) / 2; i < whole_steps(n_inputs) / 2; i++) p->column[i] = none;
}

#define PATH(type, pack_fn, pack_transposed_fn)                                                                        \
    static const mn_matmul_path path_##type = {                                                                        \
        .panel_outputs = MN_PANEL_OUTPUTS,                                                                             \
        .block_inputs = INPUTS,                                                                                        \
        .panel_bytes = sizeof(panel),                                                                                  \
        .tile_rows = GROUP_ROWS,                                                                                       \
        .x_element_bytes = sizeof(uint16_t),                                                                           \
        .enter = mn_amx_enter_whole,                                                                                   \
        .leave = leave,                                                                                                \
        .x_row_bytes = x_row_bytes,                                                                                    \
        .prepare = prepare,                                                                                            \
        .pack = pack_fn,                                                                                               \
        .pack_transposed = pack_transposed_fn,                                                                         \
        .finish = finish,                                                                                              \
        .tile = tile,                                                                                                  \
    }

#define QUANT(type, sub_blocks, offset)                                                                                \
    static void pack_##type(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {                        \
        (void)vec;                                                                                                     \
        panel *p = dst;                                                                                                \
        mn_quant_pack_part(part, mn_quant_pack_##type, &p->bytes);                                                     \
        p->n_halves = part->n_inputs / 2;                                                                              \
        p->n_done = 0;                                                                                                 \
        p->unit_shift = 4 - sub_blocks;                                                                                \
        p->offset_bits = offset;                                                                                       \
    }                                                                                                                  \
    PATH(type, pack_##type, NULL)
QUANT(q8_0, 1, 7);
QUANT(q4_0, 1, 3);
QUANT(q4_1, 1, 0);
QUANT(q5_0, 1, 4);
QUANT(q5_1, 1, 0);
QUANT(iq4_nl, 1, 7);
QUANT(mxfp4, 1, 4);
QUANT(iq4_xs, 1, 7);
QUANT(q2_k, 2, 0);
QUANT(q3_k, 2, 2);
QUANT(q4_k, 1, 0);
QUANT(q5_k, 1, 0);
QUANT(q6_k, 2, 5);

/* The level below packs the same pairs into the same columns. */
static void pack(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    mn_bf16_pack(part, vec, dst);
    fill_up(dst, part->n_inputs);
    ((panel *)dst)->n_halves = ((panel *)dst)->n_done = 0;
}

static void pack_transposed(const mn_matmul_part *part, const mn_vec_kernels *vec, void *dst) {
    mn_bf16_pack_transposed(part, vec, dst);
    fill_up(dst, part->n_inputs);
    ((panel *)dst)->n_halves = ((panel *)dst)->n_done = 0;
}
PATH(halves, pack, pack_transposed);

void mn_matmul_init_amx(mn_matmul_kernels *table) {
    for (int type = 0; type < MN_DTYPE_COUNT; type++) table->many_rows[type] = MN_MANY_ROWS;
    table->many[MN_F16] = table->many[MN_BF16] = &path_halves;
    table->many[MN_Q8_0] = &path_q8_0;
    table->many[MN_Q4_0] = &path_q4_0;
    table->many[MN_Q4_1] = &path_q4_1;
    table->many[MN_Q5_0] = &path_q5_0;
    table->many[MN_Q5_1] = &path_q5_1;
    table->many[MN_IQ4_NL] = &path_iq4_nl;
    table->many[MN_MXFP4] = &path_mxfp4;
    table->many[MN_IQ4_XS] = &path_iq4_xs;
    table->many[MN_Q2_K] = &path_q2_k;
    table->many[MN_Q3_K] = &path_q3_k;
    table->many[MN_Q4_K] = &path_q4_k;
    table->many[MN_Q5_K] = &path_q5_k;
    table->many[MN_Q6_K] = &path_q6_k;
}
