#include "model/backend_cpu.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "mlp/hash_layer.h"
#include "mlp/moe.h"
#include "model/backend_cpu_ops.h"

#include <math.h>
#include <string.h>

enum { FLOATS_PER_RANGE = 1 << 14, MAX_PROJECTIONS = 4 };

static mn_status take(const mn_step *s, int64_t n_rows, int n_heads, int64_t n, mn_rows *out, mn_error *err) {
    float *memory = mn_cpu_floats(s, n_rows, n_heads * n);
    if (!memory) return mn_no_scratch(err);
    *out = mn_cpu_rows(memory, n_rows, n);
    out->n_heads = n_heads;
    out->row_stride = n_heads * n;
    return MN_OK;
}

static mn_arena_mark mark(const mn_step *s) { return mn_arena_get_mark(mn_cpu_compute(s)->scratch); }

static void rewind_to(const mn_step *s, mn_arena_mark mark) { mn_arena_rewind(mn_cpu_compute(s)->scratch, mark); }

static mn_status prepare(const mn_step *s, mn_error *err) {
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++)
        MN_TRY(mn_kvcache_prepare(slice->sequence->cache, mn_sequence_n_kv(slice->sequence), slice->n_rows, err));
    return MN_OK;
}

int64_t mn_cpu_grain(int64_t floats_per_row) {
    return MN_MAX(INT64_C(1), FLOATS_PER_RANGE / MN_MAX(floats_per_row, 1));
}

/* A loop over the rows of an operation, with what the operations below need in it. */
typedef struct rows_job {
    const mn_step *s;
    const mn_vec_kernels *vec;
    mn_rows out, x, y;
    union {
        const mn_norm *norm;
        const float *bias;
        const int64_t *rows;
        float limit;
        int64_t first;
        mn_gate gate;
        struct {
            mn_place place;
            int index;
        };
        mn_mlp_act activation;
    };
} rows_job;

static mn_status run_rows(rows_job job, mn_pool_fn *fn) {
    const mn_compute *c = mn_cpu_compute(job.s);
    job.vec = &c->kernels->vec;
    mn_pool_run(c->pool, job.out.n_rows, mn_cpu_grain(job.out.n_heads * job.out.n), fn, &job);
    return MN_OK;
}

static float *vector_at(mn_rows x, int64_t row, int head) {
    return x.buffer ? mn_cpu_row(x, row) + head * x.head_stride : NULL;
}

static void copy_vector(float *out, const float *x, int64_t n) {
    if (out != x) memcpy(out, x, (size_t)n * sizeof *out);
}

static int64_t position_of(const mn_attn_spec *attn, mn_place place, int index, int64_t token) {
    const mn_posmap *map = &attn->map;
    if (place == MN_PLACE_QUERY && index < map->n_ranges) return mn_posmap_at(map, index, token).q_position;
    if (place == MN_PLACE_KEY && index < map->n_planes) return mn_posmap_key(map, index, token);
    return mn_attn_position(attn, token);
}

/* The place of a slice's row in its segment, where marks begin segments. walk stands behind the row before, unless this
 * is the first one looked at or the slice's first. */
static int64_t place_in_segment(const mn_step *s, const mn_slice *slice, int64_t row, bool first, mn_segments *walk) {
    const mn_infini_spec *m = &slice->sequence->attn.infini;
    int64_t from = row;
    if (first || row == slice->first_row) {
        *walk = slice->sequence->segments;
        from = slice->first_row;
    }
    for (int64_t r = from; r < row; r++) mn_segments_pass(walk, &m->mark, m->shape.segment, s->tokens[r]);
    return mn_segments_pass(walk, &m->mark, m->shape.segment, s->tokens[row]);
}

static void angle_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    mn_segments walk = {0};
    for (int64_t r = begin; r < end; r++) {
        const mn_slice *slice = mn_step_slice(job->s, r);
        const mn_sequence *t = slice->sequence;
        int64_t position = mn_attn_has_mark(&t->attn)
                               ? place_in_segment(job->s, slice, r, r == begin, &walk)
                               : position_of(&t->attn, job->place, job->index, t->n_tokens + r - slice->first_row);
        mn_rope_angles(job->place == MN_PLACE_TOKEN_LOCAL ? &t->rope_local : &t->rope, &position, 1,
                       vector_at(job->out, r, 0), vector_at(job->out, r, 1));
    }
}

