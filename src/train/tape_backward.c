/* The tape, walked back: for each entry the backward of its operation, which stands beside the operation's forward. */
#include "train/tape.h"

#include "base/checked.h"
#include "base/clock.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "kernels/norm_backward.h"
#include "kernels/rows_backward.h"
#include "mlp/activation_backward.h"
#include "model/backend_cpu_ops.h"
#include "recurrent/short_conv_backward.h"
#include "train/tape_ops.h"

#include <math.h>
#include <string.h>

enum { FLOATS_PER_RANGE = 1 << 15 };

typedef mn_status backward_fn(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);

static mn_vectors vectors_of(mn_rows x, float *data) {
    return (mn_vectors){data, x.row_stride, x.head_stride, x.n_heads, (int)x.n};
}

typedef struct sum_job {
    const mn_vec_kernels *vec;
    float *to;
    const float *from;
    bool add;
} sum_job;

static void sum_range(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const sum_job *j = arg;
    if (j->add)
        j->vec->add(j->to + begin, j->to + begin, j->from + begin, end - begin);
    else
        memcpy(j->to + begin, j->from + begin, (size_t)(end - begin) * sizeof(float));
}

void mn_tape_give(const mn_tape *t, float *to, const float *from, int64_t n, bool add) {
    sum_job job = {&t->compute->kernels->vec, to, from, add};
    mn_pool_run(t->compute->pool, n, FLOATS_PER_RANGE, sum_range, &job);
}

typedef struct scale_job {
    const mn_vec_kernels *vec;
    float *to;
    const float *from;
    float scale;
} scale_job;

static void scale_range(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const scale_job *j = arg;
    j->vec->scale(j->to + begin, j->from + begin, j->scale, end - begin);
}

void mn_tape_pass_on(mn_tape *t, mn_rows to, mn_rows from) {
    bool add = mn_tape_claim(t, to);
    mn_tape_give(t, mn_tape_gradient(t, to), mn_tape_gradient(t, from), mn_tape_n_floats(to), add);
}

static mn_status embed_layers_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)err;
    mn_rows y = e->out[0];
    float *d_table = mn_tape_weight_gradient(t, s->model->weights.layer_embd.data);
    if (d_table)
        mn_embed_backward(t->compute, d_table, s->tokens, mn_tape_gradient(t, y), y.n_heads * y.n, y.n_rows,
                          sqrtf((float)y.n));
    return MN_OK;
}

static mn_status norm_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    const mn_config *c = &s->model->config;
    const mn_norm *w = e->norm;
    mn_rows x = e->in[0], y = e->out[0];
    mn_norm_grad g = {.layer_norm = c->norm != MN_NORM_RMS,
                      .n_rows = x.n_rows,
                      .x = vectors_of(x, mn_cpu_data(x)),
                      .dy = vectors_of(y, mn_tape_gradient(t, y)),
                      .dx = vectors_of(x, mn_tape_gradient(t, x)),
                      .add = mn_tape_claim(t, x),
                      .w = w->w,
                      .eps = w->eps > 0 ? w->eps : c->norm_eps,
                      .dw = mn_tape_weight_gradient(t, w->w),
                      .db = mn_tape_weight_gradient(t, w->b)};
    if (!w->by_head) return mn_norm_backward(t->compute, &g, err);
    for (int h = 0; h < x.n_heads; h++) {
        mn_norm_grad one = g;
        mn_vectors *const parts[] = {&one.x, &one.dy, &one.dx};
        for (int i = 0; i < 3; i++) {
            parts[i]->data += h * parts[i]->head_stride;
            parts[i]->n_heads = 1;
        }
        one.w = g.w + h * x.n;
        one.dw = g.dw ? g.dw + h * x.n : NULL;
        one.db = g.db ? g.db + h * x.n : NULL;
        MN_TRY(mn_norm_backward(t->compute, &one, err));
    }
    return MN_OK;
}

