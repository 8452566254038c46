/* Recurrent states on the tape: linear attention, and compressive memories with what they need to learn (tape.h,
 * mn_tape_memory). A compressive memory is run here and not by the CPU's operation, as its reads and gates are needed
 * again on the way back. */
#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "model/backend_cpu_ops.h"
#include "recurrent/infini_backward.h"
#include "recurrent/infini_gates_backward.h"
#include "recurrent/linear_backward.h"
#include "train/memory_heads.h"
#include "train/tape_ops.h"

#include <math.h>
#include <stdlib.h>

static bool is_dry(const mn_tape *t) { return mn_pool_is_dry(t->compute->pool); }

/* All documents of a step attend alike. */
static const mn_attn_spec *spec_of(const mn_step *s) { return &s->slices[0].sequence->attn; }

/* The layer's own weights make write gates. */
static bool has_gates(const mn_infini_spec *m) { return m->model_writes && m->shape.rule == MN_INFINI_DELTA_EXACT; }

/* The labels of a step's rows as those of each KV head, [n_rows, n_kv_heads]; dead heads have none. weights NULL: there
 * are no labels. */
typedef struct head_labels {
    float *labels, *weights;
} head_labels;

static mn_status spread_labels(const mn_tape *t, const mn_step *s, int layer, int n_kv_heads, head_labels *out,
                               mn_error *err) {
    const mn_tape_memory *m = &t->memory;
    *out = (head_labels){0};
    if (!m->labels) return MN_OK;
    out->labels = mn_tape_floats(t, s->n_rows * n_kv_heads);
    out->weights = mn_tape_floats(t, s->n_rows * n_kv_heads);
    if (!out->labels || !out->weights) return mn_no_scratch(err);
    if (is_dry(t)) return MN_OK;
    for (int h = 0; h < n_kv_heads; h++) {
        bool writes = mn_memory_writes(s->model, layer, h);
        for (int64_t r = 0; r < s->n_rows; r++) {
            out->labels[r * n_kv_heads + h] = m->labels[r];
            out->weights[r * n_kv_heads + h] = writes ? m->label_weights[r] : 0;
        }
    }
    return MN_OK;
}

/* products = w_write . y, and of them gates; both [n_rows, n_kv_heads]. */
static mn_status make_gates(mn_tape *t, const mn_step *s, const mn_infini *shape, int layer, mn_rows y, mn_rows k,
                            mn_rows products, mn_rows gates, mn_error *err) {
    const mn_compute *c = t->compute;
    const mn_layer *w = &s->model->weights.layers[layer];
    const mn_infini_spec *spec = &spec_of(s)->infini;
    head_labels labels;
    if (!has_gates(spec)) {
        mn_infini_open_gates(c, shape, mn_cpu_data(gates), s->n_rows);
        return MN_OK;
    }
    MN_TRY(mn_matmul(c, mn_cpu_data(products), shape->n_kv_heads, mn_cpu_data(y), y.row_stride, s->n_rows,
                     &w->infini_write.w, err));
    mn_tape_give(t, mn_cpu_data(gates), mn_cpu_data(products), mn_tape_n_floats(gates), false);
    mn_infini_write_gates(c, shape, mn_cpu_data(gates), w->infini_write.b, w->infini_write_k, mn_cpu_data(k),
                          spec->write_threshold, s->n_rows);
    if (!t->memory.hard) return MN_OK;
    MN_TRY(spread_labels(t, s, layer, shape->n_kv_heads, &labels, err));
    mn_write_gates_harden(c, shape, mn_cpu_data(gates), labels.labels, labels.weights, s->n_rows);
    return MN_OK;
}

/* Rows of one document as its memory sees them: with those of a prefix between, [n_rows + prefix rows]. */
typedef struct document {
    int64_t n_rows; /* with the prefix */
    int64_t at, n;  /* of the prefix; n 0: the rows lie where they lay */
    float *q, *k, *v, *gates, *mem, *d_mem;
    float *d_q, *d_k, *d_v, *d_gates;
} document;