static mn_status angles(const mn_step *s, mn_rows out, mn_place place, int index, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .place = place, .index = index}, angle_rows);
}

static void copy_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t r = begin; r < end; r++) copy_vector(vector_at(job->out, r, 0), vector_at(job->x, r, 0), job->x.n);
}

static void gather_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t r = begin; r < end; r++)
        for (int h = 0; h < job->x.n_heads; h++)
            copy_vector(vector_at(job->out, r, h), vector_at(job->x, job->rows[r], h), job->x.n);
}

static mn_status gather(const mn_step *s, mn_rows out, mn_rows x, const int64_t *rows, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .x = x, .rows = rows}, gather_rows);
}

/* x += row `position` of the table of learned positions. */
static void add_learned(const mn_vec_kernels *vec, const mn_tensor *table, int64_t position, float *x, int64_t n) {
    const char *row = (const char *)table->data + (size_t)position * mn_tensor_row_bytes(table);
    float learned[1 << 10];
    for (int64_t i = 0; i < n; i += (int64_t)(sizeof learned / sizeof *learned)) {
        int64_t part = MN_MIN(n - i, (int64_t)(sizeof learned / sizeof *learned));
        vec->to_f32(table->type, row + mn_dtype_row_bytes(table->type, i), learned, part);
        vec->add(x + i, x + i, learned, part);
    }
}

static void embed_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    const mn_model *m = job->s->model;
    const mn_tensor *table = &m->weights.token_embd;
    int64_t n = m->config.n_embd;
    for (int64_t r = begin; r < end; r++) {
        float *x = mn_cpu_row(job->out, r);
        const char *row = (const char *)table->data + (size_t)job->s->tokens[r] * mn_tensor_row_bytes(table);
        job->vec->to_f32(table->type, row, x, n);
        if (m->config.embedding_scale != 1) job->vec->scale(x, x, m->config.embedding_scale, n);
        if (m->weights.token_type) job->vec->add(x, x, m->weights.token_type, n);
        if (!m->weights.position_embd.data) continue;
        const mn_slice *slice = mn_step_slice(job->s, r);
        int64_t token = slice->sequence->n_tokens + r - slice->first_row;
        add_learned(job->vec, &m->weights.position_embd, mn_attn_position(&slice->sequence->attn, token), x, n);
    }
}

static mn_status embed(const mn_step *s, mn_rows out, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out}, embed_rows);
}

static void embed_layer_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    const mn_tensor *table = &job->s->model->weights.layer_embd;
    int64_t n = job->out.n_heads * job->out.n;
    for (int64_t r = begin; r < end; r++) {
        float *out = mn_cpu_row(job->out, r);
        const char *row = (const char *)table->data + (size_t)job->s->tokens[r] * mn_tensor_row_bytes(table);
        job->vec->to_f32(table->type, row, out, n);
        job->vec->scale(out, out, sqrtf((float)job->out.n), n);
    }
}

static mn_status embed_layers(const mn_step *s, mn_rows out, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out}, embed_layer_rows);
}

static void norm_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    const mn_config *c = &job->s->model->config;
    for (int64_t r = begin; r < end; r++)
        for (int h = 0; h < job->x.n_heads; h++) {
            const mn_norm *norm = job->norm;
            int64_t n = job->x.n, at = norm->by_head ? h * n : 0;
            float *out = vector_at(job->out, r, h), eps = norm->eps > 0 ? norm->eps : c->norm_eps;
            const float *x = vector_at(job->x, r, h), *w = norm->w ? norm->w + at : NULL;
            if (c->norm == MN_NORM_RMS)
                job->vec->rms_norm(out, x, w, eps, n);
            else
                job->vec->layer_norm(out, x, w, norm->b ? norm->b + at : NULL, eps, n);
        }
}

static mn_status norm(const mn_step *s, mn_rows out, mn_rows x, const mn_norm *w, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .x = x, .norm = w}, norm_rows);
}

