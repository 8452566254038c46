/* The operations of a layer on the CPU: rows are split over threads, each row's arithmetic stays on one. */
#include "model/ops.h"

#include "recurrent/linear.h"
#include "attention/merge.h"
#include "attention/mla.h"
#include "attention/patterns/snapkv.h"
#include "recurrent/short_conv.h"
#include "base/checked.h"
#include "kernels/kernels.h"
#include "attention/stream.h"
#include "mlp/moe.h"

#include <math.h>
#include <string.h>

enum { FLOATS_PER_RANGE = 1 << 14, MAX_PROJECTIONS = 4 };

/* Rows per range, so that waking a thread pays. */
static int64_t grain_of(int64_t floats_per_row) {
    return MN_MAX(INT64_C(1), FLOATS_PER_RANGE / MN_MAX(floats_per_row, 1));
}

static float *head_at(mn_heads x, int64_t row, int head) { return x.data + row * x.row_stride + head * x.head_stride; }

typedef struct embed_job {
    const mn_step *s;
    float *x;
    const int64_t *positions;
} embed_job;

static void embed_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const embed_job *job = arg;
    const mn_model *m = job->s->model;
    const mn_vec_kernels *vec = &job->s->c->kernels->vec;
    const mn_tensor *table = &m->weights.token_embd, *position_table = &m->weights.position_embd;
    int64_t n = m->config.n_embd;
    for (int64_t r = begin; r < end; r++) {
        float *x = job->x + r * n;
        const char *row = (const char *)table->data + (size_t)job->s->tokens[r] * mn_tensor_row_bytes(table);
        vec->to_f32(table->type, row, x, n);
        if (m->config.embedding_scale != 1) vec->scale(x, x, m->config.embedding_scale, n);
        if (!position_table->data) continue;
        const char *position =
            (const char *)position_table->data + (size_t)job->positions[r] * mn_tensor_row_bytes(position_table);
        float learned[1 << 10];
        for (int64_t i = 0; i < n; i += (int64_t)(sizeof learned / sizeof *learned)) {
            int64_t part = MN_MIN(n - i, (int64_t)(sizeof learned / sizeof *learned));
            vec->to_f32(position_table->type, position + mn_dtype_row_bytes(position_table->type, i), learned, part);
            vec->add(x + i, x + i, learned, part);
        }
    }
}

static mn_status embed(const mn_step *s, float *x, mn_error *err) {
    int64_t *positions = mn_arena_alloc(s->c->scratch, (size_t)s->n_rows, sizeof *positions);
    if (!positions) return mn_no_scratch(err);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++)
        for (int64_t i = 0; i < slice->n_rows; i++)
            positions[slice->first_row + i] = mn_attn_position(&slice->sequence->attn, slice->sequence->n_tokens + i);
    embed_job job = {s, x, positions};
    mn_pool_run(s->c->pool, s->n_rows, grain_of(s->model->config.n_embd), embed_rows, &job);
    return MN_OK;
}

typedef struct heads_job {
    const mn_step *s;
    mn_heads out, x;
    const mn_norm *norm;
    const mn_angles *angles;
} heads_job;

static void norm_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const heads_job *job = arg;
    const mn_config *c = &job->s->model->config;
    const mn_vec_kernels *vec = &job->s->c->kernels->vec;
    for (int64_t r = begin; r < end; r++)
        for (int h = 0; h < job->x.n_heads; h++) {
            float *out = head_at(job->out, r, h);
            const float *x = head_at(job->x, r, h);
            if (c->norm == MN_NORM_RMS)
                vec->rms_norm(out, x, job->norm->w, c->norm_eps, job->x.n);
            else
                vec->layer_norm(out, x, job->norm->w, job->norm->b, c->norm_eps, job->x.n);
        }
}

static void norm(const mn_step *s, mn_heads out, mn_heads x, const mn_norm *norm_weights) {
    heads_job job = {.s = s, .out = out, .x = x, .norm = norm_weights};
    mn_pool_run(s->c->pool, s->n_rows, grain_of((int64_t)x.n_heads * x.n), norm_rows, &job);
}

typedef struct bias_job {
    const mn_step *s;
    float *out;
    const mn_projection *w;
} bias_job;

static void bias_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const bias_job *job = arg;
    int64_t n = job->w->w.ne[1];
    for (int64_t r = begin; r < end; r++) job->s->c->kernels->vec.add(job->out + r * n, job->out + r * n, job->w->b, n);
}