/* Rows of x, n floats each, with a gap of d->n rows in them. */
static void open_gap(const document *d, float *out, const float *x, int64_t n) {
    int64_t after = d->n_rows - d->n - d->at;
    memcpy(out, x, (size_t)(d->at * n) * sizeof *x);
    memset(out + d->at * n, 0, (size_t)(d->n * n) * sizeof *x);
    memcpy(out + (d->at + d->n) * n, x + d->at * n, (size_t)(after * n) * sizeof *x);
}

/* The other way: what is in the gap is dropped; added where `add`. */
static void close_gap(const mn_tape *t, const document *d, float *out, const float *x, int64_t n, bool add) {
    int64_t after = d->n_rows - d->n - d->at;
    mn_tape_give(t, out, x, d->at * n, add);
    mn_tape_give(t, out + d->at * n, x + (d->at + d->n) * n, after * n, add);
}

static void fill_gap(const document *d, float *out, mn_rows x, const int64_t *rows) {
    size_t bytes = (size_t)x.row_stride * sizeof(float);
    for (int64_t i = 0; i < d->n; i++) memcpy(out + (d->at + i) * x.row_stride, mn_cpu_row(x, rows[i]), bytes);
}

/* Heads that are dead have no writes of a prefix either. */
static void open_prefix_gates(const mn_step *s, const document *d, const mn_infini *shape, int layer) {
    for (int h = 0; h < shape->n_kv_heads; h++) {
        float gate = mn_memory_writes(s->model, layer, h) ? 1 : 0;
        for (int64_t i = d->at; i < d->at + d->n; i++) d->gates[i * shape->n_kv_heads + h] = gate;
    }
}

/* q, k, v, gates of a document with a prefix, copied; room for the reads. */
static mn_status join_prefix(const mn_tape *t, const mn_step *s, const mn_infini *shape, int layer,
                             const mn_slice *slice, const mn_memory_prefix *p, const mn_rows in[3], mn_rows gates,
                             document *d, mn_error *err) {
    int64_t r = slice->first_row, q_floats = (int64_t)shape->n_heads * shape->k_dim, n_kv = shape->n_kv_heads;
    *d = (document){.n_rows = slice->n_rows + p->n, .at = p->at, .n = p->n};
    d->q = mn_tape_floats(t, d->n_rows * q_floats);
    d->k = mn_tape_floats(t, d->n_rows * n_kv * shape->k_dim);
    d->v = mn_tape_floats(t, d->n_rows * n_kv * shape->v_dim);
    d->gates = mn_tape_floats(t, d->n_rows * n_kv);
    d->mem = mn_tape_floats(t, d->n_rows * shape->n_heads * shape->v_dim);
    if (!d->q || !d->k || !d->v || !d->gates || !d->mem) return mn_no_scratch(err);
    if (is_dry(t)) return MN_OK;
    open_gap(d, d->q, mn_cpu_row(in[0], r), q_floats);
    open_gap(d, d->k, mn_cpu_row(in[1], r), n_kv * shape->k_dim);
    open_gap(d, d->v, mn_cpu_row(in[2], r), n_kv * shape->v_dim);
    open_gap(d, d->gates, mn_cpu_row(gates, r), n_kv);
    fill_gap(d, d->k, in[1], p->rows);
    fill_gap(d, d->v, in[2], p->rows);
    open_prefix_gates(s, d, shape, layer);
    return MN_OK;
}

static const mn_memory_prefix *prefix_of(const mn_tape *t, const mn_step *s, const mn_slice *slice) {
    const mn_memory_prefix *p = t->memory.prefixes ? &t->memory.prefixes[slice - s->slices] : NULL;
    return p && p->n > 0 ? p : NULL;
}

