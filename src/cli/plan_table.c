#include "cli/plan_table.h"

#include "base/checked.h"
#include "base/human.h"
#include "cli/table.h"

#include <stdio.h>
#include <string.h>

enum { MAX_ROWS = 24, WINDOW_TOKENS = 4096, SEGMENT_TOKENS = 2048, BATCH_TOKENS = 512, MLA_RANK = 512, MLA_ROT = 64 };

/* As the titles of the table have them. */
static const int64_t lengths[] = {8 << 10, 32 << 10, 128 << 10, 512 << 10, 1 << 20};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

typedef struct row {
    char heads[32];
    const char *type;
    char pattern[32];                      /* empty = full attention */
    bool own;                              /* the model's own heads */
    size_t slab_bytes;                     /* of a page of all layers */
    int64_t max_tokens;                    /* rows kept at once, 0 = all */
    size_t fixed_bytes;                    /* besides */
    size_t compressed_bytes[MN_MAX_RATES]; /* of a page of compressed keys, one for each rates[i] tokens */
    int rates[MN_MAX_RATES];
} row;

typedef struct table {
    row rows[MAX_ROWS];
    int n;
} table;

static row *add(table *t, const char *heads, const mn_kv_shape *shape, mn_dtype type, bool own) {
    row *r = &t->rows[t->n++];
    mn_kv_shape typed = *shape;
    typed.k_type = typed.v_type = type;
    *r = (row){.type = mn_dtype_get(type)->name, .own = own, .slab_bytes = mn_kv_slab_bytes(&typed)};
    snprintf(r->heads, sizeof r->heads, "%s", heads);
    return r;
}

/* The same heads in every type worth choosing. */
static void add_types(table *t, const char *heads, const mn_kv_shape *shape, bool own) {
    add(t, heads, shape, MN_F16, own);
    add(t, heads, shape, MN_Q8_0, own);
    add(t, heads, shape, MN_Q4_0, own);
}

/* Whether all layers have the same heads. */
static bool is_alike(const mn_config *c) {
    bool alike = true;
    for (int i = 1; i < c->n_layers; i++)
        alike &=
            c->layers[i].n_kv_heads == c->layers[0].n_kv_heads && c->layers[i].head_dim_k == c->layers[0].head_dim_k;
    return alike;
}

/* Keys of a window, and compressed ones. */
static void add_compressed(table *t, const mn_config *c, mn_dtype type) {
    mn_kv_shape own = mn_sequence_kv_shape_all(c, type, type);
    row *r = add(t, "own", &own, type, true);
    snprintf(r->pattern, sizeof r->pattern, "compressed");
    r->max_tokens = c->window + MN_SPARE_TOKENS + BATCH_TOKENS;
    for (int i = 0; i < MN_MAX_RATES && c->rates[i]; i++) {
        mn_kv_shape keys = mn_sequence_compressed_shape(c, i, &own);
        r->rates[i] = c->rates[i];
        r->compressed_bytes[i] = mn_kv_slab_bytes(&keys);
    }
}

static void add_heads(table *t, const mn_config *c, const char *name, int n_kv_heads) {
    char heads[32];
    snprintf(heads, sizeof heads, "%s %d", name, n_kv_heads);
    mn_kv_layer layer = {(uint16_t)n_kv_heads, (uint16_t)c->head_dim_k, (uint16_t)c->head_dim_v};
    mn_kv_shape shape = mn_kv_shape_alike(c->n_layers, layer, false, MN_F16, MN_F16);
    bool own = is_alike(c) && !c->mla.kv_rank && !mn_config_compresses(c) && c->n_kv_heads == n_kv_heads;
    add_types(t, heads, &shape, own);
}

static void add_mla(table *t, const mn_config *c) {
    char heads[32];
    int rank = c->mla.kv_rank ? c->mla.kv_rank : MLA_RANK, n_rot = c->mla.kv_rank ? c->mla.n_rot : MLA_ROT;
    snprintf(heads, sizeof heads, "MLA %d+%d", rank, n_rot);
    mn_kv_layer layer = {1, (uint16_t)(rank + n_rot), (uint16_t)rank};
    mn_kv_shape shape = mn_kv_shape_alike(c->n_layers, layer, true, MN_F16, MN_F16);
    add_types(t, heads, &shape, c->mla.kv_rank > 0);
}

/* A divisor of n_heads near a quarter, where the model itself has no groups. */
static int group_count(const mn_config *c) {
    if (!c->mla.kv_rank && c->n_kv_heads > 1 && c->n_kv_heads < c->n_heads) return c->n_kv_heads;
    int n = MN_MAX(c->n_heads / 4, 1);
    while (c->n_heads % n) n--;
    return n;
}

