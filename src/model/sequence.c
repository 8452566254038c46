#include "model/sequence.h"

#include "base/checked.h"
#include "base/huge.h"
#include "model/weights.h"
#include "tensor/blocks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_ALIGN = 64 };

_Static_assert((int)MN_KV_MAX_LAYERS == (int)MN_MAX_LAYERS, "every layer may cache");

/* MLA caches one latent row per token, whose head is also the value. */
static mn_kv_layer cached_layer(const mn_config *c, int layer) {
    const mn_layer_shape *l = &c->layers[layer];
    int latent = c->mla.kv_rank;
    if (latent) return (mn_kv_layer){1, (uint16_t)(latent + c->mla.n_rot), (uint16_t)latent};
    return (mn_kv_layer){(uint16_t)l->n_kv_heads, (uint16_t)l->head_dim_k, (uint16_t)l->head_dim_v};
}

mn_kv_shape mn_sequence_kv_shape_all(const mn_config *c, mn_dtype k_type, mn_dtype v_type) {
    mn_kv_shape shape = {.n_layers = c->n_layers, .k_type = k_type, .v_type = v_type};
    shape.v_in_k = c->mla.kv_rank > 0 || c->shares_k_v; /* inside the braces GCC 12 loses the types for it */
    for (int i = 0; i < c->n_layers; i++) shape.layers[i] = cached_layer(c, i);
    return shape;
}

mn_kv_shape mn_sequence_kv_shape(const mn_config *c, const mn_attn_spec *attn, mn_dtype k_type, mn_dtype v_type) {
    mn_kv_shape shape = mn_sequence_kv_shape_all(c, k_type, v_type);
    int n = 0;
    for (int i = 0; i < c->n_layers; i++)
        if (mn_attn_caches(attn, c, i)) shape.layers[n++] = shape.layers[i];
    if (n == 0) shape.layers[0] = (mn_kv_layer){1, MN_BLOCK, MN_BLOCK};
    shape.n_layers = MN_MAX(n, 1);
    return shape;
}

static mn_kv_shape indexer_shape(const mn_config *c, const mn_kv_shape *shape) {
    mn_kv_shape keys = {.v_in_k = true, .k_type = shape->k_type, .v_type = shape->k_type};
    for (int i = 0; i < c->n_layers; i++)
        if (c->layers[i].has_indexer)
            keys.layers[keys.n_layers++] = (mn_kv_layer){1, (uint16_t)c->indexer.dim, (uint16_t)c->indexer.dim};
    return keys;
}

mn_kv_shape mn_sequence_second_shape(const mn_config *c, const mn_attn_spec *attn, const mn_kv_shape *shape) {
    mn_kv_shape keys = *shape;
    if (c->indexer.top_k && !mn_config_compresses(c)) return indexer_shape(c, shape);
    if (attn->map.n_planes < 2) return (mn_kv_shape){0};
    keys.v_in_k = true;
    for (int i = 0; i < keys.n_layers; i++) keys.layers[i].v_dim = keys.layers[i].k_dim;
    return keys;
}

mn_kv_shape mn_sequence_compressed_shape(const mn_config *c, int rate, const mn_kv_shape *shape) {
    mn_kv_shape keys = {.v_in_k = true, .k_type = shape->k_type, .v_type = shape->k_type};
    for (int i = 0; i < c->n_layers && c->rates[rate]; i++) {
        uint16_t dim = (uint16_t)c->layers[i].head_dim_k, indexer_dim = (uint16_t)c->indexer.dim;
        if (c->layers[i].ratio != c->rates[rate]) continue;
        keys.layers[keys.n_layers++] = (mn_kv_layer){1, dim, dim};
        if (c->layers[i].has_indexer) keys.layers[keys.n_layers++] = (mn_kv_layer){1, indexer_dim, indexer_dim};
    }
    return keys;
}

int mn_sequence_compressed_layer(const mn_config *c, int layer, bool of_indexer) {
    int n = of_indexer;
    for (int i = 0; i < layer; i++)
        if (c->layers[i].ratio == c->layers[layer].ratio) n += 1 + c->layers[i].has_indexer;
    return n;
}