/* Every document's memory, read and written. */
static mn_status run_memories(const mn_tape *t, const mn_step *s, const mn_infini *shape, int layer, mn_rows mem,
                              const mn_rows in[3], mn_rows gates, mn_error *err) {
    const mn_compute *c = t->compute;
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        int64_t r = slice->first_row;
        const mn_memory_prefix *p = prefix_of(t, s, slice);
        void *state = mn_sequence_recurrent_state(slice->sequence, &s->model->config, layer);
        mn_arena_mark mark = mn_arena_get_mark(c->scratch);
        document d = {.n_rows = slice->n_rows,
                      .q = mn_cpu_row(in[0], r),
                      .k = mn_cpu_row(in[1], r),
                      .v = mn_cpu_row(in[2], r),
                      .gates = mn_cpu_row(gates, r),
                      .mem = mn_cpu_row(mem, r)};
        if (p) MN_TRY(join_prefix(t, s, shape, layer, slice, p, in, gates, &d, err));
        MN_TRY(mn_infini_step(c, shape, state, d.mem, d.q, d.k, d.v, d.gates, d.n_rows, 0, err));
        if (p && !is_dry(t)) close_gap(t, &d, mn_cpu_row(mem, r), d.mem, mem.row_stride, false);
        mn_arena_rewind(c->scratch, mark);
    }
    return MN_OK;
}

static mn_status mix_infini(mn_tape *t, const mn_step *s, int layer, mn_rows out, mn_rows softmax, mn_rows y, mn_rows q,
                            mn_rows k, mn_rows v, mn_error *err) {
    const mn_infini_spec *spec = &spec_of(s)->infini;
    mn_infini shape = mn_attn_infini_shape(spec_of(s), &s->model->config, layer);
    mn_tape_entry entry = {
        .kind = MN_TAPE_MIX_RECURRENT, .layer = layer, .n_out = 4, .out = {out}, .in = {softmax, y, q, k, v}};
    mn_rows *mem = &entry.out[1], *products = &entry.out[2], *gates = &entry.out[3];
    mn_arena_mark mark = mn_arena_get_mark(t->compute->scratch);
    MN_TRY(mn_tape_take(s, s->n_rows, shape.n_heads, shape.v_dim, mem, err));
    MN_TRY(mn_tape_take(s, s->n_rows, 1, shape.n_kv_heads, products, err));
    MN_TRY(mn_tape_take(s, s->n_rows, 1, shape.n_kv_heads, gates, err));
    MN_TRY(make_gates(t, s, &shape, layer, y, k, *products, *gates, err));
    MN_TRY(run_memories(t, s, &shape, layer, *mem, (mn_rows[]){q, k, v}, *gates, err));
    mn_infini_mix(t->compute, &shape, mn_cpu_data(out), mn_cpu_data(softmax), mn_cpu_data(*mem),
                  spec->model_mixes ? s->model->weights.layers[layer].infini_gate : NULL, spec->share, s->n_rows);
    mn_arena_rewind(t->compute->scratch, mark);
    return mn_tape_record(t, entry, err);
}

mn_status mn_tape_mix_recurrent(const mn_step *s, int layer, mn_rows out, mn_rows softmax, mn_rows y, mn_rows q,
                                mn_rows k, mn_rows v, mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    mn_step in = mn_tape_inner(s);
    mn_tape_entry entry = {
        .kind = MN_TAPE_MIX_RECURRENT, .layer = layer, .n_out = 1, .out = {out}, .in = {softmax, y, q, k, v}};
    if (mn_attn_is_linear(spec_of(s), layer)) {
        MN_TRY(in.backend->mix_recurrent(&in, layer, out, softmax, y, q, k, v, err));
        return mn_tape_record(t, entry, err);
    }
    if (mn_memory_layer_is_alive(s->model, layer)) return mix_infini(t, s, layer, out, softmax, y, q, k, v, err);
    mn_tape_give(t, mn_cpu_data(out), mn_cpu_data(softmax), mn_tape_n_floats(out), false);
    return mn_tape_record(t, entry, err);
}