/* y += scale B (A x): with h = A x made again and dh = scale dY B, dB += scale dY^T h, dA += dh^T x, dX += dh A. */
static mn_status lora_backward(mn_tape *t, const mn_lora *l, mn_rows x, mn_rows y, mn_error *err) {
    const mn_compute *c = t->compute;
    int64_t rank = l->a.ne[1], n_out = l->b.ne[1], n = x.n_rows;
    float *h = mn_tape_floats(t, n * rank), *dh = mn_tape_floats(t, n * rank), *dy = mn_tape_floats(t, n * n_out);
    if (!h || !dh || !dy) return mn_no_scratch(err);
    scale_job job = {&c->kernels->vec, dy, mn_tape_gradient(t, y), l->scale};
    mn_pool_run(c->pool, n * n_out, FLOATS_PER_RANGE, scale_range, &job);
    MN_TRY(mn_matmul(c, h, rank, mn_cpu_data(x), x.row_stride, n, &l->a, err));
    MN_TRY(mn_matmul_dx(c, dh, rank, false, dy, n_out, n, &l->b, err));
    float *da = mn_tape_weight_gradient(t, l->a.data), *db = mn_tape_weight_gradient(t, l->b.data);
    if (db) MN_TRY(mn_matmul_dw(c, db, dy, n_out, n_out, h, rank, rank, n, err));
    if (da) MN_TRY(mn_matmul_dw(c, da, dh, rank, rank, mn_cpu_data(x), x.row_stride, x.n_heads * x.n, n, err));
    return mn_matmul_dx(c, mn_tape_gradient(t, x), x.row_stride, true, dh, rank, n, &l->a, err);
}

static mn_status project_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)s;
    const mn_compute *c = t->compute;
    mn_rows x = e->in[0];
    for (int i = 0; i < e->n_out; i++) {
        const mn_projection *w = e->projections[i];
        mn_rows y = e->out[i];
        if (!mn_tape_has_gradient(t, y)) continue;
        int64_t n_out = w->w.ne[1], n_in = w->w.ne[0];
        const float *dy = mn_tape_gradient(t, y);
        bool add = mn_tape_claim(t, x);
        MN_TRY(mn_matmul_dx(c, mn_tape_gradient(t, x), x.row_stride, add, dy, y.row_stride, x.n_rows, &w->w, err));
        float *dw = mn_tape_weight_gradient(t, w->w.data), *db = mn_tape_weight_gradient(t, w->b);
        if (dw) MN_TRY(mn_matmul_dw(c, dw, dy, y.row_stride, n_out, mn_cpu_data(x), x.row_stride, n_in, x.n_rows, err));
        if (db) MN_TRY(mn_bias_backward(c, db, dy, n_out, y.n_rows, err));
        for (const mn_lora *l = w->lora; l; l = l->next) MN_TRY(lora_backward(t, l, x, y, err));
    }
    return MN_OK;
}

/* Vectors copied, or added, from one place to another. */
typedef struct copy_job {
    const mn_vec_kernels *vec;
    mn_vectors to, from;
    bool add;
} copy_job;

static void copy_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const copy_job *j = arg;
    for (int64_t r = begin; r < end; r++)
        for (int h = 0; h < j->to.n_heads; h++) {
            float *to = mn_vector_at(&j->to, r, h);
            const float *from = mn_vector_at(&j->from, r, h);
            if (j->add)
                j->vec->add(to, to, from, j->to.n);
            else
                memcpy(to, from, (size_t)j->to.n * sizeof(float));
        }
}

static void copy_vectors(const mn_tape *t, mn_vectors to, mn_vectors from, int64_t n_rows, bool add) {
    copy_job job = {&t->compute->kernels->vec, to, from, add};
    mn_pool_run(t->compute->pool, n_rows, mn_cpu_grain(to.n_heads * to.n), copy_rows, &job);
}