static void bias_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t r = begin; r < end; r++) {
        float *out = mn_cpu_row(job->out, r);
        job->vec->add(out, out, job->bias, job->out.n_heads * job->out.n);
    }
}

/* out += scale y */
typedef struct axpy_job {
    const mn_vec_kernels *vec;
    mn_rows out;
    const float *y;
    float scale;
} axpy_job;

static void axpy_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const axpy_job *job = arg;
    int64_t n = job->out.n_heads * job->out.n;
    for (int64_t r = begin; r < end; r++) job->vec->axpy(mn_cpu_row(job->out, r), job->y + r * n, job->scale, n);
}

mn_status mn_cpu_add_adapters(const mn_step *s, mn_rows out, const mn_lora *lora, mn_rows x, mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    for (; lora; lora = lora->next) {
        mn_arena_mark mark = mn_arena_get_mark(c->scratch);
        int64_t rank = lora->a.ne[1], n_out = lora->b.ne[1];
        float *inner = mn_cpu_floats(s, x.n_rows, rank), *y = mn_cpu_floats(s, x.n_rows, n_out);
        if (!inner || !y) return mn_no_scratch(err);
        MN_TRY(mn_matmul(c, inner, rank, mn_cpu_data(x), x.row_stride, x.n_rows, &lora->a, err));
        MN_TRY(mn_matmul(c, y, n_out, inner, rank, x.n_rows, &lora->b, err));
        axpy_job job = {&c->kernels->vec, out, y, lora->scale};
        mn_pool_run(c->pool, x.n_rows, mn_cpu_grain(n_out), axpy_rows, &job);
        mn_arena_rewind(c->scratch, mark);
    }
    return MN_OK;
}

static mn_status project(const mn_step *s, const mn_rows *outs, const mn_projection *const *ws, int n_ws, mn_rows x,
                         mn_error *err) {
    const mn_tensor *tensors[MAX_PROJECTIONS] = {0};
    float *data[MAX_PROJECTIONS] = {0};
    int64_t strides[MAX_PROJECTIONS] = {0};
    for (int i = 0; i < n_ws; i++) {
        tensors[i] = &ws[i]->w;
        data[i] = mn_cpu_data(outs[i]);
        strides[i] = outs[i].row_stride;
    }
    MN_TRY(
        mn_matmul_many(mn_cpu_compute(s), data, strides, mn_cpu_data(x), x.row_stride, x.n_rows, tensors, n_ws, err));
    for (int i = 0; i < n_ws; i++) {
        if (ws[i]->b) MN_TRY(run_rows((rows_job){.s = s, .out = outs[i], .bias = ws[i]->b}, bias_rows));
        if (ws[i]->lora) MN_TRY(mn_cpu_add_adapters(s, outs[i], ws[i]->lora, x, err));
    }
    return MN_OK;
}

static void clamp_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t r = begin; r < end; r++) {
        job->vec->clamp(mn_cpu_row(job->out, r), mn_cpu_row(job->x, r), -job->limit, job->limit,
                        job->x.n_heads * job->x.n);
    }
}

static mn_status clamp(const mn_step *s, mn_rows out, mn_rows x, float limit, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .x = x, .limit = limit}, clamp_rows);
}

static void rotate_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    bool split = job->s->model->config.rope_style == MN_ROPE_SPLIT;
    for (int64_t r = begin; r < end; r++) {
        const float *cos = vector_at(job->y, r, 0), *sin = vector_at(job->y, r, 1);
        for (int h = 0; h < job->x.n_heads; h++) {
            float *out = vector_at(job->out, r, h);
            copy_vector(out, vector_at(job->x, r, h), job->x.n);
            if (split)
                job->vec->rotate_split(out + job->first, cos, sin, job->y.n);
            else
                job->vec->rotate_interleaved(out + job->first, cos, sin, job->y.n);
        }
    }
}

static mn_status rotate(const mn_step *s, mn_rows out, mn_rows x, int64_t first, mn_rows angles, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .x = x, .y = angles, .first = first}, rotate_rows);
}