static mn_status project(const mn_step *s, float *const *outs, const mn_projection *const *ws, int n_ws, const float *x,
                         int64_t n_rows, mn_error *err) {
    const mn_tensor *tensors[MAX_PROJECTIONS] = {0};
    int64_t strides[MAX_PROJECTIONS] = {0};
    for (int i = 0; i < n_ws; i++) {
        tensors[i] = &ws[i]->w;
        strides[i] = ws[i]->w.ne[1];
    }
    MN_TRY(mn_matmul_many(s->c, outs, strides, x, ws[0]->w.ne[0], n_rows, tensors, n_ws, err));
    for (int i = 0; i < n_ws; i++) {
        bias_job job = {s, outs[i], ws[i]};
        if (ws[i]->b) mn_pool_run(s->c->pool, n_rows, grain_of(strides[i]), bias_rows, &job);
    }
    return MN_OK;
}

static void clamp(const mn_step *s, float *x, int64_t n, float limit) {
    for (int64_t i = 0; i < s->n_rows * n; i++) x[i] = fminf(fmaxf(x[i], -limit), limit);
}

static void rotate_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const heads_job *job = arg;
    const mn_vec_kernels *vec = &job->s->c->kernels->vec;
    bool split = job->s->model->config.rope_style == MN_ROPE_SPLIT;
    int64_t n_pairs = job->x.n / 2;
    for (int64_t r = begin; r < end; r++) {
        const float *cos = job->angles->cos + r * n_pairs, *sin = job->angles->sin + r * n_pairs;
        for (int h = 0; h < job->x.n_heads; h++) {
            if (split)
                vec->rotate_split(head_at(job->x, r, h), cos, sin, n_pairs);
            else
                vec->rotate_interleaved(head_at(job->x, r, h), cos, sin, n_pairs);
        }
    }
}

static void rotate(const mn_step *s, mn_heads x, const mn_angles *angles) {
    heads_job job = {.s = s, .x = x, .angles = angles};
    mn_pool_run(s->c->pool, s->n_rows, grain_of((int64_t)x.n_heads * x.n), rotate_rows, &job);
}

/* One tensor's convolution through the histories of all sequences; the result replaces x. */
static mn_status convolve_rows(const mn_step *s, int layer, float *x, const float *taps, int n_channels,
                               float *(*history_of)(const mn_sequence *, int), mn_error *err) {
    int n_taps = s->model->config.n_conv_taps;
    mn_arena_mark mark = mn_arena_get_mark(s->c->scratch);
    float *out = mn_step_floats(s, s->n_rows, n_channels);
    if (!out) return mn_no_scratch(err);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        float *history = history_of(slice->sequence, layer);
        int64_t at = slice->first_row * n_channels;
        mn_short_conv(out + at, x + at, history, taps, n_taps, n_channels, slice->n_rows);
        mn_short_conv_advance(history, x + at, n_taps, n_channels, slice->n_rows);
    }
    memcpy(x, out, (size_t)s->n_rows * (size_t)n_channels * sizeof *x);
    mn_arena_rewind(s->c->scratch, mark);
    return MN_OK;
}

static mn_status convolve(const mn_step *s, int layer, float *q, float *k, mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_layer *w = &s->model->weights.layers[layer];
    MN_TRY(convolve_rows(s, layer, q, w->q_conv, c->n_heads * c->head_dim_k, mn_sequence_q_history, err));
    return convolve_rows(s, layer, k, w->k_conv, c->n_kv_heads * c->head_dim_k, mn_sequence_k_history, err);
}

/* The layer's place in the cache, which holds only the layers that keep rows. */
static int row_layer(const mn_sequence *t, int layer) { return mn_attn_kv_layer(&t->attn, layer); }

static void append(const mn_step *s, int layer, const float *k, const float *v) {
    const mn_config *c = &s->model->config;
    int64_t k_row = (int64_t)mn_config_cache_heads(c) * mn_config_cache_k_dim(c);
    int64_t v_row = (int64_t)mn_config_cache_heads(c) * mn_config_cache_v_dim(c);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        mn_kvcache *cache = s->part && s->part->plane > 0 ? slice->sequence->grouped : slice->sequence->cache;
        if (!cache) continue; /* this sequence's map has one plane, another's two */
        if (mn_attn_is_linear(&slice->sequence->attn, layer)) continue;
        mn_kvcache_append(cache, s->c, row_layer(slice->sequence, layer), mn_sequence_n_kv(slice->sequence),
                          slice->n_rows, k + slice->first_row * k_row, k_row, v ? v + slice->first_row * v_row : NULL,
                          v_row);
    }
}

