/* Attention tiles multiplied by tdpbf16ps: 16 query rows (a group) by 16 keys or value elements by 32 products at a
 * time.
 *
 * A run of key tiles meets a few groups in two passes. First keys: while tiles multiply one group's queries with the
 * keys, the vector units turn the scores of the group before into weights. Then values, all weights of a group at once:
 * moving outputs into tiles and back costs as much as multiplying 64 keys.
 *
 * Packed: q [k_pad]; k [k_pad / 2][MN_TILE_KEYS] pairs of dims; v in panels of 64 elements (the last may be narrower),
 * in each [MN_TILE_KEYS / 2][width] pairs of keys in the order of the weights.
 */
#include "kernels/attend_amx_weigh.h"
#include "kernels/attend_bf16.h"

enum {
    K_DIMS = 32,       /* of a product */
    PANEL = 64,        /* value elements of four tiles */
    CHUNK_GROUPS = 16, /* whose weights stay in the second-level cache until the values come */
    PAIR_ROWS = MN_TILE_KEYS / 2
};

/* Tiles, all whole: 5 and 6 factors; 0 and 1 scores; 0, 1, 2 and 4 outputs, 7 the sums of weights, 3 ones. The compiler
 * does not know that loading a tile reads memory. */
#define LOAD_TILE(tile, from, row_bytes)                                                                               \
    do {                                                                                                               \
        __asm__ volatile("" ::: "memory");                                                                             \
        _tile_loadd(tile, from, row_bytes);                                                                            \
    } while (0)

static const uint16_t ones[ROWS * 32] __attribute__((aligned(64))) = {[0 ... ROWS * 32 - 1] = 0x3f80};

/* A group's products with a key tile, to be made little by little. */
typedef struct key_products {
    float *s; /* [ROWS, MN_TILE_KEYS] */
    const char *q, *k;
    size_t q_row_bytes;
    int n_steps; /* of K_DIMS dims */
} key_products;

#define KEY_STEPS(sum)                                                                                                 \
    for (int i = first; i < last; i++) {                                                                               \
        LOAD_TILE(5, p->q + 64 * i, p->q_row_bytes);                                                                   \
        LOAD_TILE(6, p->k + 64 * column + (size_t)i * (K_DIMS / 2) * MN_TILE_KEYS * 4, MN_TILE_KEYS * 4);              \
        _tile_dpbf16ps(sum, 5, 6);                                                                                     \
    }
#define STORE_SCORES(sum, column) _tile_stored(sum, p->s + 16 * (column), MN_TILE_KEYS * 4)

/* Quarter `part` of 16. Sixteen keys take four of them; their scores are fetched in the middle of the next four, when
 * no instruction waits for them any more. */
MN_INLINE void multiply_some_keys(const key_products *p, const int part) {
    const int column = part / 4, first = part % 4 * p->n_steps / 4, last = (part % 4 + 1) * p->n_steps / 4;
    if (column % 2) {
        if (part % 4 == 0) _tile_zero(1);
        KEY_STEPS(1)
        if (part % 4 == 2) STORE_SCORES(0, column - 1);
    } else {
        if (part % 4 == 0) _tile_zero(0);
        KEY_STEPS(0)
        if (part % 4 == 2 && column) STORE_SCORES(1, column - 1);
    }
    if (part == ROWS - 1) STORE_SCORES(1, column);
}

static void multiply_keys(const key_products *p) {
#pragma GCC unroll 16
    for (int part = 0; part < ROWS; part++) multiply_some_keys(p, part);
}

/* Weighs one group's scores, and multiplies those of the next meanwhile (if next). */
MN_INLINE void weigh_group(weigher *w, group *g, char *weights, const float *s, const uint64_t *seen,
                           const key_products *next) {
    start_group(w, g->m);
    weigh_constants c = hold_constants(w);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) {
        if (next) multiply_some_keys(next, r);
        weigh_row(w, g, weights, s, r, seen, &c);
    }
}

/* Three cases, each compiled for itself. */
static void weigh_all(weigher *w, group *g, char *weights, const float *s, const key_products *next) {
    weigh_group(w, g, weights, s, NULL, next);
}

static void weigh_seen(weigher *w, group *g, char *weights, const float *s, const uint64_t *seen,
                       const key_products *next) {
    weigh_group(w, g, weights, s, seen, next);
}

static void weigh_last(weigher *w, group *g, char *weights, const float *s, const uint64_t *seen) {
    weigh_group(w, g, weights, s, seen, NULL);
}