static mn_status linear_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    mn_linear shape = mn_attn_linear_shape(&s->model->config, e->layer);
    mn_rows q = e->in[2], k = e->in[3], v = e->in[4], out = e->out[0];
    float *dq = mn_tape_ready(t, q), *dk = mn_tape_ready(t, k), *dv = mn_tape_ready(t, v);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        int64_t r = slice->first_row;
        mn_linear_grad g = {.q = mn_cpu_row(q, r),
                            .k = mn_cpu_row(k, r),
                            .v = mn_cpu_row(v, r),
                            .out = mn_cpu_row(out, r),
                            .d_out = mn_tape_gradient(t, out) + r * out.row_stride,
                            .n_rows = slice->n_rows,
                            .d_q = dq + r * q.row_stride,
                            .d_k = dk + r * k.row_stride,
                            .d_v = dv + r * v.row_stride};
        MN_TRY(mn_linear_backward(t->compute, &shape, &g, err));
    }
    return MN_OK;
}

/* Room for the gradients of a document with a prefix; d_mem without gradient for the prefix. */
static mn_status join_gradients(const mn_tape *t, const mn_infini *shape, document *d, const float *mem,
                                const float *d_mem, bool gates, mn_error *err) {
    int64_t n_q = d->n_rows * shape->n_heads * shape->k_dim, n_out = (int64_t)shape->n_heads * shape->v_dim;
    int64_t n_k = d->n_rows * shape->n_kv_heads * shape->k_dim, n_v = d->n_rows * shape->n_kv_heads * shape->v_dim;
    d->d_mem = mn_tape_floats(t, d->n_rows * n_out);
    d->d_q = mn_tape_floats(t, n_q);
    d->d_k = mn_tape_floats(t, n_k);
    d->d_v = mn_tape_floats(t, n_v);
    d->d_gates = mn_tape_floats(t, d->n_rows * shape->n_kv_heads);
    if (!d->d_mem || !d->d_q || !d->d_k || !d->d_v || !d->d_gates) return mn_no_scratch(err);
    if (!gates) d->d_gates = NULL;
    if (is_dry(t)) return MN_OK;
    open_gap(d, d->mem, mem, n_out);
    open_gap(d, d->d_mem, d_mem, n_out);
    memset(d->d_q, 0, (size_t)n_q * sizeof(float));
    memset(d->d_k, 0, (size_t)n_k * sizeof(float));
    memset(d->d_v, 0, (size_t)n_v * sizeof(float));
    return MN_OK;
}

/* The gradients of a step's memories: of q, k, v as they lie on the tape, and of gates (NULL: not wanted). */
typedef struct memory_gradients {
    float *d_mem, *d_gates;
    float *to[3];
} memory_gradients;