/* What a layer sees: the pattern asked for, else the model's own window; of these the query's segment, behind a memory.
 */
static mn_status restrict_keys(const mn_step *s, const mn_sequence *t, int layer, mn_attend *a, mn_error *err) {
    const mn_pattern *pattern = t->attn.patterns ? &t->attn.patterns[layer] : NULL;
    a->segment = t->attn.infini.shape.segment;
    if (pattern && pattern->kind && !a->segment) return mn_pattern_apply(pattern, s->c, layer, a, err);
    a->window = mn_config_window(&s->model->config, layer);
    return MN_OK;
}

/* The rows of a prompt's end vote on what stays. */
static mn_status evict(const mn_step *s, const mn_sequence *t, int layer, const mn_attend *a, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(s->c->scratch);
    int32_t *kept = mn_arena_alloc(s->c->scratch, (size_t)a->kv.n_kv_heads * (size_t)t->evict_to, sizeof *kept);
    if (!kept) return mn_no_scratch(err);
    MN_TRY(mn_snapkv_choose(s->c, a, t->evict_to, kept, err));
    mn_kvcache_gather(t->cache, s->c, row_layer(t, layer), kept, t->evict_to);
    mn_arena_rewind(s->c->scratch, mark);
    return MN_OK;
}

/* One part of a position map: its keys. */
static void restrict_to_part(const mn_step *s, const mn_slice *slice, int layer, mn_attend *a) {
    a->key_begin = s->part->key_begin + slice->first_row;
    a->key_end = s->part->key_end + slice->first_row;
    if (s->part->plane == 0 || !slice->sequence->grouped) return;
    mn_kv_view keys = mn_kvcache_view(slice->sequence->grouped, row_layer(slice->sequence, layer), a->kv.n_tokens);
    a->kv.k_pages = keys.k_pages;
}

/* A slice's attention over its sequence's rows, q_row and out_row floats per row of q and out; all keys are seen. */
static mn_attend slice_call(const mn_step *s, const mn_slice *slice, int layer, float *out, int64_t out_row,
                            const float *q, int64_t q_row) {
    const mn_config *c = &s->model->config;
    const mn_sequence *t = slice->sequence;
    return (mn_attend){.q = q + slice->first_row * q_row,
                       .out = out + slice->first_row * out_row,
                       .q_stride = q_row,
                       .out_stride = out_row,
                       .n_rows = slice->n_rows,
                       .first_token = mn_sequence_n_kv(t),
                       .n_heads = c->n_heads,
                       .scale = t->score_scale,
                       .softcap = c->attention_softcap,
                       .slopes = s->model->alibi_slopes,
                       .kv = mn_kvcache_view(t->cache, row_layer(t, layer), mn_sequence_n_kv(t) + slice->n_rows)};
}

static mn_status attend_slice(const mn_step *s, const mn_slice *slice, int layer, mn_attend *a, mn_error *err) {
    const mn_sequence *t = slice->sequence;
    if (s->part) a->lse = s->part->lse + slice->first_row * a->n_heads;
    if (s->part && t->attn.map.scheme)
        restrict_to_part(s, slice, layer, a);
    else
        MN_TRY(restrict_keys(s, t, layer, a, err));
    MN_TRY(mn_kvcache_attend(s->c, t->cache, row_layer(t, layer), a, err));
    return t->evict_to ? evict(s, t, layer, a, err) : MN_OK;
}

/* Whether the slice's rows see anything in this part of the step; what sees nothing weighs nothing. */
static bool has_part(const mn_step *s, const mn_slice *slice, int layer) {
    const mn_attn_spec *attn = &slice->sequence->attn;
    bool seen = !mn_attn_is_linear(attn, layer) && (!s->part || s->part->index < MN_MAX(attn->map.n_parts, 1));
    int64_t n_heads = s->model->config.n_heads, end = (slice->first_row + slice->n_rows) * n_heads;
    for (int64_t i = slice->first_row * n_heads; s->part && !seen && i < end; i++) s->part->lse[i] = -INFINITY;
    return seen;
}

static mn_status attend(const mn_step *s, int layer, float *out, const float *q, mn_error *err) {
    const mn_config *c = &s->model->config;
    int64_t q_row = (int64_t)c->n_heads * c->head_dim_k, out_row = (int64_t)c->n_heads * c->head_dim_v;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        if (!has_part(s, slice, layer)) continue;
        mn_attend a = slice_call(s, slice, layer, out, out_row, q, q_row);
        MN_TRY(attend_slice(s, slice, layer, &a, err));
    }
    return MN_OK;
}