static void activate_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t r = begin; r < end; r++)
        mn_activate(job->vec, job->activation, mn_cpu_row(job->out, r), job->x.buffer ? mn_cpu_row(job->x, r) : NULL,
                    mn_cpu_row(job->y, r), job->y.n);
}

static mn_status activate(const mn_step *s, mn_mlp_act activation, mn_rows out, mn_rows gate, mn_rows up,
                          mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .x = gate, .y = up, .activation = activation}, activate_rows);
}

mn_experts mn_cpu_experts(const mn_model *m, int layer) {
    const mn_layer *w = &m->weights.layers[layer];
    return (mn_experts){.gate = &w->expert_gate,
                        .up = &w->expert_up,
                        .down = &w->expert_down,
                        .gate_b = w->expert_gate_b,
                        .up_b = w->expert_up_b,
                        .down_b = w->expert_down_b,
                        .scale = w->expert_scale,
                        .activation = {m->config.activation, m->config.layers[layer].limit_experts},
                        .weighs_input = m->config.moe.weighs_input,
                        .on_disk = m->experts_on_disk};
}

static mn_status experts(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_rows routed, const int64_t *rows,
                         mn_error *err) {
    const mn_compute *c = mn_cpu_compute(s);
    const mn_layer *w = &s->model->weights.layers[layer];
    const mn_projection *routers[] = {&w->router};
    mn_router router = s->model->config.moe.router;
    mn_experts stacks = mn_cpu_experts(s->model, layer);
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    float *logits = mn_cpu_floats(s, x.n_rows, router.n_experts), *weights = mn_cpu_floats(s, x.n_rows, router.n_used);
    int32_t *ids = mn_arena_alloc(c->scratch, (size_t)x.n_rows * (size_t)router.n_used, sizeof *ids);
    if (!logits || !weights || !ids) return mn_no_scratch(err);
    router.selection_bias = w->router_bias;
    MN_TRY(project(s, (const mn_rows[]){mn_cpu_rows(logits, x.n_rows, router.n_experts)}, routers, 1, routed, err));
    if (w->experts_of_token)
        mn_route_by_hash(c, &router, w->experts_of_token, s->tokens, rows, ids, weights, logits, x.n_rows);
    else
        MN_TRY(mn_route(c, &router, ids, weights, logits, x.n_rows, err));
    int64_t *visits = s->n_slices == 1 ? s->slices[0].sequence->expert_visits : NULL;
    for (int64_t i = 0; visits && !mn_pool_is_dry(c->pool) && i < x.n_rows * router.n_used; i++)
        visits[(int64_t)layer * router.n_experts + ids[i]]++;
    MN_TRY(mn_moe(c, &stacks, mn_cpu_data(out), mn_cpu_data(x), ids, weights, router.n_used, x.n_rows, err));
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

static void add_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t r = begin; r < end; r++)
        job->vec->add(mn_cpu_row(job->out, r), mn_cpu_row(job->x, r), mn_cpu_row(job->y, r), job->out.n);
}

static mn_status add(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .x = x, .y = y}, add_rows);
}

static void apply_gate(const mn_kernels *k, mn_gate gate, float *out, const float *g, const float *x, int64_t n) {
    switch (gate) {
    case MN_GATE_SILU: k->vec.silu_mul(out, g, x, n); break; /* never alone */
    case MN_GATE_SIGMOID: k->recurrent.sigmoid_mul(out, g, x, n); break;
    case MN_GATE_PLAIN: k->vec.mul(out, g, x, n); break; /* never alone */
    case MN_GATE_TANH:
        for (int64_t i = 0; i < n; i++) out[i] = tanhf(g[i]) * (x ? x[i] : 1);
        break;
    }
}

static void gate_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    const mn_kernels *k = mn_cpu_compute(job->s)->kernels;
    for (int64_t r = begin; r < end; r++)
        for (int h = 0; h < job->out.n_heads; h++)
            apply_gate(k, job->gate, vector_at(job->out, r, h), vector_at(job->y, r, h),
                       job->x.buffer ? vector_at(job->x, r, h) : NULL, job->out.n);
}

static mn_status gate(const mn_step *s, mn_gate gate, mn_rows out, mn_rows x, mn_rows g, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .x = x, .y = g, .gate = gate}, gate_rows);
}