/* One panel of a group's outputs += weights v; with it column 0 of sums += weights, as products with ones. Each goes on
 * from what it was, weight by weight: which tiles came together does not show. */
MN_INLINE void multiply_panel_values(const group *g, float *o, size_t o_row_bytes, const char *v, size_t v_tile_bytes,
                                     float *sums, const int n_vectors) {
    size_t v_row_bytes = (size_t)n_vectors * 64;
#define FOR_VECTORS(do_with)                                                                                           \
    do_with(0, 0);                                                                                                     \
    if (n_vectors > 1) do_with(1, 1);                                                                                  \
    if (n_vectors > 2) do_with(2, 2);                                                                                  \
    if (n_vectors > 3) do_with(4, 3)
#define LOAD_OUT(tile, i) LOAD_TILE(tile, o + 16 * (i), o_row_bytes)
#define STORE_OUT(tile, i) _tile_stored(tile, o + 16 * (i), o_row_bytes)
#define MULTIPLY(tile, i)                                                                                              \
    LOAD_TILE(6, rows + 64 * (i), v_row_bytes);                                                                        \
    _tile_dpbf16ps(tile, 5, 6)
    FOR_VECTORS(LOAD_OUT);
    if (sums) LOAD_TILE(7, sums, 64);
    for (int t = 0; t < g->n_tiles; t++)
        for (int half = 0; half < 2; half++) {
            const char *rows = v + g->tiles[t] * v_tile_bytes + (size_t)half * ROWS * v_row_bytes;
            LOAD_TILE(5, g->weights + t * WEIGHT_BYTES + 64 * half, WEIGHT_ROW_BYTES);
            MULTIPLY(0, 0);
            if (n_vectors > 1) {
                MULTIPLY(1, 1);
            }
            if (n_vectors > 2) {
                MULTIPLY(2, 2);
            }
            if (n_vectors > 3) {
                MULTIPLY(4, 3);
            }
            if (sums) _tile_dpbf16ps(7, 5, 3);
        }
    FOR_VECTORS(STORE_OUT);
    if (sums) _tile_stored(7, sums, 64);
#undef MULTIPLY
#undef STORE_OUT
#undef LOAD_OUT
#undef FOR_VECTORS
}

static void multiply_values(const group *g, int first, const char *v, int v_pad, float *sums) {
    float *o = g->o + first;
    size_t o_bytes = (size_t)v_pad * sizeof *o, v_bytes = (size_t)v_pad * MN_TILE_KEYS * 2;
    v += (size_t)first * MN_TILE_KEYS * 2;
    switch (v_pad - first) {
    case 16: multiply_panel_values(g, o, o_bytes, v, v_bytes, sums, 1); break;
    case 32: multiply_panel_values(g, o, o_bytes, v, v_bytes, sums, 2); break;
    case 48: multiply_panel_values(g, o, o_bytes, v, v_bytes, sums, 3); break;
    default: multiply_panel_values(g, o, o_bytes, v, v_bytes, sums, 4); break;
    }
}

/* The panels of v one after the other, so that each stays in the first-level cache for all groups. */
static void absorb_values(group *groups, int n_groups, const char *v, int v_pad) {
    float sums[ROWS * 16] __attribute__((aligned(64))) = {0};
    LOAD_TILE(3, ones, 64);
    for (int first = 0; first < v_pad; first += PANEL)
        for (group *g = groups; g < groups + n_groups; g++) {
            for (int r = 0; r < ROWS; r++) sums[16 * r] = g->l[r];
            multiply_values(g, first, v, v_pad, first ? NULL : sums);
            for (int r = 0; r < ROWS; r++) g->l[r] = sums[16 * r];
        }
}

/* Rows that do not fill a group, copied. Of those that are absent nothing is kept. */
typedef struct few_rows {
    float m[ROWS], l[ROWS], o[ROWS * MN_ATTEND_MAX_DIM];
} few_rows;

static void copy_few(few_rows *few, mn_softmax_rows rows, int n_rows, int v_pad) {
    size_t n_floats = (size_t)n_rows * (size_t)v_pad;
    for (int r = 0; r < ROWS; r++) {
        few->m[r] = r < n_rows ? rows.m[r] : -INFINITY;
        few->l[r] = r < n_rows ? rows.l[r] : 0;
    }
    memcpy(few->o, rows.o, n_floats * sizeof *few->o);
    memset(few->o + n_floats, 0, ((size_t)ROWS * (size_t)v_pad - n_floats) * sizeof *few->o);
}