static mn_status embed_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    const mn_weights *w = &s->model->weights;
    int64_t n = e->out[0].n, n_rows = e->out[0].n_rows;
    float *dy = mn_tape_gradient(t, e->out[0]);
    if (e->out[0].row_stride != n) { /* one of several streams */
        mn_vectors stream = vectors_of(e->out[0], dy);
        if (!(dy = mn_tape_floats(t, n_rows * n))) return mn_no_scratch(err);
        copy_vectors(t, mn_vectors_of_heads(dy, 1, (int)n), stream, n_rows, false);
    }
    float *d_table = mn_tape_weight_gradient(t, w->token_embd.data);
    if (d_table) mn_embed_backward(t->compute, d_table, s->tokens, dy, n, n_rows, s->model->config.embedding_scale);
    float *d_positions = mn_tape_weight_gradient(t, w->position_embd.data);
    if (!d_positions) return MN_OK;
    int32_t *ids = mn_arena_alloc(t->compute->scratch, (size_t)n_rows, sizeof *ids);
    if (!ids) return mn_no_scratch(err);
    for (int64_t r = 0; r < n_rows; r++) {
        const mn_slice *slice = mn_step_slice(s, r);
        ids[r] = (int32_t)mn_attn_position(&slice->sequence->attn, slice->sequence->n_tokens + r - slice->first_row);
    }
    mn_embed_backward(t->compute, d_positions, ids, dy, n, n_rows, 1);
    return MN_OK;
}

/* For operations whose backward writes its result: where it may write, without gaps, and what has to be added
 * afterwards. */
typedef struct landing {
    float *at;
    bool add;
} landing;

static mn_status land(mn_tape *t, mn_rows x, landing *out, mn_error *err) {
    out->add = mn_tape_claim(t, x);
    out->at = out->add ? mn_tape_floats(t, mn_tape_n_floats(x)) : mn_tape_gradient(t, x);
    return out->at ? MN_OK : mn_no_scratch(err);
}

static void settle(mn_tape *t, mn_rows x, landing l) {
    mn_vectors from = mn_vectors_of_heads(l.at, x.n_heads, (int)x.n);
    if (l.add) copy_vectors(t, vectors_of(x, mn_tape_gradient(t, x)), from, x.n_rows, true);
}

static mn_status clamp_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)s;
    landing dx;
    MN_TRY(land(t, e->in[0], &dx, err));
    mn_clamp_backward(t->compute, dx.at, mn_cpu_data(e->out[0]), mn_tape_gradient(t, e->out[0]),
                      mn_tape_n_floats(e->out[0]), e->limit);
    settle(t, e->in[0], dx);
    return MN_OK;
}

/* dx = R^T dy, on a copy, then added: x may be a part of wider rows, or have other users. */
static mn_status rotate_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    mn_rows x = e->in[0], y = e->out[0], turn = e->in[1];
    float *memory = mn_tape_floats(t, mn_tape_n_floats(y));
    if (!memory) return mn_no_scratch(err);
    mn_vectors copy = mn_vectors_of_heads(memory, y.n_heads, (int)y.n), turned = copy;
    copy_vectors(t, copy, vectors_of(y, mn_tape_gradient(t, y)), y.n_rows, false);
    turned.data += e->first;
    turned.n = 2 * (int)turn.n;
    if (turn.buffer) /* else nothing was turned */
        mn_rotate_backward(t->compute, turned, mn_cpu_data(turn), mn_cpu_data(turn) + turn.head_stride, turn.row_stride,
                           y.n_rows, s->model->config.rope_style == MN_ROPE_SPLIT);
    bool add = mn_tape_claim(t, x);
    copy_vectors(t, vectors_of(x, mn_tape_gradient(t, x)), copy, y.n_rows, add);
    return MN_OK;
}

typedef struct activate_job {
    const mn_kernels *kernels;
    mn_mlp_act activation;
    mn_rows gate, up;
    const float *dy;
    landing d_gate, d_up;
} activate_job;

static void activate_back_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const activate_job *j = arg;
    int64_t n = j->up.n_heads * j->up.n;
    bool gated = j->gate.buffer != NULL;
    for (int64_t r = begin; r < end; r++)
        mn_activate_backward(j->kernels, j->activation, gated ? j->d_gate.at + r * n : NULL, j->d_up.at + r * n,
                             gated ? mn_cpu_row(j->gate, r) : NULL, mn_cpu_row(j->up, r), j->dy + r * n, n);
}