static mn_status document_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, const mn_slice *slice,
                                   const memory_gradients *m, mn_error *err) {
    mn_infini shape = mn_attn_infini_shape(spec_of(s), &s->model->config, e->layer);
    const mn_rows *in = &e->in[2];
    mn_rows mem = e->out[1], gates = e->out[3];
    int64_t r = slice->first_row;
    const mn_memory_prefix *p = prefix_of(t, s, slice);
    float *to[3];
    for (int i = 0; i < 3; i++) to[i] = m->to[i] + r * in[i].row_stride;
    float *d_mem = m->d_mem + r * mem.row_stride, *d_gates = m->d_gates ? m->d_gates + r * gates.row_stride : NULL;
    document d = {slice->n_rows,
                  0,
                  0,
                  mn_cpu_row(in[0], r),
                  mn_cpu_row(in[1], r),
                  mn_cpu_row(in[2], r),
                  mn_cpu_row(gates, r),
                  mn_cpu_row(mem, r),
                  d_mem,
                  to[0],
                  to[1],
                  to[2],
                  d_gates};
    if (p) MN_TRY(join_prefix(t, s, &shape, e->layer, slice, p, in, gates, &d, err));
    if (p) MN_TRY(join_gradients(t, &shape, &d, mn_cpu_row(mem, r), d_mem, d_gates != NULL, err));
    mn_infini_grad g = {.q = d.q,
                        .k = d.k,
                        .v = d.v,
                        .write_gates = d.gates,
                        .mem = d.mem,
                        .d_mem = d.d_mem,
                        .n_rows = d.n_rows,
                        .detach_segments = t->memory.detach_segments,
                        .d_q = d.d_q,
                        .d_k = d.d_k,
                        .d_v = d.d_v,
                        .d_gates = d.d_gates};
    MN_TRY(mn_infini_backward(t->compute, &shape, &g, err));
    if (!p || is_dry(t)) return MN_OK;
    float *from[] = {d.d_q, d.d_k, d.d_v};
    for (int i = 0; i < 3; i++) close_gap(t, &d, to[i], from[i], in[i].row_stride, true);
    if (d_gates) close_gap(t, &d, d_gates, d.d_gates, gates.row_stride, false);
    return MN_OK;
}

/* The labelled negatives of a head that its gate likes best. */
typedef struct hard_row {
    float logit;
    int64_t i;
} hard_row;

static int by_logit(const void *a, const void *b) {
    const hard_row *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->i < y->i ? -1 : x->i > y->i;
}

/* Gives the hardest negatives of each head their weight more. gates stand for logits, of which they are a monotonic
 * function where nothing hardened them; so logits are made. */
static mn_status weigh_hardest(const mn_tape *t, const mn_step *s, const mn_infini *shape, const mn_tape_entry *e,
                               const head_labels *labels, mn_error *err) {
    const mn_layer *w = &s->model->weights.layers[e->layer];
    int64_t n_hardest = t->memory.n_hardest;
    int n_kv = shape->n_kv_heads, k_dim = shape->k_dim;
    if (n_hardest <= 0 || !(t->memory.hardest_weight > 0)) return MN_OK;
    hard_row *list = mn_arena_alloc(t->compute->scratch, (size_t)s->n_rows, sizeof *list);
    if (!list) return mn_no_scratch(err);
    if (is_dry(t)) return MN_OK;
    for (int h = 0; h < n_kv; h++) {
        int64_t n = 0;
        for (int64_t i = h; i < s->n_rows * n_kv; i += n_kv) {
            if (labels->weights[i] == 0 || labels->labels[i] >= 0.5f) continue;
            float from_key = t->compute->kernels->vec.dot(w->infini_write_k + (int64_t)h * k_dim,
                                                          mn_cpu_data(e->in[3]) + i * k_dim, k_dim);
            list[n++] = (hard_row){mn_cpu_data(e->out[2])[i] + from_key, i};
        }
        qsort(list, (size_t)n, sizeof *list, by_logit);
        n = MN_MIN(n, n_hardest);
        for (int64_t i = 0; i < n; i++) labels->weights[list[i].i] += t->memory.hardest_weight / (float)n;
    }
    return MN_OK;
}