static void write_few(mn_softmax_rows rows, const few_rows *few, int n_rows, int v_pad) {
    memcpy(rows.m, few->m, (size_t)n_rows * sizeof *few->m);
    memcpy(rows.l, few->l, (size_t)n_rows * sizeof *few->l);
    memcpy(rows.o, few->o, (size_t)n_rows * (size_t)v_pad * sizeof *few->o);
}

/* Of the memory of a run. */
typedef struct room {
    float s[2][ROWS * MN_TILE_KEYS];
    char weights[CHUNK_GROUPS][MN_RUN_TILES * WEIGHT_BYTES];
    few_rows few;
    uint64_t few_seen[MN_RUN_TILES][ROWS];
    weigher w;
} room;

static bool sees_any(const uint64_t *seen) {
    uint64_t any = 0;
    for (int r = 0; r < ROWS; r++) any |= seen[r];
    return any != 0;
}

/* A product of a group with a key tile. */
typedef struct item {
    group *g;
    int tile;
} item;

static int list_items(item *items, group *groups, int n_groups, int n_tiles) {
    int n = 0;
    for (int t = 0; t < n_tiles; t++)
        for (group *g = groups; g < groups + n_groups; g++)
            if (!g->seen[t] || sees_any(g->seen[t])) items[n++] = (item){g, t};
    return n;
}

static key_products products_of(const mn_attend_run *run, const item *it, float *s) {
    return (key_products){s, it->g->q, run->k + (size_t)it->tile * (size_t)run->k_pad * MN_TILE_KEYS * 2,
                          (size_t)run->k_pad * 2, run->k_pad / K_DIMS};
}

static void attend_groups(const mn_attend_run *run, room *m, group *groups, int n_groups) {
    item items[CHUNK_GROUPS * MN_RUN_TILES];
    int n = list_items(items, groups, n_groups, run->n_tiles);
    if (n == 0) return;
    key_products products = products_of(run, items, m->s[0]);
    multiply_keys(&products);
    for (int i = 0; i < n; i++) {
        group *g = items[i].g;
        const uint64_t *seen = g->seen[items[i].tile];
        char *weights = g->weights + g->n_tiles * WEIGHT_BYTES;
        if (i + 1 < n) products = products_of(run, &items[i + 1], m->s[(i + 1) % 2]);
        if (i + 1 == n)
            weigh_last(&m->w, g, weights, m->s[i % 2], seen);
        else if (seen)
            weigh_seen(&m->w, g, weights, m->s[i % 2], seen, &products);
        else
            weigh_all(&m->w, g, weights, m->s[i % 2], &products);
        g->tiles[g->n_tiles++] = (uint8_t)items[i].tile;
    }
    absorb_values(groups, n_groups, run->v, run->v_pad);
}

static group group_at(const mn_attend_run *run, mn_softmax_rows rows, int row, char *weights) {
    group g = {.q = run->q + (size_t)row * (size_t)run->k_pad * 2,
               .m = rows.m + row,
               .l = rows.l + row,
               .o = rows.o + (size_t)row * (size_t)run->v_pad,
               .weights = weights};
    for (int t = 0; t < run->n_tiles; t++) g.seen[t] = run->seen[t] ? run->seen[t] + row : NULL;
    return g;
}

/* The last n_rows rows. */
static void attend_few(const mn_attend_run *run, room *m, mn_softmax_rows rows, int row, int n_rows) {
    group g = group_at(run, rows, row, m->weights[0]);
    mn_softmax_rows last = {g.m, g.l, g.o};
    copy_few(&m->few, last, n_rows, run->v_pad);
    g.m = m->few.m;
    g.l = m->few.l;
    g.o = m->few.o;
    for (int t = 0; t < run->n_tiles; t++) {
        for (int r = 0; r < ROWS; r++) m->few_seen[t][r] = r >= n_rows ? 0 : g.seen[t] ? g.seen[t][r] : ~(uint64_t)0;
        g.seen[t] = m->few_seen[t];
    }
    attend_groups(run, m, &g, 1);
    write_few(last, &m->few, n_rows, run->v_pad);
}

static void attend_amx(mn_softmax_rows rows, const mn_attend_run *run) {
    room *m = (room *)(void *)run->room;
    group groups[CHUNK_GROUPS];
    start_weigher(&m->w, run->factor, run->v_pad);
    int row = 0;
    while (run->n_rows - row >= ROWS) {
        int n = 0;
        for (; n < CHUNK_GROUPS && run->n_rows - row >= ROWS; n++, row += ROWS)
            groups[n] = group_at(run, rows, row, m->weights[n]);
        attend_groups(run, m, groups, n);
    }
    if (row < run->n_rows) attend_few(run, m, rows, row, run->n_rows - row);
}