/* Floats of the state of compressors in a layer: of its keys, of its indexer's. */
static int64_t compressor_floats(const mn_config *c, int layer, bool of_indexer) {
    mn_compressor x = mn_layer_compressor(c, NULL, layer, of_indexer);
    bool is_there = of_indexer ? c->layers[layer].has_indexer : c->layers[layer].ratio > 0;
    return is_there ? mn_compressor_state_floats(&x) : 0;
}

/* Of all layers before one: at most 2^10 layers of 2^25 numbers. */
static int64_t compressor_floats_before(const mn_config *c, int layer) {
    int64_t n = 0;
    for (int i = 0; i < layer && mn_config_compresses(c); i++)
        n += compressor_floats(c, i, false) + compressor_floats(c, i, true);
    return n;
}

float *mn_sequence_compressor_state(const mn_sequence *t, const mn_config *c, int layer, bool of_indexer) {
    int64_t before = compressor_floats_before(c, layer) + (of_indexer ? compressor_floats(c, layer, false) : 0);
    return (float *)(void *)(t->state + t->compressors_at) + before;
}

/* DeepSeek multiplies scores by the square of 1 + m ln s and leaves cos and sin as they are. */
static void move_temperature(mn_sequence *t, const mn_config *c, const mn_rope_spec *rope) {
    if (!c->temperature_in_scores || rope->scaling != MN_ROPE_YARN) return;
    double attn_factor = rope->attn_factor > 0 ? rope->attn_factor : 1;
    double mscale = attn_factor * (1.0 + c->yarn_log_multiplier * log(t->rope.factor));
    t->rope.scale = 1;
    t->score_scale = (float)(c->attention_scale * mscale * mscale);
}

static mn_status init_positions(mn_sequence *t, const mn_config *c, const mn_rope_spec *rope, int64_t n_ctx,
                                mn_error *err) {
    t->score_scale = c->attention_scale;
    if (c->rope_style == MN_ROPE_STYLE_NONE) return MN_OK;
    MN_TRY(mn_rope_init(rope, n_ctx, &t->rope, err));
    move_temperature(t, c, rope);
    return c->rope_local.freq_base > 0 ? mn_rope_init(&c->rope_local, n_ctx, &t->rope_local, err) : MN_OK;
}

/* The states and history of a layer with a mixer. False when a size overflows. */
static bool lay_out_mixer(mn_sequence *t, const mn_mixer_config *m, size_t *bytes) {
    size_t states, history;
    return mn_mul_size((size_t)m->n_heads * sizeof(float), (size_t)m->k_dim, &states) &&
           mn_mul_size(states, (size_t)m->v_dim, &states) && mn_align_size(states, STATE_ALIGN, &t->mixer_history_at) &&
           mn_mul_size((size_t)MN_MAX(m->n_taps - 1, 0) * sizeof(float), (size_t)m->n_channels, &history) &&
           mn_add_size(t->mixer_history_at, history, &history) && mn_align_size(history, STATE_ALIGN, bytes);
}

/* q and k histories of every layer, then the other states. MN_ERR_LIMIT when a size overflows. */
static mn_status lay_out_state(mn_sequence *t, const mn_config *c, mn_error *err) {
    size_t history = c->n_conv_taps ? (size_t)(c->n_conv_taps - 1) * sizeof(float) : 0;
    size_t q = 0, k = 0, others, mixers, compressors = (size_t)compressor_floats_before(c, c->n_layers) * sizeof(float);
    mn_align_size(history * (size_t)c->n_heads * (size_t)c->head_dim_k, STATE_ALIGN, &q);
    mn_align_size(history * (size_t)c->n_kv_heads * (size_t)c->head_dim_k, STATE_ALIGN, &k);
    MN_TRY(mn_attn_state_bytes(&t->attn, c, &t->layer_bytes, err));
    t->k_history_at = q;
    t->history_bytes = q + k;
    if (!mn_mul_size(t->history_bytes, (size_t)c->n_layers, &t->layers_at) ||
        !mn_mul_size(t->layer_bytes, (size_t)mn_attn_state_layer(&t->attn, c, c->n_layers), &others) ||
        !mn_add_size(t->layers_at, others, &t->mixers_at) || !lay_out_mixer(t, &c->mixer, &t->mixer_bytes) ||
        !mn_mul_size(t->mixer_bytes, (size_t)mn_config_n_mixers(c), &mixers) ||
        !mn_add_size(t->mixers_at, mixers, &t->compressors_at) ||
        !mn_align_size(compressors, STATE_ALIGN, &compressors) ||
        !mn_add_size(t->compressors_at, compressors, &t->state_bytes))
        return mn_fail(err, MN_ERR_LIMIT, "the state of %d layers overflows.", c->n_layers);
    return MN_OK;
}