/* The model's own heads with attention that keeps a fixed number of rows. */
static void add_patterns(table *t, const mn_config *c) {
    mn_kv_shape own = mn_sequence_kv_shape_all(c, MN_F16, MN_F16);
    row *window = add(t, "own", &own, MN_F16, true);
    snprintf(window->pattern, sizeof window->pattern, "window:%d", WINDOW_TOKENS);
    window->max_tokens = WINDOW_TOKENS + MN_SPARE_TOKENS + BATCH_TOKENS;
    mn_infini memory = c->infini.segment ? mn_attn_of_model(c).infini.shape
                                         : (mn_infini){.rule = MN_INFINI_LINEAR,
                                                       .n_heads = c->n_heads,
                                                       .n_kv_heads = own.layers[0].n_kv_heads,
                                                       .k_dim = own.layers[0].k_dim,
                                                       .v_dim = own.layers[0].v_dim,
                                                       .segment = SEGMENT_TOKENS};
    row *infini = add(t, "own", &own, MN_F16, true);
    snprintf(infini->pattern, sizeof infini->pattern, "infini:%lld", (long long)memory.segment);
    infini->max_tokens = memory.segment + BATCH_TOKENS;
    infini->fixed_bytes = mn_infini_state_bytes(&memory) * (size_t)c->n_layers;
}

static table make_table(const mn_config *c) {
    table t = {.n = 0};
    int n_groups = group_count(c);
    mn_kv_shape own = mn_sequence_kv_shape_all(c, MN_F16, MN_F16);
    static const mn_dtype types[] = {MN_F16, MN_Q8_0, MN_Q4_0};
    if (!is_alike(c)) add_types(&t, "own", &own, true);
    for (int i = 0; i < 3 && mn_config_compresses(c); i++) add_compressed(&t, c, types[i]);
    add_heads(&t, c, "MHA", c->n_heads);
    if (n_groups > 1 && n_groups < c->n_heads) add_heads(&t, c, "GQA", n_groups);
    add_heads(&t, c, "MQA", 1);
    add_mla(&t, c);
    if (!mn_config_compresses(c)) add_patterns(&t, c);
    return t;
}

static size_t pages_of(int64_t n_tokens) { return (size_t)((n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS); }

static size_t row_bytes(const row *r, int64_t n_ctx) {
    int64_t n = r->max_tokens ? MN_MIN(n_ctx, r->max_tokens) : n_ctx;
    size_t bytes = r->slab_bytes * pages_of(n) + r->fixed_bytes;
    for (int i = 0; i < MN_MAX_RATES && r->rates[i]; i++)
        bytes += r->compressed_bytes[i] * pages_of(n_ctx / r->rates[i]);
    return bytes;
}

void mn_plan_table_print(const mn_config *config, size_t spare_bytes) {
    static const char *const titles[] = {"KV heads", "type", "attention", "8k", "32k", "128k", "512k", "1M", NULL};
    table t = make_table(config);
    mn_table out;
    bool marked = false;
    mn_table_begin(&out, titles, 7);
    for (const row *r = t.rows; r < t.rows + t.n; r++) {
        mn_human text;
        mn_table_add(&out, "%s", r->heads);
        mn_table_add(&out, "%s", r->type);
        mn_table_add(&out, "%s", r->pattern[0] ? r->pattern : r->own ? "full (own)" : "full");
        for (int i = 0; i < N_LENGTHS; i++) {
            size_t bytes = row_bytes(r, lengths[i]);
            bool fits = bytes <= spare_bytes;
            marked |= !fits;
            mn_table_add(&out, "%s%s", fits ? "" : "*", mn_human_bytes(text, bytes));
        }
    }
    mn_table_end(&out, stdout);
    if (marked) puts("* more than is free beside the weights");
}

json_t *mn_plan_table_json(const mn_config *config, size_t spare_bytes) {
    table t = make_table(config);
    json_t *rows = json_array();
    for (const row *r = t.rows; r < t.rows + t.n; r++)
        for (int i = 0; i < N_LENGTHS; i++) {
            size_t bytes = row_bytes(r, lengths[i]);
            json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:b,s:I,s:I,s:b}", "heads", r->heads, "type", r->type,
                                                  "pattern", r->pattern[0] ? r->pattern : "full", "own", (int)r->own,
                                                  "n_ctx", (json_int_t)lengths[i], "bytes", (json_int_t)bytes, "fits",
                                                  (int)(bytes <= spare_bytes)));
        }
    return rows;
}