/* Queries that meet the latents as they are cached. */
static mn_status attend_absorbed(const mn_step *s, const mn_slice *slice, int layer, const mn_attend *a,
                                 mn_error *err) {
    int64_t row = (int64_t)a->n_heads * a->kv.k_dim, latent_row = (int64_t)a->n_heads * a->kv.v_dim;
    mn_arena_mark mark = mn_arena_get_mark(s->c->scratch);
    float *wide = mn_step_floats(s, slice->n_rows, row), *latent = mn_step_floats(s, slice->n_rows, latent_row);
    if (!wide || !latent) return mn_no_scratch(err);
    MN_TRY(mn_mla_absorb(s->c, a, wide, err));
    mn_attend over = *a;
    over.mla = NULL;
    over.q = wide;
    over.q_stride = row;
    over.out = latent;
    over.out_stride = latent_row;
    MN_TRY(attend_slice(s, slice, layer, &over, err));
    MN_TRY(mn_mla_output(s->c, a, latent, err));
    mn_arena_rewind(s->c->scratch, mark);
    return MN_OK;
}

static mn_status attend_latent(const mn_step *s, int layer, float *out, const float *q, mn_error *err) {
    const mn_config *c = &s->model->config;
    mn_mla mla = mn_layer_mla(c, &s->model->weights.layers[layer]);
    int64_t q_row = (int64_t)c->n_heads * c->head_dim_k, out_row = (int64_t)c->n_heads * c->head_dim_v;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        mn_attend a = slice_call(s, slice, layer, out, out_row, q, q_row);
        bool absorbs = s->c->exact || slice->sequence->attn.absorbs || a.first_token > mn_mla_deepest(&mla, a.n_rows);
        a.mla = &mla;
        MN_TRY((absorbs ? attend_absorbed(s, slice, layer, &a, err) : attend_slice(s, slice, layer, &a, err)));
    }
    return MN_OK;
}

static void merge(const mn_step *s, float *out, float *lse, const float *part, const float *part_lse) {
    const mn_config *c = &s->model->config;
    mn_attend_merge(s->c, out, lse, part, part_lse, s->n_rows, c->n_heads, c->head_dim_v);
}

/* Write gates [n_rows, n_kv_heads] of a slice: the layer's own, or 1 for all. */
static mn_status make_write_gates(const mn_step *s, const mn_slice *slice, int layer, float *gates, const float *y,
                                  const float *k, mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_layer *w = &s->model->weights.layers[layer];
    const mn_infini_spec *m = &slice->sequence->attn.infini;
    mn_projection unbiased = {.w = w->infini_write.w}; /* mn_infini_write_gates adds the bias */
    const mn_projection *const ws[] = {&unbiased};
    for (int64_t i = 0; i < slice->n_rows * c->n_kv_heads; i++) gates[i] = 1;
    if (!m->model_writes || m->shape.rule != MN_INFINI_DELTA_EXACT) return MN_OK;
    MN_TRY(project(s, &gates, ws, 1, y + slice->first_row * c->n_embd, slice->n_rows, err));
    mn_infini_write_gates(s->c, &m->shape, gates, w->infini_write.b, w->infini_write_k, k, m->write_threshold,
                          slice->n_rows);
    return MN_OK;
}

/* Rows of one slice, q, k, v and out its own. */
static mn_status remember_slice(const mn_step *s, const mn_slice *slice, int layer, float *out, const float *y,
                                const float *q, const float *k, const float *v, mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_sequence *t = slice->sequence;
    const mn_infini_spec *m = &t->attn.infini;
    void *state = mn_sequence_recurrent_state(t, layer);
    if (mn_attn_is_linear(&t->attn, layer)) {
        mn_linear shape = {c->n_heads, c->n_kv_heads, c->head_dim_k, c->head_dim_v};
        return mn_linear_step(s->c, &shape, state, out, q, k, v, slice->n_rows, err);
    }
    float *mem = mn_step_floats(s, slice->n_rows, (int64_t)c->n_heads * c->head_dim_v);
    float *gates = mn_step_floats(s, slice->n_rows, c->n_kv_heads);
    if (!mem || !gates) return mn_no_scratch(err);
    MN_TRY(make_write_gates(s, slice, layer, gates, y, k, err));
    MN_TRY(mn_infini_step(s->c, &m->shape, state, mem, q, k, v, gates, slice->n_rows, t->n_tokens, err));
    const float *mixing = m->model_mixes ? s->model->weights.layers[layer].infini_gate : NULL;
    mn_infini_mix(s->c, &m->shape, out, mem, mixing, m->share, slice->n_rows);
    return MN_OK;
}