static mn_status activate_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)s;
    mn_rows gate = e->in[0], up = e->in[1];
    activate_job job = {t->compute->kernels, e->activation, gate, up, mn_tape_gradient(t, e->out[0]), {0}, {0}};
    MN_TRY(land(t, up, &job.d_up, err));
    if (gate.buffer) MN_TRY(land(t, gate, &job.d_gate, err));
    mn_pool_run(t->compute->pool, up.n_rows, mn_cpu_grain(up.n_heads * up.n), activate_back_rows, &job);
    settle(t, up, job.d_up);
    if (gate.buffer) settle(t, gate, job.d_gate);
    return MN_OK;
}

/* One of a layer's two convolutions, document by document; what was before the first token is zeros. */
static mn_status convolution_backward(mn_tape *t, const mn_step *s, mn_rows y, mn_rows x, const float *taps,
                                      mn_error *err) {
    landing dx;
    if (!mn_tape_has_gradient(t, y)) return MN_OK;
    MN_TRY(land(t, x, &dx, err));
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        int64_t at = slice->first_row * x.row_stride;
        mn_short_conv_grad g = {.d_out = mn_tape_gradient(t, y) + at,
                                .x = mn_cpu_data(x) + at,
                                .taps = taps,
                                .n_taps = s->model->config.n_conv_taps,
                                .n_channels = (int)(x.n_heads * x.n),
                                .n_rows = slice->n_rows,
                                .d_x = dx.at + at,
                                .d_taps = mn_tape_weight_gradient(t, taps)};
        MN_TRY(mn_short_conv_backward(t->compute, &g, err));
    }
    settle(t, x, dx);
    return MN_OK;
}

static mn_status convolve_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    const mn_layer *w = &s->model->weights.layers[e->layer];
    MN_TRY(convolution_backward(t, s, e->out[0], e->in[0], w->q_conv, err));
    return convolution_backward(t, s, e->out[1], e->in[1], w->k_conv, err);
}

static mn_status add_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)s, (void)err;
    mn_tape_pass_on(t, e->in[0], e->out[0]);
    mn_tape_pass_on(t, e->in[1], e->out[0]);
    return MN_OK;
}

/* A row's gradient times its factor; of scale and of temper. */
typedef struct factor_job {
    const mn_tape *t;
    const mn_step *s;
    const mn_tape_entry *e;
    float *dx;
} factor_job;

static void factor_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const factor_job *j = arg;
    mn_rows x = j->e->in[0], y = j->e->out[0];
    for (int64_t r = begin; r < end; r++) {
        float factor = j->e->kind == MN_TAPE_SCALE ? j->e->limit : mn_cpu_temperature(j->s, r);
        for (int h = 0; h < y.n_heads; h++)
            j->t->compute->kernels->vec.axpy(j->dx + r * x.row_stride + h * x.head_stride,
                                             mn_tape_gradient(j->t, y) + r * y.row_stride + h * y.head_stride, factor,
                                             y.n);
    }
}

static mn_status factor_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)err;
    factor_job job = {t, s, e, mn_tape_ready(t, e->in[0])};
    mn_pool_run(t->compute->pool, e->out[0].n_rows, mn_cpu_grain(e->out[0].n_heads * e->out[0].n), factor_rows, &job);
    return MN_OK;
}

/* Of a head: y = x g', g' = sigmoid(g):  dx += dy g',  dg += (dy . x) g' (1 - g'). */
typedef struct gate_job {
    mn_rows x, g;
    const float *dy;
    float *dx, *dg;
} gate_job;

static void gate_back_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const gate_job *j = arg;
    int64_t n = j->x.n;
    for (int64_t i = begin * j->x.n_heads * n; i < end * j->x.n_heads * n; i++) {
        int64_t at = i / n;
        float share = 1 / (1 + expf(-mn_cpu_data(j->g)[at]));
        j->dx[i] += j->dy[i] * share;
        j->dg[at] += j->dy[i] * mn_cpu_data(j->x)[i] * share * (1 - share);
    }
}

static mn_status gate_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)s, (void)err;
    mn_rows x = e->in[0], g = e->in[1];
    gate_job job = {x, g, mn_tape_gradient(t, e->out[0]), mn_tape_ready(t, x), mn_tape_ready(t, g)};
    mn_pool_run(t->compute->pool, x.n_rows, mn_cpu_grain(x.n_heads * x.n), gate_back_rows, &job);
    return MN_OK;
}