mn_status mn_sequence_state_bytes(const mn_config *config, const mn_attn_spec *attn, size_t *out, mn_error *err) {
    mn_sequence t = {.attn = *attn};
    MN_TRY(lay_out_state(&t, config, err));
    *out = t.state_bytes;
    return MN_OK;
}

static mn_status init_state(mn_sequence *t, const mn_config *c, mn_error *err) {
    MN_TRY(lay_out_state(t, c, err));
    if (t->state_bytes == 0) return MN_OK;
    t->state = mn_huge_alloc(t->state_bytes);
    if (!t->state) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu bytes of state.", t->state_bytes);
    memset(t->state, 0, t->state_bytes);
    return MN_OK;
}

static mn_status init_caches(mn_sequence *t, const mn_config *c, int64_t n_ctx, mn_dtype k_type, mn_dtype v_type,
                             mn_error *err) {
    mn_kv_shape shape = mn_sequence_kv_shape(c, &t->attn, k_type, v_type);
    mn_kv_shape keys = mn_sequence_second_shape(c, &t->attn, &shape);
    bool windowed[MN_KV_MAX_LAYERS] = {false};
    t->window = mn_sequence_windows(c, &t->attn, n_ctx, windowed);
    MN_TRY(mn_kvcache_create_windowed(&shape, t->window ? windowed : NULL, n_ctx, &t->cache, err));
    if (keys.n_layers > 0) MN_TRY(mn_kvcache_create(&keys, n_ctx, &t->second, err));
    for (int i = 0; i < MN_MAX_RATES && c->rates[i]; i++) {
        keys = mn_sequence_compressed_shape(c, i, &shape);
        t->rates[i] = c->rates[i];
        MN_TRY(mn_kvcache_create(&keys, mn_sequence_compressed_tokens(c, i, n_ctx), &t->compressed[i], err));
    }
    return MN_OK;
}

/* Nothing is counted where there is nothing to count. */
static mn_status init_easy(mn_sequence *t, const mn_config *c, mn_error *err) {
    size_t n_visits = (size_t)c->n_layers * (size_t)c->moe.router.n_experts;
    t->easy.threshold = c->easy_threshold;
    if (n_visits) t->expert_visits = calloc(n_visits, sizeof *t->expert_visits);
    if (n_visits && !t->expert_visits) return mn_fail(err, MN_ERR_MEMORY, "no memory to count %zu experts.", n_visits);
    if (!mn_config_has_easy(c)) return MN_OK;
    t->easy.counts = calloc((size_t)c->n_layers, sizeof *t->easy.counts);
    return t->easy.counts ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory to count the tokens of small MLPs.");
}

mn_status mn_sequence_init(mn_sequence *t, const mn_config *config, const mn_sequence_params *p, mn_error *err) {
    *t = (mn_sequence){.attn = p->attn, .kept = mn_attn_kept_keys(&p->attn, config)};
    mn_status status = mn_attn_check(&p->attn, config, err);
    if (status == MN_OK) status = init_positions(t, config, p->rope, mn_attn_n_positions(&p->attn, p->n_ctx), err);
    if (status == MN_OK) status = init_state(t, config, err);
    if (status == MN_OK) status = init_easy(t, config, err);
    if (status == MN_OK) status = init_caches(t, config, p->n_ctx, p->k_type, p->v_type, err);
    if (status != MN_OK) mn_sequence_release(t);
    return status;
}

