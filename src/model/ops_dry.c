/* A step that takes the scratch memory of a real one and computes nothing: how much a step needs, from the code that
 * takes it. */
#include "model/ops.h"

#include "attention/attention.h"
#include "attention/mla.h"
#include "attention/patterns/snapkv.h"
#include "base/checked.h"
#include "mlp/moe.h"

static void clamp(const mn_step *s, float *x, int64_t n, float limit) { (void)s, (void)x, (void)n, (void)limit; }

static void cap(const mn_step *s, float *logits, int64_t n_rows, float softcap) {
    (void)s, (void)logits, (void)n_rows, (void)softcap;
}

static mn_status convolve(const mn_step *s, int layer, float *q, float *k, mn_error *err) {
    (void)layer, (void)q, (void)k;
    const mn_config *c = &s->model->config;
    mn_arena_mark mark = mn_arena_get_mark(s->c->scratch);
    float *out = mn_step_floats(s, s->n_rows, (int64_t)MN_MAX(c->n_heads, c->n_kv_heads) * c->head_dim_k);
    mn_arena_rewind(s->c->scratch, mark);
    return out ? MN_OK : mn_no_scratch(err);
}

/* Lists of a pattern take what they take; a summary that is complete already reads no keys. */
static mn_status restrict_keys(const mn_step *s, const mn_sequence *t, int layer, mn_attend *a, mn_key_summary *keys,
                               mn_error *err) {
    const mn_pattern *pattern = t->attn.patterns ? &t->attn.patterns[layer] : NULL;
    a->segment = t->attn.infini.shape.segment;
    a->window = mn_config_window(&s->model->config, layer);
    if (!pattern || !pattern->kind || a->segment) return MN_OK;
    a->window = 0;
    *keys = (mn_key_summary){.block_tokens = pattern->block_tokens,
                             .n_kv_heads = a->kv.n_kv_heads,
                             .k_dim = a->kv.k_dim,
                             .n_tokens = a->kv.n_tokens};
    mn_pattern_summarises(pattern, layer, &keys->kind);
    a->kv.summary = keys;
    return mn_pattern_apply(pattern, s->c, layer, a, err);
}

static mn_status evict(const mn_step *s, const mn_sequence *t, const mn_attend *a, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(s->c->scratch);
    int32_t *kept = mn_arena_alloc(s->c->scratch, (size_t)a->kv.n_kv_heads * (size_t)t->evict_to, sizeof *kept);
    mn_status status = kept ? mn_snapkv_reserve(s->c, a, err) : mn_no_scratch(err);
    mn_arena_rewind(s->c->scratch, mark);
    return status;
}

static mn_attend slice_call(const mn_step *s, const mn_slice *slice, int layer, int64_t depth, float *out,
                            const float *q) {
    const mn_sequence *t = slice->sequence;
    return (mn_attend){.q = q,
                       .out = out,
                       .n_rows = slice->n_rows,
                       .first_token = depth,
                       .n_heads = s->model->config.n_heads,
                       .kv = mn_kvcache_view(t->cache, mn_attn_kv_layer(&t->attn, layer), depth + slice->n_rows)};
}

static mn_status attend_slice(const mn_step *s, const mn_slice *slice, int layer, mn_attend *a, mn_error *err) {
    const mn_sequence *t = slice->sequence;
    mn_key_summary keys;
    if (s->part) {
        a->key_begin = s->part->key_begin + slice->first_row;
        a->key_end = s->part->key_end + slice->first_row;
    } else {
        MN_TRY(restrict_keys(s, t, layer, a, &keys, err));
    }
    MN_TRY(mn_attention(s->c, a, err));
    return t->evict_to ? evict(s, t, a, err) : MN_OK;
}

static mn_status attend(const mn_step *s, int layer, float *out, const float *q, mn_error *err) {
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        if (mn_attn_is_linear(&slice->sequence->attn, layer)) continue;
        mn_attend a = slice_call(s, slice, layer, mn_sequence_n_kv(slice->sequence), out, q);
        MN_TRY(attend_slice(s, slice, layer, &a, err));
    }
    return MN_OK;
}

/* Queries that meet the latents as they are cached, with the products before and after. */
static mn_status attend_absorbed(const mn_step *s, const mn_slice *slice, int layer, const mn_mla *mla, float *out,
                                 const float *q, mn_error *err) {
    mn_attend a = slice_call(s, slice, layer, mn_sequence_n_kv(slice->sequence), out, q), over = a;
    mn_arena_mark mark = mn_arena_get_mark(s->c->scratch);
    a.mla = mla;
    over.q = mn_step_floats(s, slice->n_rows, (int64_t)a.n_heads * a.kv.k_dim);
    over.out = mn_step_floats(s, slice->n_rows, (int64_t)a.n_heads * a.kv.v_dim);
    if (!over.q || !over.out) return mn_no_scratch(err);
    MN_TRY(mn_mla_absorb(s->c, &a, (float *)over.q, err));
    MN_TRY(attend_slice(s, slice, layer, &over, err));
    MN_TRY(mn_mla_output(s->c, &a, over.out, err));
    mn_arena_rewind(s->c->scratch, mark);
    return MN_OK;
}