static void scale_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t r = begin; r < end; r++)
        job->vec->scale(mn_cpu_row(job->out, r), mn_cpu_row(job->x, r), job->limit, job->x.n_heads * job->x.n);
}

static mn_status scale(const mn_step *s, mn_rows out, mn_rows x, float factor, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .x = x, .limit = factor}, scale_rows);
}

static void gate_head_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t r = begin; r < end; r++)
        for (int h = 0; h < job->x.n_heads; h++)
            job->vec->scale(vector_at(job->out, r, h), vector_at(job->x, r, h),
                            1 / (1 + expf(-*vector_at(job->y, r, h))), job->x.n);
}

static mn_status gate_heads(const mn_step *s, mn_rows out, mn_rows x, mn_rows g, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .x = x, .y = g}, gate_head_rows);
}

float mn_cpu_temperature(const mn_step *s, int64_t row) {
    const mn_temper *t = &s->model->config.temper;
    const mn_slice *slice = mn_step_slice(s, row);
    int64_t token = slice->sequence->n_tokens + row - slice->first_row;
    return (float)(1 + t->scale *
                           log((double)((mn_attn_position(&slice->sequence->attn, token) + t->first) / t->tokens + 1)));
}

static void temper_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t r = begin; r < end; r++)
        job->vec->scale(mn_cpu_row(job->out, r), mn_cpu_row(job->x, r), mn_cpu_temperature(job->s, r),
                        job->x.n_heads * job->x.n);
}

static mn_status temper(const mn_step *s, mn_rows out, mn_rows x, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = out, .x = x}, temper_rows);
}

static void cap_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t r = begin; r < end; r++) {
        float *out = mn_cpu_row(job->out, r);
        for (int64_t i = 0; i < job->out.n; i++) out[i] = job->limit * tanhf(out[i] / job->limit);
    }
}

static mn_status logits(const mn_step *s, float *logits, mn_rows x, mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_projection *output = &s->model->weights.output;
    mn_rows out = mn_cpu_rows(logits, x.n_rows, c->n_vocab);
    MN_TRY(project(s, &out, &output, 1, x, err));
    if (c->final_softcap == 0) return MN_OK;
    return run_rows((rows_job){.s = s, .out = out, .limit = c->final_softcap}, cap_rows);
}

static mn_status states(const mn_step *s, float *states, mn_rows x, mn_error *err) {
    (void)err;
    return run_rows((rows_job){.s = s, .out = mn_cpu_rows(states, x.n_rows, x.n), .x = x}, copy_rows);
}

mn_backend mn_backend_cpu(const mn_compute *compute) {
    return (mn_backend){.context = (void *)compute,
                        .take = take,
                        .mark = mark,
                        .rewind = rewind_to,
                        .prepare = prepare,
                        .append = mn_cpu_append,
                        .angles = angles,
                        .gather = gather,
                        .embed = embed,
                        .embed_layers = embed_layers,
                        .norm = norm,
                        .project = project,
                        .clamp = clamp,
                        .rotate = rotate,
                        .convolve = mn_cpu_convolve,
                        .attend = mn_cpu_attend,
                        .attend_latent = mn_cpu_attend_latent,
                        .choose = mn_cpu_choose_keys,
                        .compress = mn_cpu_compress,
                        .attend_compressed = mn_cpu_attend_compressed,
                        .merge = mn_cpu_merge,
                        .mix_recurrent = mn_cpu_mix_recurrent,
                        .convolve_mixer = mn_cpu_convolve_mixer,
                        .mix_shifted = mn_cpu_mix_shifted,
                        .mix_state = mn_cpu_mix_state,
                        .gate = gate,
                        .activate = activate,
                        .experts = experts,
                        .split = mn_cpu_split,
                        .join = mn_cpu_join,
                        .merge_streams = mn_cpu_merge_streams,
                        .spread_streams = mn_cpu_spread_streams,
                        .add = add,
                        .scale = scale,
                        .gate_heads = gate_heads,
                        .temper = temper,
                        .logits = logits,
                        .states = states};
}