mn_status mn_sequence_init_dry(mn_sequence *t, const mn_config *config, const mn_attn_spec *attn, mn_dtype k_type,
                               mn_dtype v_type, mn_error *err) {
    *t = (mn_sequence){.attn = *attn};
    mn_status status = init_state(t, config, err);
    if (status == MN_OK) status = init_caches(t, config, 1, k_type, v_type, err);
    if (status != MN_OK) mn_sequence_release(t);
    return status;
}

void mn_sequence_extend(mn_sequence *t, const int32_t *tokens, int64_t n) {
    const mn_infini_spec *m = &t->attn.infini;
    for (int64_t i = 0; i < n && tokens && mn_attn_has_mark(&t->attn); i++)
        mn_segments_pass(&t->segments, &m->mark, m->shape.segment, tokens[i]);
    t->n_tokens += n;
}

void mn_sequence_resume(mn_sequence *t, const int32_t *tokens, int64_t n) {
    t->segments = (mn_segments){0};
    t->n_tokens = 0;
    mn_sequence_extend(t, tokens, n);
}

int64_t mn_sequence_segment_begin(const mn_sequence *t) {
    int64_t segment = t->attn.infini.shape.segment;
    if (mn_attn_has_mark(&t->attn)) return mn_segments_next_begin(&t->segments, segment);
    return t->n_tokens / segment * segment;
}

void mn_sequence_drop_after(mn_sequence *t, int64_t n) {
    mn_kvcache_drop_after(t->cache, n);
    if (t->second) mn_kvcache_drop_after(t->second, n);
    for (int i = 0; i < MN_MAX_RATES; i++)
        if (t->compressed[i]) mn_kvcache_drop_after(t->compressed[i], n / t->rates[i]);
    t->dropped_to = 0;
}

void mn_sequence_drop_unseen(mn_sequence *t) {
    if (t->attn.infini.shape.segment) mn_kvcache_drop_before(t->cache, mn_sequence_segment_begin(t));
    if (t->window) mn_sequence_drop_windows(t);
    if (t->kept.last == 0) return;
    mn_kvcache_drop_between(t->cache, t->kept.first, MN_MAX(t->n_tokens + 1 - t->kept.last - MN_SPARE_TOKENS, 0));
}

int64_t mn_sequence_resumable(const mn_sequence *t, int64_t n) {
    int64_t first, begin, end;
    if (t->window) return mn_sequence_windows_held(t, n);
    if (t->kept.last == 0) return n;
    mn_kvcache_gap(t->cache, &begin, &end);
    if (begin == end) { /* nothing is missing between, perhaps before */
        mn_kvcache_pages(t->cache, &first, &end);
        begin = 0;
        end = first;
    }
    bool before = n <= begin * MN_PAGE_TOKENS, behind = n + 1 - t->kept.last >= end * MN_PAGE_TOKENS;
    return before || behind || end == 0 ? n : begin * MN_PAGE_TOKENS;
}

size_t mn_sequence_bytes(const mn_sequence *t) {
    size_t bytes = mn_kvcache_bytes(t->cache) + (t->second ? mn_kvcache_bytes(t->second) : 0) + t->state_bytes;
    for (int i = 0; i < MN_MAX_RATES; i++) bytes += t->compressed[i] ? mn_kvcache_bytes(t->compressed[i]) : 0;
    return bytes;
}

void mn_sequence_release(mn_sequence *t) {
    mn_kvcache_destroy(t->cache);
    mn_kvcache_destroy(t->second);
    for (int i = 0; i < MN_MAX_RATES; i++) mn_kvcache_destroy(t->compressed[i]);
    free(t->state);
    free(t->easy.counts);
    free(t->expert_visits);
    *t = (mn_sequence){0};
}