static void scores_amx(float *s, const void *q, const void *k, float factor, int n_rows, int k_pad) {
    const key_products products = {s, q, k, (size_t)k_pad * 2, k_pad / K_DIMS};
    multiply_keys(&products);
    for (int i = 0; i < n_rows * MN_TILE_KEYS; i += 16)
        _mm512_store_ps(s + i, _mm512_mul_ps(_mm512_load_ps(s + i), _mm512_set1_ps(factor)));
}

static void absorb_amx(mn_softmax_rows rows, float *s, const void *v, int n_rows, int v_pad) {
    few_rows few;
    weigher w;
    char weights[WEIGHT_BYTES] __attribute__((aligned(64)));
    group g = {.m = few.m, .l = few.l, .o = few.o, .weights = weights};
    copy_few(&few, rows, n_rows, v_pad);
    for (int i = n_rows * MN_TILE_KEYS; i < ROWS * MN_TILE_KEYS; i++) s[i] = -INFINITY;
    start_weigher(&w, 1, v_pad);
    weigh_last(&w, &g, weights, s, NULL);
    g.n_tiles = 1;
    absorb_values(&g, 1, v, v_pad);
    write_few(rows, &few, n_rows, v_pad);
}

static void pack_q_amx(void *packed, const float *q, int k_dim) {
    char *out = packed;
    for (int i = 0; i < k_dim; i += K_DIMS, out += 64) {
        __mmask32 mask = dims_mask(k_dim, i / 32);
        _mm512_store_si512(out, load_bf16(MN_F32, (const char *)q, i / 32, mask));
    }
}

static int whole_steps(int dim) { return (dim + K_DIMS - 1) / K_DIMS * K_DIMS; }

/* Pair j of 16 in the order of weigh_row. */
static int place_of_pair(int j) { return j / 2 % 4 * 4 + j / 8 * 2 + j % 2; }

MN_INLINE void pack_v_type(char *out, mn_dtype type, const mn_cached_rows *v, int v_dim) {
    const char *rows = v->rows;
    int v_pad = mn_attend_pad(v_dim);
    for (int j = 0; j < PAIR_ROWS; j++, rows += 2 * v->row_bytes) {
        fetch_ahead(v, 2 * j, 2);
        for (int i = 0; 32 * i < v_pad; i++) {
            int panel = i / 2 * PANEL, width = v_pad - panel < PANEL ? v_pad - panel : PANEL;
            char *row = out + panel * MN_TILE_KEYS * 2 + (j / 16 * 16 + place_of_pair(j % 16)) * width * 4;
            __mmask32 mask = dims_mask(v_dim, i);
            __m512i a = 2 * j < v->n_keys ? load_bf16(type, rows, i, mask) : _mm512_setzero_si512();
            __m512i b = 2 * j + 1 < v->n_keys ? load_bf16(type, rows + v->row_bytes, i, mask) : _mm512_setzero_si512();
            pack_v_pair(row + i % 2 * 128, a, b, v_pad - 32 * i);
        }
    }
}

static void pack_k_amx(void *packed, const mn_cached_rows *k, int k_dim) {
    FOR_CACHED_TYPE(pack_k_type, packed, k, k_dim, whole_steps(k_dim))
}

static void pack_v_amx(void *packed, const mn_cached_rows *v, int v_dim) {
    FOR_CACHED_TYPE(pack_v_type, packed, v, v_dim)
}

void mn_attend_init_amx(mn_attend_kernels *table) {
    table->direct[MN_F32].max_rows = table->direct[MN_F16].max_rows = table->direct[MN_BF16].max_rows =
        MAX_DIRECT_ROWS_AMX;
    table->fast = (mn_attend_ops){.operand_bytes = 2,
                                  .k_dims = K_DIMS,
                                  .tile_rows = ROWS,
                                  .row_tile_bytes = 2 * MN_ROW_TILE_BYTES, /* processors with tiles have 2 MiB */
                                  .enter = mn_amx_enter_whole,
                                  .leave = mn_amx_leave,
                                  .pack_q = pack_q_amx,
                                  .pack_k = pack_k_amx,
                                  .pack_v = pack_v_amx,
                                  .scores = scores_amx,
                                  .absorb = absorb_amx,
                                  .merge = table->fast.merge,
                                  .attend = attend_amx,
                                  .run_bytes = sizeof(room),
                                  .mask = table->fast.mask,
                                  .softcap = table->fast.softcap,
                                  .add_slope = table->fast.add_slope};
}