/* From the gates' gradient and the labels to the gates' weights, y and k. */
static mn_status gates_backward(mn_tape *t, const mn_step *s, const mn_infini *shape, const mn_tape_entry *e,
                                const float *d_gates, float *d_k, mn_error *err) {
    const mn_compute *c = t->compute;
    const mn_layer *w = &s->model->weights.layers[e->layer];
    mn_rows y = e->in[1];
    int64_t n = s->n_rows, n_kv = shape->n_kv_heads;
    head_labels labels;
    float *d_products = mn_tape_floats(t, n * n_kv);
    if (!d_products) return mn_no_scratch(err);
    MN_TRY(spread_labels(t, s, e->layer, shape->n_kv_heads, &labels, err));
    if (!d_gates && !labels.labels) return MN_OK;
    if (labels.labels) MN_TRY(weigh_hardest(t, s, shape, e, &labels, err));
    mn_write_gates_grad g = {.products = mn_cpu_data(e->out[2]),
                             .bias = w->infini_write.b,
                             .w_key = w->infini_write_k,
                             .k = mn_cpu_data(e->in[3]),
                             .threshold = spec_of(s)->infini.write_threshold,
                             .n_rows = n,
                             .d_gates = d_gates,
                             .labels = labels.labels,
                             .label_weights = labels.weights,
                             .scale = 1,
                             .d_products = d_products,
                             .d_bias = mn_tape_weight_gradient(t, w->infini_write.b),
                             .d_w_key = mn_tape_weight_gradient(t, w->infini_write_k),
                             .d_k = d_k};
    MN_TRY(mn_write_gates_backward(c, shape, &g, &t->memory.loss, err));
    float *dw = mn_tape_weight_gradient(t, w->infini_write.w.data);
    if (dw) MN_TRY(mn_matmul_dw(c, dw, d_products, n_kv, n_kv, mn_cpu_data(y), y.row_stride, y.n, n, err));
    return mn_matmul_dx(c, mn_tape_ready(t, y), y.row_stride, true, d_products, n_kv, n, &w->infini_write.w, err);
}

static mn_status infini_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    const mn_infini_spec *spec = &spec_of(s)->infini;
    const mn_layer *w = &s->model->weights.layers[e->layer];
    mn_infini shape = mn_attn_infini_shape(spec_of(s), &s->model->config, e->layer);
    mn_rows out = e->out[0], softmax = e->in[0];
    bool gates = has_gates(spec), soft = gates && !t->memory.hard;
    int64_t n_out = mn_tape_n_floats(out);
    float *d_local = mn_tape_floats(t, n_out);
    memory_gradients m = {mn_tape_floats(t, n_out), mn_tape_floats(t, s->n_rows * shape.n_kv_heads), {0}};
    if (!d_local || !m.d_mem || !m.d_gates) return mn_no_scratch(err);
    if (!soft) m.d_gates = NULL;
    mn_infini_mix_grad mix = {.d_out = mn_tape_gradient(t, out),
                              .local = mn_cpu_data(softmax),
                              .mem = mn_cpu_data(e->out[1]),
                              .gate = spec->model_mixes ? w->infini_gate : NULL,
                              .share = spec->share,
                              .n_rows = s->n_rows,
                              .d_local = d_local,
                              .d_mem = m.d_mem,
                              .d_gate = mn_tape_weight_gradient(t, w->infini_gate)};
    MN_TRY(mn_infini_mix_backward(t->compute, &shape, &mix, err));
    bool add = mn_tape_claim(t, softmax);
    mn_tape_give(t, mn_tape_gradient(t, softmax), d_local, n_out, add);
    for (int i = 0; i < 3; i++) m.to[i] = mn_tape_ready(t, e->in[2 + i]);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        mn_arena_mark mark = mn_arena_get_mark(t->compute->scratch);
        MN_TRY(document_backward(t, s, e, slice, &m, err));
        mn_arena_rewind(t->compute->scratch, mark);
    }
    return gates ? gates_backward(t, s, &shape, e, m.d_gates, m.to[1], err) : MN_OK;
}

mn_status mn_tape_mix_recurrent_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err) {
    if (mn_attn_is_linear(spec_of(s), e->layer)) return linear_backward(t, s, e, err);
    if (e->n_out > 1) return infini_backward(t, s, e, err);
    bool add = mn_tape_claim(t, e->in[0]);
    mn_tape_give(t, mn_tape_gradient(t, e->in[0]), mn_tape_gradient(t, e->out[0]), mn_tape_n_floats(e->out[0]), add);
    return MN_OK;
}
