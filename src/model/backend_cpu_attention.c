/* Softmax attention of a step on the CPU: for each slice what its own sequence caches, sees and forgets. */
#include "attention/attention.h"
#include "attention/merge.h"
#include "attention/mla.h"
#include "attention/patterns/snapkv.h"
#include "attention/stream.h"
#include "attention/visible.h"
#include "base/checked.h"
#include "base/pool.h"
#include "kernels/kernels.h"
#include "kernels/profile.h"
#include "model/backend_cpu_ops.h"

#include <math.h>
#include <string.h>

/* The layer's place in a cache, which holds only the layers that cache something. */
static int kv_layer(const mn_step *s, const mn_sequence *t, int layer) {
    return mn_attn_kv_layer(&t->attn, &s->model->config, layer);
}

mn_status mn_cpu_append(const mn_step *s, int layer, int plane, mn_rows k, mn_rows v, mn_error *err) {
    (void)err;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        const mn_sequence *t = slice->sequence;
        mn_kvcache *cache = plane > 0 ? t->second : t->cache;
        if (!cache || mn_attn_is_linear(&t->attn, layer)) continue;
        mn_kvcache_append(cache, mn_cpu_compute(s), kv_layer(s, t, layer), mn_sequence_n_kv(t), slice->n_rows,
                          mn_cpu_row(k, slice->first_row), k.row_stride,
                          v.buffer ? mn_cpu_row(v, slice->first_row) : NULL, v.row_stride);
    }
    return MN_OK;
}

/* Attention of a slice's rows over all that its sequence caches. */
static mn_attend call_of(const mn_step *s, const mn_slice *slice, int layer, int range, mn_rows out, mn_rows lse,
                         mn_rows q) {
    const mn_config *c = &s->model->config;
    const mn_sequence *t = slice->sequence;
    /* Where the first row stands as if it were the last, all rows see all keys. */
    int64_t ahead = c->is_encoder ? slice->n_rows - 1 : 0;
    return (mn_attend){.q = mn_cpu_row(q, slice->first_row),
                       .out = mn_cpu_row(out, slice->first_row),
                       .q_stride = q.row_stride,
                       .out_stride = out.row_stride,
                       .n_rows = slice->n_rows,
                       .first_token = mn_sequence_n_kv(t) + ahead,
                       .n_heads = q.n_heads,
                       .scale = t->score_scale,
                       .softcap = c->attention_softcap,
                       .slopes = mn_model_slopes(s->model, layer),
                       .sinks = range == 0 ? s->model->weights.layers[layer].sinks : NULL,
                       .lse = lse.buffer ? mn_cpu_row(lse, slice->first_row) : NULL,
                       .kv = mn_kvcache_view(t->cache, kv_layer(s, t, layer), mn_sequence_n_kv(t) + slice->n_rows)};
}

/* The keys of one range of a position map, which every row has of its own. */
static mn_status restrict_to_range(const mn_step *s, const mn_sequence *t, int layer, int range, mn_attend *a,
                                   mn_error *err) {
    const mn_posmap *map = &t->attn.map;
    int64_t *begin = mn_arena_alloc(mn_cpu_compute(s)->scratch, (size_t)a->n_rows, 2 * sizeof *begin);
    if (!begin) return mn_no_scratch(err);
    int64_t *end = begin + a->n_rows;
    for (int64_t r = 0; r < a->n_rows; r++) {
        mn_posmap_range keys = mn_posmap_at(map, range, t->n_tokens + r);
        begin[r] = keys.key_begin;
        end[r] = keys.key_end;
    }
    a->key_begin = begin;
    a->key_end = end;
    if (mn_posmap_plane(map, range) > 0)
        a->kv.k_pages = mn_kvcache_view(t->second, kv_layer(s, t, layer), a->kv.n_tokens).k_pages;
    return MN_OK;
}