static mn_status remember(const mn_step *s, int layer, float *out, const float *y, const float *q, const float *k,
                          const float *v, mn_error *err) {
    const mn_config *c = &s->model->config;
    int64_t q_row = (int64_t)c->n_heads * c->head_dim_k, k_row = (int64_t)c->n_kv_heads * c->head_dim_k;
    int64_t v_row = (int64_t)c->n_kv_heads * c->head_dim_v, out_row = (int64_t)c->n_heads * c->head_dim_v;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        const mn_attn_spec *attn = &slice->sequence->attn;
        int64_t r = slice->first_row;
        if (!attn->infini.shape.segment && !mn_attn_is_linear(attn, layer)) continue;
        mn_arena_mark mark = mn_arena_get_mark(s->c->scratch);
        MN_TRY(remember_slice(s, slice, layer, out + r * out_row, y, q + r * q_row, k + r * k_row, v + r * v_row, err));
        mn_arena_rewind(s->c->scratch, mark);
    }
    return MN_OK;
}

typedef struct activate_job {
    const mn_step *s;
    float *up;
    const float *gate;
    int64_t n;
} activate_job;

static void activate_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const activate_job *job = arg;
    const mn_vec_kernels *vec = &job->s->c->kernels->vec;
    bool silu = job->s->model->config.activation == MN_ACT_SILU;
    for (int64_t r = begin; r < end; r++) {
        float *up = job->up + r * job->n;
        const float *gate = job->gate ? job->gate + r * job->n : up;
        if (silu)
            vec->silu_mul(up, gate, up, job->n); /* always gated: no family has silu alone */
        else
            vec->gelu_mul(up, gate, job->gate ? up : NULL, job->n);
    }
}

static void activate(const mn_step *s, float *up, const float *gate, int64_t n) {
    activate_job job = {s, up, gate, n};
    mn_pool_run(s->c->pool, s->n_rows, grain_of(n), activate_rows, &job);
}

static mn_status experts(const mn_step *s, int layer, float *out, const float *x, mn_error *err) {
    const mn_layer *w = &s->model->weights.layers[layer];
    mn_router router = s->model->config.moe.router;
    mn_experts stacks = {&w->expert_gate, &w->expert_up, &w->expert_down};
    const mn_projection *const ws[] = {&w->router};
    float *logits = mn_step_floats(s, s->n_rows, router.n_experts),
          *weights = mn_step_floats(s, s->n_rows, router.n_used);
    int32_t *ids = mn_arena_alloc(s->c->scratch, (size_t)s->n_rows * (size_t)router.n_used, sizeof *ids);
    if (!logits || !weights || !ids) return mn_no_scratch(err);
    router.selection_bias = w->router_bias;
    MN_TRY(project(s, &logits, ws, 1, x, s->n_rows, err));
    MN_TRY(mn_route(s->c, &router, ids, weights, logits, s->n_rows, err));
    return mn_moe(s->c, &stacks, out, x, ids, weights, router.n_used, s->n_rows, err);
}

typedef struct add_job {
    const mn_step *s;
    float *x;
    const float *y;
} add_job;

static void add_range(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const add_job *job = arg;
    job->s->c->kernels->vec.add(job->x + begin, job->x + begin, job->y + begin, end - begin);
}

static void add(const mn_step *s, float *x, const float *y, int64_t n) {
    add_job job = {s, x, y};
    mn_pool_run(s->c->pool, s->n_rows * n, FLOATS_PER_RANGE, add_range, &job);
}

static void cap(const mn_step *s, float *logits, int64_t n_rows, float softcap) {
    int64_t n = n_rows * s->model->config.n_vocab;
    for (int64_t i = 0; i < n; i++) logits[i] = softcap * tanhf(logits[i] / softcap);
}

const mn_ops mn_ops_cpu = {
    .embed = embed,
    .norm = norm,
    .project = project,
    .clamp = clamp,
    .rotate = rotate,
    .convolve = convolve,
    .append = append,
    .attend = attend,
    .attend_latent = attend_latent,
    .merge = merge,
    .remember = remember,
    .activate = activate,
    .experts = experts,
    .add = add,
    .cap = cap,
};