static mn_status gather_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    (void)s, (void)err;
    mn_rows x = e->in[0], y = e->out[0];
    float *dx = mn_tape_ready(t, x);
    for (int64_t r = 0; r < y.n_rows; r++)
        t->compute->kernels->vec.add(dx + e->rows[r] * x.row_stride, dx + e->rows[r] * x.row_stride,
                                     mn_tape_gradient(t, y) + r * y.row_stride, y.n_heads * y.n);
    return MN_OK;
}

static mn_status loss_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    landing dx;
    MN_TRY(land(t, e->in[0], &dx, err));
    MN_TRY(mn_tape_loss(t, s, e->in[0], dx.at, err));
    settle(t, e->in[0], dx);
    return MN_OK;
}

static backward_fn *const backwards[MN_TAPE_KIND_COUNT] = {
    [MN_TAPE_EMBED] = embed_backward,
    [MN_TAPE_EMBED_LAYERS] = embed_layers_backward,
    [MN_TAPE_NORM] = norm_backward,
    [MN_TAPE_PROJECT] = project_backward,
    [MN_TAPE_CLAMP] = clamp_backward,
    [MN_TAPE_ROTATE] = rotate_backward,
    [MN_TAPE_ATTEND] = mn_tape_attend_backward,
    [MN_TAPE_SHARE] = mn_tape_share_backward,
    [MN_TAPE_ADD] = add_backward,
    [MN_TAPE_ACTIVATE] = activate_backward,
    [MN_TAPE_GATHER] = gather_backward,
    [MN_TAPE_LOSS] = loss_backward,
    [MN_TAPE_EXPERTS] = mn_tape_experts_backward,
    [MN_TAPE_EASY] = mn_tape_easy_backward,
    [MN_TAPE_CONVOLVE] = convolve_backward,
    [MN_TAPE_ATTEND_LATENT] = mn_tape_attend_latent_backward,
    [MN_TAPE_COMPRESS] = mn_tape_compress_backward,
    [MN_TAPE_ATTEND_COMPRESSED] = mn_tape_attend_compressed_backward,
    [MN_TAPE_MERGE] = mn_tape_merge_backward,
    [MN_TAPE_MERGE_STREAMS] = mn_tape_merge_streams_backward,
    [MN_TAPE_SPREAD_STREAMS] = mn_tape_spread_streams_backward,
    [MN_TAPE_MIX_RECURRENT] = mn_tape_mix_recurrent_backward,
    [MN_TAPE_CONVOLVE_MIXER] = mn_tape_convolve_mixer_backward,
    [MN_TAPE_MIX_SHIFTED] = mn_tape_mix_shifted_backward,
    [MN_TAPE_MIX_STATE] = mn_tape_mix_state_backward,
    [MN_TAPE_GATE] = mn_tape_gate_backward,
    [MN_TAPE_SCALE] = factor_backward,
    [MN_TAPE_GATE_HEADS] = gate_backward,
    [MN_TAPE_TEMPER] = factor_backward,
};

/* Whether anything depends on what the entry made. */
static bool matters(const mn_tape *t, const mn_tape_entry *e) {
    if (e->kind == MN_TAPE_LOSS) return true;
    for (int i = 0; i < MN_MAX(e->n_out, 2); i++)
        if (e->out[i].buffer && mn_tape_has_gradient(t, e->out[i])) return true;
    return false;
}

mn_status mn_tape_backward(mn_tape *t, const mn_step *s, int64_t first, mn_error *err) {
    mn_arena *scratch = t->compute->scratch;
    while (t->n_entries > first) {
        const mn_tape_entry *e = &t->entries[--t->n_entries];
        if (!matters(t, e)) continue;
        mn_arena_mark mark = mn_arena_get_mark(scratch);
        double begin = mn_clock_seconds();
        MN_TRY(backwards[e->kind](t, s, e, err));
        t->seconds[1][e->kind] += mn_clock_seconds() - begin;
        mn_arena_rewind(scratch, mark);
    }
    t->since = mn_clock_seconds();
    return MN_OK;
}