/* The keys of each row's segment, where marks begin segments; in a dry step as many as there can be. */
static mn_status restrict_to_segments(const mn_step *s, const mn_slice *slice, mn_attend *a, mn_error *err) {
    const mn_infini_spec *m = &slice->sequence->attn.infini;
    int64_t *begin = mn_arena_alloc(mn_cpu_compute(s)->scratch, (size_t)a->n_rows, 2 * sizeof *begin);
    if (!begin) return mn_no_scratch(err);
    int64_t *end = begin + a->n_rows, segment = m->shape.segment;
    mn_segments walk = slice->sequence->segments;
    for (int64_t r = 0; r < a->n_rows; r++) {
        int64_t token = a->first_token + r, most = MN_MIN(token, segment - 1);
        begin[r] =
            token - (s->tokens ? mn_segments_pass(&walk, &m->mark, segment, s->tokens[slice->first_row + r]) : most);
        end[r] = token + 1;
    }
    a->key_begin = begin;
    a->key_end = end;
    return MN_OK;
}

/* What a sequence sees in a layer: the range of its position map; else the pattern asked for, else the model's own
 * window; of these the query's segment, behind a compressive memory. */
static mn_status restrict_keys(const mn_step *s, const mn_slice *slice, int layer, int range, mn_attend *a,
                               mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_sequence *t = slice->sequence;
    const mn_pattern *pattern = t->attn.patterns ? &t->attn.patterns[layer] : NULL;
    if (mn_attn_map(&t->attn, c, layer)) return restrict_to_range(s, t, layer, range, a, err);
    if (mn_attn_has_mark(&t->attn)) return restrict_to_segments(s, slice, a, err);
    a->segment = t->attn.infini.shape.segment;
    if (pattern && pattern->kind && !a->segment) return mn_pattern_apply(pattern, mn_cpu_compute(s), layer, a, err);
    if (!a->segment) a->segment = c->layers[layer].chunk;
    a->window = mn_config_window(c, layer);
    return MN_OK;
}

static bool has_range(const mn_step *s, const mn_sequence *t, int layer, int range) {
    const mn_posmap *map = mn_attn_map(&t->attn, &s->model->config, layer);
    return !mn_attn_is_linear(&t->attn, layer) && range < (map ? map->n_ranges : 1);
}

static mn_status no_choice(const mn_pattern *pattern, mn_error *err) {
    return mn_fail(err, MN_ERR_UNSUPPORTED,
                   "%s chooses by queries over latents, which exist only where latent attention runs absorbed.",
                   pattern->kind->name);
}

mn_status mn_cpu_attend_call(const mn_step *s, const mn_slice *slice, int layer, int range, mn_rows out, mn_rows lse,
                             mn_rows q, mn_attend *a, mn_error *err) {
    const mn_sequence *t = slice->sequence;
    *a = (mn_attend){0};
    if (!has_range(s, t, layer, range)) return MN_OK;
    *a = call_of(s, slice, layer, range, out, lse, q);
    if (s->model->config.mla.kv_rank) {
        mn_mla *mla = mn_arena_alloc(mn_cpu_compute(s)->scratch, 1, sizeof *mla);
        if (!mla) return mn_no_scratch(err);
        *mla = mn_layer_mla(&s->model->config, &s->model->weights.layers[layer]);
        a->mla = mla;
        const mn_pattern *pattern = t->attn.patterns ? &t->attn.patterns[layer] : NULL;
        if (pattern && pattern->kind && pattern->kind->choose) return no_choice(pattern, err);
    }
    return restrict_keys(s, slice, layer, range, a, err);
}

/* One sequence's part of an operation. */
typedef struct slice_call {
    const mn_slice *slice;
    mn_attend a;
    mn_attend queries; /* MLA, absorbed: the call as it came, between whose q and out a stands; mla NULL: a is it */
} slice_call;

/* The work of a call as it stands, for the sequence's share of keys and for a profile. all: whether full attention of
 * the same rows counts with it. */
void mn_cpu_count_call(const mn_step *s, const mn_slice *slice, const mn_attend *a, bool all) {
    const mn_compute *c = mn_cpu_compute(s);
    mn_key_share *keys = &slice->sequence->keys;
    if (mn_pool_is_dry(c->pool)) return;
    mn_pair_count pairs = mn_visible_pairs(a);
    double n_rows = (double)slice->n_rows;
    keys->read += pairs.all;
    if (all) keys->all += n_rows * (double)mn_sequence_n_kv(slice->sequence) + n_rows * (n_rows + 1) / 2;
    if (!c->profile) return;
    int k_dim = a->mla ? a->mla->n_nope + a->mla->n_rot : a->kv.k_dim, v_dim = a->mla ? a->mla->v_dim : a->kv.v_dim;
    const mn_peaks *peaks = &c->profile->peaks;
    mn_profile_count(c->profile, MN_OP_ATTENTION, 2.0 * (k_dim + v_dim) * a->n_heads * pairs.all,
                     (double)(a->kv.k_row_bytes + (a->kv.v_pages == a->kv.k_pages ? 0 : a->kv.v_row_bytes)) *
                         a->kv.n_kv_heads * pairs.last_row,
                     MN_MAX(peaks->f32_flops_per_s, n_rows > 1 && !c->exact ? peaks->bf16_flops_per_s : 0));
}