/* The same by MLA. A step is absorbed from some depth on and materialised before, or one of the two always: what the
 * step at this depth can be, or an earlier one of as many rows could have been. */
static mn_status attend_latent(const mn_step *s, int layer, float *out, const float *q, mn_error *err) {
    mn_mla mla = mn_layer_mla(&s->model->config, &s->model->weights.layers[layer]);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        const mn_sequence *t = slice->sequence;
        int64_t deepest = s->c->exact || t->attn.absorbs ? -1 : mn_mla_deepest(&mla, slice->n_rows),
                depth = mn_sequence_n_kv(t);
        if (deepest < depth) MN_TRY(attend_absorbed(s, slice, layer, &mla, out, q, err));
        if (deepest < 0) continue;
        mn_attend a = slice_call(s, slice, layer, MN_MIN(depth, deepest), out, q);
        a.mla = &mla;
        MN_TRY(attend_slice(s, slice, layer, &a, err));
    }
    return MN_OK;
}

static mn_status remember_slice(const mn_step *s, const mn_slice *slice, int layer, const float *y, mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_infini_spec *m = &slice->sequence->attn.infini;
    const mn_projection *const ws[] = {&s->model->weights.layers[layer].infini_write};
    bool linear = mn_attn_is_linear(&slice->sequence->attn, layer);
    if (!linear) {
        float *mem = mn_step_floats(s, slice->n_rows, (int64_t)c->n_heads * c->head_dim_v);
        float *gates = mn_step_floats(s, slice->n_rows, c->n_kv_heads);
        if (!gates || !mem) return mn_no_scratch(err);
        bool projects = m->model_writes && m->shape.rule == MN_INFINI_DELTA_EXACT;
        if (projects) MN_TRY(mn_ops_cpu.project(s, &gates, ws, 1, y, slice->n_rows, err));
    }
    return mn_step_floats(s, c->n_kv_heads, c->head_dim_k + (linear ? 0 : c->head_dim_v)) ? MN_OK : mn_no_scratch(err);
}

static mn_status remember(const mn_step *s, int layer, float *out, const float *y, const float *q, const float *k,
                          const float *v, mn_error *err) {
    (void)out, (void)q, (void)k, (void)v;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        const mn_attn_spec *attn = &slice->sequence->attn;
        if (!attn->infini.shape.segment && !mn_attn_is_linear(attn, layer)) continue;
        mn_arena_mark mark = mn_arena_get_mark(s->c->scratch);
        MN_TRY(remember_slice(s, slice, layer, y, err));
        mn_arena_rewind(s->c->scratch, mark);
    }
    return MN_OK;
}

/* Every row goes to the same experts: the largest group that one of them can get. */
static mn_status experts(const mn_step *s, int layer, float *out, const float *x, mn_error *err) {
    const mn_layer *w = &s->model->weights.layers[layer];
    const mn_router *router = &s->model->config.moe.router;
    mn_experts stacks = {&w->expert_gate, &w->expert_up, &w->expert_down};
    const mn_projection *const ws[] = {&w->router};
    int64_t n_visits = s->n_rows * router->n_used;
    float *logits = mn_step_floats(s, s->n_rows, router->n_experts),
          *weights = mn_step_floats(s, s->n_rows, router->n_used);
    int32_t *ids = mn_arena_alloc(s->c->scratch, (size_t)n_visits, sizeof *ids);
    if (!logits || !weights || !ids) return mn_no_scratch(err);
    for (int64_t i = 0; i < n_visits; i++) {
        ids[i] = (int32_t)(i % router->n_used);
        weights[i] = 0;
    }
    MN_TRY(mn_ops_cpu.project(s, &logits, ws, 1, x, s->n_rows, err));
    return mn_moe(s->c, &stacks, out, x, ids, weights, router->n_used, s->n_rows, err);
}

mn_ops mn_ops_dry(void) {
    mn_ops ops = mn_ops_cpu; /* the rest leaves its work to the pool */
    ops.clamp = clamp;
    ops.convolve = convolve;
    ops.attend = attend;
    ops.attend_latent = attend_latent;
    ops.remember = remember;
    ops.experts = experts;
    ops.cap = cap;
    return ops;
}
