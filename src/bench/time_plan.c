#include "bench/time_plan.h"

#include "attention/mla.h"
#include "base/checked.h"

#include <math.h>
#include <string.h>

static const double INT8_SHARE = 0.45, BF16_SHARE = 0.67, F32_SHARE = 0.75, ATTENTION_SHARE = 0.64, READ_SHARE = 0.7;

/* Weights that one token is multiplied with, and their bytes. */
typedef struct used_weights {
    double n, bytes;
} used_weights;

static used_weights count_used(const mn_model *m) {
    const mn_router *r = &m->config.moe.router;
    bool own_output = mn_gguf_tensor(m->gguf, "output.weight") != NULL;
    used_weights used = {0, 0};
    for (int64_t i = 0; i < mn_gguf_n_tensors(m->gguf); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(m->gguf, i);
        double share = r->n_experts && strstr(t->name, "_exps.weight") ? (double)r->n_used / r->n_experts : 1;
        if (t->type == MN_I32) continue;
        if (own_output && !strcmp(t->name, "token_embd.weight")) continue;
        used.n += share * (double)(t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]);
        used.bytes += share * (double)t->bytes;
    }
    return used;
}

/* Keys in the blocks that a pattern lists for the last of n queries; all where it chooses by looking. */
static double listed(const mn_pattern *p, int64_t n) {
    mn_arena arena = MN_ARENA_INIT;
    mn_block_list lists;
    mn_error err;
    double keys = (double)n;
    if (p->kind->traits & MN_PATTERN_EXACT || mn_pattern_is_dynamic(p)) return keys;
    if (mn_pattern_blocks(p, n - 1, 1, n, &arena, &lists, &err) == MN_OK)
        keys = MN_MIN(keys, (double)lists.offsets[1] * lists.block_tokens);
    mn_arena_release(&arena);
    return keys;
}

/* Compressed keys that the last query of n tokens sees in a layer. */
static int64_t compressed(const mn_config *c, int layer, int64_t n) {
    const mn_layer_shape *l = &c->layers[layer];
    if (l->ratio == 0) return 0;
    return l->has_indexer ? MN_MIN(n / l->ratio, c->indexer.top_k) : n / l->ratio;
}

/* Keys that the last query of n tokens sees in a layer. */
static double seen(const mn_config *c, const mn_attn_spec *r, int layer, int64_t n) {
    int64_t segment = r->infini.shape.segment, limit = segment ? segment : mn_config_sight(c, layer);
    const mn_pattern *p = r->patterns ? &r->patterns[layer] : NULL;
    if (!mn_attn_caches(r, c, layer)) return 0;
    if (!segment && p && p->kind) return listed(p, n);
    return (double)(limit ? MN_MIN(n, limit) : n) + (double)compressed(c, layer, n);
}

/* Pairs of a query and a key that it sees. Segments are on average half full. */
static double pairs(const mn_config *c, const mn_attn_spec *r, int layer, int64_t n) {
    double last = seen(c, r, layer, n), rest = (double)n - last;
    return last * last / 2 + rest * (r->infini.shape.segment ? last / 2 : last);
}

static double product_rate(mn_dtype type, const mn_peaks *p) {
    bool halves = type == MN_F16 || type == MN_BF16;
    if (!halves && type != MN_F32 && p->int8_ops_per_s > 0) return INT8_SHARE * p->int8_ops_per_s;
    if (halves && p->bf16_flops_per_s > 0) return BF16_SHARE * p->bf16_flops_per_s;
    return F32_SHARE * p->f32_flops_per_s;
}

/* What MLA saves in a layer while it materialises: steps of n_batch rows up to the depth where that pays. Half of the
 * square are pairs; every step makes the keys before it anew. */
static double saved_by_materialising(const mn_engine *e, const mn_attn_spec *r, const mn_window *w) {
    const mn_mla_config *c = &e->model.config.mla;
    mn_mla m = mn_layer_mla(&e->model.config, &e->model.weights.layers[0]);
    int64_t deepest = e->compute.exact || r->absorbs || c->kv_rank == 0 ? -1 : mn_mla_deepest(&m, w->n_batch);
    if (deepest < 0) return 0;
    double n = (double)(deepest < w->n_ctx ? deepest : w->n_ctx), steps = n / w->n_batch;
    double pair = 2.0 * c->kv_rank - c->n_nope - c->v_dim, made = (double)c->kv_rank * (c->n_nope + c->v_dim);
    return 2.0 * e->model.config.n_heads * (n * n / 2 * pair - n * fmax(steps - 1, 0) / 2 * made);
}

/* Of the matrices that most products are with: the first layer's output, of whatever mixes its tokens. */
static mn_dtype weights_type(const mn_model *m) {
    const mn_layer *l = &m->weights.layers[0];
    return l->o.w.data ? l->o.w.type : l->mixer.out.w.type;
}

/* A layer's recurrent state of the model's own: read and written once a token, about three products for each number. */
static void add_mixer(mn_time_plan *p, const mn_config *c, int layer, int64_t n_ctx) {
    double n = c->layers[layer].has_mixer ? (double)c->mixer.n_heads * c->mixer.k_dim * c->mixer.v_dim : 0;
    p->attention_flops += 3 * 2 * n * (double)n_ctx;
    p->read_bytes += 2 * n * sizeof(float);
}

mn_time_plan mn_time_plan_make(const mn_engine *e, const mn_window *w, const mn_peaks *peaks) {
    const mn_config *c = &e->model.config;
    mn_attn_spec attn = w->attn ? *w->attn : mn_attn_of_model(c);
    used_weights used = count_used(&e->model);
    mn_kv_shape shape = mn_sequence_kv_shape_all(c, w->k_type, w->v_type);
    mn_time_plan p = {.prefill_flops = 2 * used.n * (double)w->n_ctx, .read_bytes = used.bytes};
    for (int layer = 0; layer < c->n_layers; layer++) {
        const mn_layer_shape *l = &c->layers[layer];
        double row_bytes = (double)mn_kv_page_bytes(&shape, layer) / MN_PAGE_TOKENS;
        double pair_flops = 2.0 * (shape.layers[layer].k_dim + shape.layers[layer].v_dim) * l->n_heads;
        p.attention_flops += pair_flops * pairs(c, &attn, layer, w->n_ctx) - saved_by_materialising(e, &attn, w);
        p.read_bytes += row_bytes * seen(c, &attn, layer, w->n_ctx);
        add_mixer(&p, c, layer, w->n_ctx);
        if (!mn_attn_has_state(&attn, c, layer)) continue;
        double products = (double)l->n_heads * l->head_dim_k * l->head_dim_v; /* of a read, as many of a write */
        p.attention_flops += 2 * 2 * products * (double)w->n_ctx;
        p.read_bytes += (double)sizeof(float) * l->n_kv_heads * l->head_dim_k * l->head_dim_v;
    }
    double attention_peak = MN_MAX(peaks->bf16_flops_per_s, peaks->f32_flops_per_s);
    p.prefill_s = p.prefill_flops / product_rate(weights_type(&e->model), peaks) +
                  p.attention_flops / (ATTENTION_SHARE * attention_peak);
    p.per_token_s = p.read_bytes / (READ_SHARE * peaks->read_bytes_per_s);
    return p;
}