/* The rows of a prompt's end vote on what stays. */
static mn_status evict(const mn_step *s, const slice_call *call, int layer, mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    const mn_sequence *t = call->slice->sequence;
    if (t->evict_to == 0) return MN_OK;
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    int32_t *kept = mn_arena_alloc(c->scratch, (size_t)call->a.kv.n_kv_heads * (size_t)t->evict_to, sizeof *kept);
    if (!kept) return mn_no_scratch(err);
    mn_op_kind before = mn_profile_enter(c->profile, MN_OP_CHOICE);
    mn_status status = mn_snapkv_choose(c, &call->a, t->evict_to, kept, err);
    mn_profile_enter(c->profile, before);
    MN_TRY(status);
    mn_kvcache_gather(t->cache, c, kv_layer(s, t, layer), kept, t->evict_to);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

/* Runs the calls of all slices, those whose pages are in memory together. */
static mn_status run_calls(const mn_step *s, const slice_call *calls, int n, int layer, mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mn_attend *batch = mn_arena_alloc(c->scratch, (size_t)n, sizeof *batch);
    int n_batch = 0;
    if (!batch) return mn_no_scratch(err);
    for (const slice_call *call = calls; call < calls + n; call++) {
        mn_kvcache *cache = call->slice->sequence->cache;
        if (mn_kvcache_has_cold(cache))
            MN_TRY(mn_kvcache_attend(c, cache, kv_layer(s, call->slice->sequence, layer), &call->a, err));
        else
            batch[n_batch++] = call->a;
    }
    MN_TRY(mn_attention_batch(c, batch, n_batch, err));
    for (const slice_call *call = calls; call < calls + n; call++) MN_TRY(evict(s, call, layer, err));
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

static slice_call *new_calls(const mn_step *s) {
    return mn_arena_alloc(mn_cpu_compute(s)->scratch, (size_t)s->n_slices, sizeof(slice_call));
}

/* What a sequence does not see weighs nothing. */
void mn_cpu_clear_lse(const mn_slice *slice, mn_rows lse) {
    for (int64_t r = slice->first_row; lse.buffer && r < slice->first_row + slice->n_rows; r++)
        for (int h = 0; h < lse.n_heads; h++) mn_cpu_row(lse, r)[h] = -INFINITY;
}

mn_status mn_cpu_attend(const mn_step *s, int layer, int range, mn_rows out, mn_rows lse, mn_rows q, mn_error *err) {
    mn_arena *scratch = mn_cpu_compute(s)->scratch;
    mn_arena_mark mark = mn_arena_get_mark(scratch);
    slice_call *calls = new_calls(s);
    int n = 0;
    if (!calls) return mn_no_scratch(err);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        calls[n] = (slice_call){.slice = slice};
        MN_TRY(mn_cpu_attend_call(s, slice, layer, range, out, lse, q, &calls[n].a, err));
        if (calls[n].a.n_rows == 0) {
            mn_cpu_clear_lse(slice, lse);
            continue;
        }
        mn_cpu_count_call(s, slice, &calls[n++].a, range == 0);
    }
    MN_TRY(run_calls(s, calls, n, layer, err));
    mn_arena_rewind(scratch, mark);
    return MN_OK;
}

/* Makes the call one over the latents as they are cached. */
static mn_status absorb(const mn_step *s, slice_call *call, const mn_mla *mla, mn_error *err) {
    mn_attend *a = &call->a;
    call->queries = *a;
    call->queries.mla = mla;
    a->q_stride = (int64_t)a->n_heads * a->kv.k_dim;
    a->out_stride = (int64_t)a->n_heads * a->kv.v_dim;
    float *wide = mn_cpu_floats(s, a->n_rows, a->q_stride);
    a->q = wide;
    a->out = mn_cpu_floats(s, a->n_rows, a->out_stride);
    if (!a->q || !a->out) return mn_no_scratch(err);
    return mn_mla_absorb(mn_cpu_compute(s), &call->queries, wide, err);
}

/* Few chosen entries of many: a copy of them alone, so that nothing else is read. How a text was cut then shows in the
 * rounding, which exact arithmetic does not allow. */
mn_status mn_cpu_gather_chosen(const mn_step *s, mn_attend *a, mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    int64_t n = MN_MIN(s->model->config.indexer.top_k, a->kv.n_tokens),
            n_pages = (n + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    size_t row_bytes = a->kv.k_row_bytes;
    if (!a->chosen || c->exact || a->n_rows > 1 || a->blocks || a->kv.n_tokens < 4 * n) return MN_OK;
    char *rows = mn_arena_alloc(c->scratch, (size_t)n_pages * MN_PAGE_TOKENS, row_bytes);
    const void **pages = mn_arena_alloc(c->scratch, (size_t)n_pages, sizeof *pages);
    if (!rows || !pages) return mn_no_scratch(err);
    for (int64_t i = 0; i < n_pages; i++) pages[i] = rows + (size_t)(i * MN_PAGE_TOKENS) * row_bytes;
    for (int64_t j = 0, at = 0; j < a->kv.n_tokens && at < n && !mn_pool_is_dry(c->pool); j++) {
        if (!(a->chosen[j / 64] >> j % 64 & 1)) continue;
        const char *page = a->kv.k_pages[j / MN_PAGE_TOKENS];
        memcpy(rows + (size_t)at++ * row_bytes, page + (size_t)(j % MN_PAGE_TOKENS) * row_bytes, row_bytes);
    }
    a->kv.k_pages = a->kv.v_pages = pages;
    a->kv.n_tokens = n;
    a->kv.summary = NULL;
    a->first_token = n - 1;
    a->chosen = NULL;
    return MN_OK;
}

mn_status mn_cpu_attend_latent(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                               mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    mn_mla mla = mn_layer_mla(&s->model->config, &s->model->weights.layers[layer]);
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    slice_call *calls = new_calls(s);
    if (!calls) return mn_no_scratch(err);
    for (int i = 0; i < s->n_slices; i++) {
        calls[i] = (slice_call){.slice = &s->slices[i], .a = call_of(s, &s->slices[i], layer, 0, out, lse, q)};
        mn_attend *a = &calls[i].a;
        bool absorbs =
            c->exact || s->slices[i].sequence->attn.absorbs || a->first_token > mn_mla_deepest(&mla, a->n_rows);
        if (absorbs)
            MN_TRY(absorb(s, &calls[i], &mla, err));
        else
            a->mla = &mla;
        MN_TRY(restrict_keys(s, &s->slices[i], layer, 0, a, err));
        if (chosen.buffer) {
            a->chosen = mn_cpu_chosen(chosen, s->slices[i].first_row);
            a->chosen_words = chosen.row_stride / 2;
            if (!mn_kvcache_has_cold(s->slices[i].sequence->cache)) MN_TRY(mn_cpu_gather_chosen(s, a, err));
        }
        mn_cpu_count_call(s, &s->slices[i], a, true);
    }
    MN_TRY(run_calls(s, calls, s->n_slices, layer, err));
    for (int i = 0; i < s->n_slices; i++)
        if (calls[i].queries.mla) MN_TRY(mn_mla_output(c, &calls[i].queries, calls[i].a.out, err));
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

static void copy_rows(mn_rows out, mn_rows x) {
    if (out.buffer != x.buffer)
        memcpy(mn_cpu_data(out), mn_cpu_data(x), (size_t)(x.n_rows * x.row_stride) * sizeof(float));
}

mn_status mn_cpu_merge(const mn_step *s, mn_rows out, mn_rows lse, mn_rows x, mn_rows x_lse, mn_rows y, mn_rows y_lse,
                       mn_error *err) {
    (void)err;
    copy_rows(out, x);
    copy_rows(lse, x_lse);
    mn_attend_merge(mn_cpu_compute(s), mn_cpu_data(out), mn_cpu_data(lse), mn_cpu_data(y), mn_cpu_data(y_lse),
                    out.n_rows, out.n_heads, (int)out.n);
    return MN_OK;
}
