#include "model/backend_profiled.h"

#include "base/checked.h"
#include "kernels/kernels.h"
#include "kernels/profile.h"

static mn_profile *profile_of(const mn_step *s) { return mn_cpu_compute(s)->profile; }

/* Runs the CPU's operation as one of this kind, and returns its status from the function. */
#define RUN(kind, ...)                                                                                                 \
    mn_op_kind before = mn_profile_enter(profile_of(s), kind);                                                         \
    mn_backend cpu = mn_backend_cpu(mn_cpu_compute(s));                                                                \
    mn_status status = cpu.__VA_ARGS__;                                                                                \
    mn_profile_enter(profile_of(s), before);                                                                           \
    return status

static void count(const mn_step *s, mn_op_kind kind, double flops, double bytes) {
    mn_profile *p = profile_of(s);
    mn_profile_count(p, kind, flops, bytes, p->peaks.f32_flops_per_s);
}

static void at_layer(const mn_step *s, int layer) { mn_profile_move(profile_of(s), 1 + layer); }

static void after_layers(const mn_step *s) { at_layer(s, s->model->config.n_layers); }

/* The place of the layer whose weights these are; stays where it is with others, but for those of the output. */
static void at_weights(const mn_step *s, const void *weights) {
    const mn_weights *w = &s->model->weights;
    uintptr_t first = (uintptr_t)w->layers, at = (uintptr_t)weights;
    uintptr_t end = first + (uintptr_t)s->model->config.n_layers * sizeof *w->layers;
    if (at >= first && at < end) at_layer(s, (int)((at - first) / sizeof *w->layers));
    if (weights == &w->output_norm || weights == &w->output) after_layers(s);
}

static double floats(mn_rows x) { return x.buffer ? (double)x.n_rows * x.n_heads * (double)x.n : 0; }

static double bytes_of(mn_rows x) { return floats(x) * sizeof(float); }

/* Whether these are weights of the MLPs of a layer, experts and routers included. */
static bool is_mlp(const mn_step *s, const mn_projection *weights) {
    const mn_layer *first = s->model->weights.layers;
    uintptr_t at = (uintptr_t)weights - (uintptr_t)first;
    if ((uintptr_t)weights < (uintptr_t)first || at / sizeof *first >= (size_t)s->model->config.n_layers) return false;
    const mn_layer *l = first + at / sizeof *first;
    const mn_projection *const parts[] = {
        &l->up,        &l->gate,        &l->down,        &l->small_up,      &l->small_gate, &l->small_down, &l->router,
        &l->shared_up, &l->shared_gate, &l->shared_down, &l->shared_router, &l->latent_up,  &l->latent_down};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (weights == parts[i]) return true;
    return false;
}

static void count_product(const mn_step *s, mn_op_kind kind, const mn_tensor *w, double n_rows) {
    const mn_compute *c = mn_cpu_compute(s);
    mn_profile_count(c->profile, kind, 2 * n_rows * (double)w->ne[0] * (double)w->ne[1], (double)w->bytes,
                     mn_product_peak(c->kernels, &c->profile->peaks, w->type, NULL));
}

/* Each row meets n_used of a stack's matrices; all that some row meets are read. */
static void count_experts(const mn_step *s, const mn_tensor *stack, double n_rows) {
    const mn_router *r = &s->model->config.moe.router;
    const mn_compute *c = mn_cpu_compute(s);
    double used = n_rows * r->n_used, matrix = (double)stack->ne[0] * (double)stack->ne[1];
    if (!stack->data) return;
    mn_profile_count(c->profile, MN_OP_MLP, 2 * used * matrix, (double)stack->bytes * MN_MIN(used / r->n_experts, 1),
                     mn_product_peak(c->kernels, &c->profile->peaks, stack->type, NULL));
}

static mn_status prepare(const mn_step *s, mn_error *err) {
    mn_profile_move(profile_of(s), 0);
    RUN(MN_OP_CACHE, prepare(s, err));
}

static mn_status append(const mn_step *s, int layer, int plane, mn_rows k, mn_rows v, mn_error *err) {
    at_layer(s, layer);
    count(s, MN_OP_CACHE, 0, bytes_of(k) + bytes_of(v));
    RUN(MN_OP_CACHE, append(s, layer, plane, k, v, err));
}

static mn_status angles(const mn_step *s, mn_rows out, mn_place place, int index, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, bytes_of(out));
    RUN(MN_OP_ELEMENTS, angles(s, out, place, index, err));
}

static mn_status gather(const mn_step *s, mn_rows out, mn_rows x, const int64_t *rows, mn_error *err) {
    mn_op_kind kind = profile_of(s)->kind == MN_OP_MLP ? MN_OP_MLP : MN_OP_ELEMENTS; /* split asks for some too */
    count(s, kind, 0, 2 * bytes_of(out));
    RUN(kind, gather(s, out, x, rows, err));
}

static mn_status embed(const mn_step *s, mn_rows out, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, bytes_of(out));
    RUN(MN_OP_ELEMENTS, embed(s, out, err));
}

static mn_status embed_layers(const mn_step *s, mn_rows out, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, bytes_of(out));
    RUN(MN_OP_ELEMENTS, embed_layers(s, out, err));
}

static mn_status norm(const mn_step *s, mn_rows out, mn_rows x, const mn_norm *w, mn_error *err) {
    at_weights(s, w);
    count(s, MN_OP_NORMS, 0, bytes_of(out) + bytes_of(x));
    RUN(MN_OP_NORMS, norm(s, out, x, w, err));
}

static mn_status project(const mn_step *s, const mn_rows *outs, const mn_projection *const *ws, int n_ws, mn_rows x,
                         mn_error *err) {
    mn_op_kind kind = is_mlp(s, ws[0]) ? MN_OP_MLP : MN_OP_PRODUCTS;
    at_weights(s, ws[0]);
    for (int i = 0; i < n_ws; i++) {
        count_product(s, kind, &ws[i]->w, (double)x.n_rows);
        for (const mn_lora *lora = ws[i]->lora; lora; lora = lora->next) {
            count_product(s, kind, &lora->a, (double)x.n_rows);
            count_product(s, kind, &lora->b, (double)x.n_rows);
        }
    }
    RUN(kind, project(s, outs, ws, n_ws, x, err));
}

static mn_status clamp(const mn_step *s, mn_rows out, mn_rows x, float limit, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, 2 * bytes_of(x));
    RUN(MN_OP_ELEMENTS, clamp(s, out, x, limit, err));
}

static mn_status rotate(const mn_step *s, mn_rows out, mn_rows x, int64_t first, mn_rows turns, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, 2 * bytes_of(x));
    RUN(MN_OP_ELEMENTS, rotate(s, out, x, first, turns, err));
}

static mn_status convolve(const mn_step *s, int layer, mn_rows q_out, mn_rows k_out, mn_rows q, mn_rows k,
                          mn_error *err) {
    at_layer(s, layer);
    count(s, MN_OP_RECURRENT, 0, 2 * (bytes_of(q) + bytes_of(k)));
    RUN(MN_OP_RECURRENT, convolve(s, layer, q_out, k_out, q, k, err));
}

static mn_status attend(const mn_step *s, int layer, int range, mn_rows out, mn_rows lse, mn_rows q, mn_error *err) {
    at_layer(s, layer);
    RUN(MN_OP_ATTENTION, attend(s, layer, range, out, lse, q, err));
}

static mn_status attend_latent(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                               mn_error *err) {
    at_layer(s, layer);
    RUN(MN_OP_ATTENTION, attend_latent(s, layer, out, lse, q, chosen, err));
}

/* Every query of the indexer meets the keys up to its own token. */
static mn_status choose(const mn_step *s, int layer, mn_rows chosen, mn_rows q, mn_rows k, mn_rows weights,
                        mn_rows turns, mn_error *err) {
    at_layer(s, layer);
    int ratio = MN_MAX(s->model->config.layers[layer].ratio, 1);
    for (const mn_slice *slice = s->slices; slice < s->slices + s->n_slices; slice++) {
        double before = (double)mn_sequence_n_kv(slice->sequence), n = (double)slice->n_rows;
        count(s, MN_OP_CHOICE, 2.0 * q.n_heads * (double)q.n * (before + (n + 1) / 2) / ratio * n,
              (before + n) / ratio * (double)q.n * 2);
    }
    RUN(MN_OP_CHOICE, choose(s, layer, chosen, q, k, weights, turns, err));
}

static mn_status compress(const mn_step *s, int layer, bool of_indexer, mn_rows u, mn_rows sc, mn_error *err) {
    at_layer(s, layer);
    count(s, MN_OP_CACHE, 0, bytes_of(u) + bytes_of(sc));
    RUN(MN_OP_CACHE, compress(s, layer, of_indexer, u, sc, err));
}

static mn_status attend_compressed(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                                   mn_error *err) {
    at_layer(s, layer);
    RUN(MN_OP_ATTENTION, attend_compressed(s, layer, out, lse, q, chosen, err));
}

static mn_status merge_streams(const mn_step *s, const mn_hyper_weights *w, mn_rows out, mn_rows gates, mn_rows x,
                               mn_rows mixes, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, bytes_of(out) + bytes_of(x));
    RUN(MN_OP_ELEMENTS, merge_streams(s, w, out, gates, x, mixes, err));
}

static mn_status spread_streams(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_rows gates, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, bytes_of(out) + bytes_of(x) + bytes_of(y));
    RUN(MN_OP_ELEMENTS, spread_streams(s, out, x, y, gates, err));
}

static mn_status merge(const mn_step *s, mn_rows out, mn_rows lse, mn_rows x, mn_rows x_lse, mn_rows y, mn_rows y_lse,
                       mn_error *err) {
    count(s, MN_OP_ATTENTION, 0, 3 * bytes_of(out));
    RUN(MN_OP_ATTENTION, merge(s, out, lse, x, x_lse, y, y_lse, err));
}

/* A row's query meets the state once, and its key and value change it once. */
static void count_states(const mn_step *s, int n_heads, double k_dim, double v_dim) {
    double state = n_heads * k_dim * v_dim;
    count(s, MN_OP_RECURRENT, 4 * state * (double)s->n_rows, 2 * state * sizeof(float) * s->n_slices);
}

static mn_status mix_recurrent(const mn_step *s, int layer, mn_rows out, mn_rows softmax, mn_rows y, mn_rows q,
                               mn_rows k, mn_rows v, mn_error *err) {
    at_layer(s, layer);
    if (mn_step_has_recurrent(s, layer)) count_states(s, q.n_heads, (double)q.n, (double)v.n);
    RUN(MN_OP_RECURRENT, mix_recurrent(s, layer, out, softmax, y, q, k, v, err));
}

static mn_status convolve_mixer(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_error *err) {
    at_layer(s, layer);
    count(s, MN_OP_RECURRENT, 0, bytes_of(out) + bytes_of(x));
    RUN(MN_OP_RECURRENT, convolve_mixer(s, layer, out, x, err));
}

static mn_status mix_shifted(const mn_step *s, int layer, bool before_mlp, mn_rows out, mn_rows x, mn_error *err) {
    at_layer(s, layer);
    count(s, MN_OP_RECURRENT, 0, bytes_of(out) + bytes_of(x));
    RUN(MN_OP_RECURRENT, mix_shifted(s, layer, before_mlp, out, x, err));
}

static mn_status mix_state(const mn_step *s, int layer, mn_rows out, const mn_mixer_inputs *in, mn_error *err) {
    const mn_mixer_config *m = &s->model->config.mixer;
    at_layer(s, layer);
    count_states(s, m->n_heads, m->k_dim, m->v_dim);
    RUN(MN_OP_RECURRENT, mix_state(s, layer, out, in, err));
}

static mn_status gate(const mn_step *s, mn_gate kind, mn_rows out, mn_rows x, mn_rows g, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, bytes_of(out) + bytes_of(x) + bytes_of(g));
    RUN(MN_OP_ELEMENTS, gate(s, kind, out, x, g, err));
}

static mn_status activate(const mn_step *s, mn_mlp_act activation, mn_rows out, mn_rows x, mn_rows up, mn_error *err) {
    count(s, MN_OP_MLP, 0, bytes_of(out) + bytes_of(x) + bytes_of(up));
    RUN(MN_OP_MLP, activate(s, activation, out, x, up, err));
}

static mn_status experts(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_rows routed, const int64_t *rows,
                         mn_error *err) {
    const mn_layer *w = &s->model->weights.layers[layer];
    at_layer(s, layer);
    count_product(s, MN_OP_MLP, &w->router.w, (double)x.n_rows);
    count_experts(s, &w->expert_gate, (double)x.n_rows);
    count_experts(s, &w->expert_up, (double)x.n_rows);
    count_experts(s, &w->expert_down, (double)x.n_rows);
    RUN(MN_OP_MLP, experts(s, layer, out, x, routed, rows, err));
}

static mn_status split(const mn_step *s, int layer, mn_split *out, mn_rows x, const int64_t *rows, mn_error *err) {
    at_layer(s, layer);
    count(s, MN_OP_MLP, 2 * floats(x), bytes_of(x) + (double)x.n * sizeof(float));
    RUN(MN_OP_MLP, split(s, layer, out, x, rows, err));
}

static mn_status join(const mn_step *s, int layer, mn_split *split_rows, int part, mn_rows out, mn_rows y,
                      mn_error *err) {
    at_layer(s, layer);
    count(s, MN_OP_MLP, 0, 2 * bytes_of(y));
    RUN(MN_OP_MLP, join(s, layer, split_rows, part, out, y, err));
}

static mn_status add(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, 3 * bytes_of(out));
    RUN(MN_OP_ELEMENTS, add(s, out, x, y, err));
}

static mn_status scale(const mn_step *s, mn_rows out, mn_rows x, float factor, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, 2 * bytes_of(out));
    RUN(MN_OP_ELEMENTS, scale(s, out, x, factor, err));
}

static mn_status gate_heads(const mn_step *s, mn_rows out, mn_rows x, mn_rows g, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, 2 * bytes_of(out));
    RUN(MN_OP_ELEMENTS, gate_heads(s, out, x, g, err));
}

static mn_status temper(const mn_step *s, mn_rows out, mn_rows x, mn_error *err) {
    count(s, MN_OP_ELEMENTS, 0, 2 * bytes_of(out));
    RUN(MN_OP_ELEMENTS, temper(s, out, x, err));
}

static mn_status logits(const mn_step *s, float *data, mn_rows x, mn_error *err) {
    after_layers(s);
    count_product(s, MN_OP_PRODUCTS, &s->model->weights.output.w, (double)x.n_rows);
    RUN(MN_OP_PRODUCTS, logits(s, data, x, err));
}

mn_backend mn_backend_profiled(const mn_compute *compute) {
    mn_backend b = mn_backend_cpu(compute);
    return (mn_backend){.context = b.context,
                        .keeps_inputs = b.keeps_inputs,
                        .take = b.take,
                        .mark = b.mark,
                        .rewind = b.rewind,
                        .prepare = prepare,
                        .append = append,
                        .angles = angles,
                        .gather = gather,
                        .embed = embed,
                        .embed_layers = embed_layers,
                        .norm = norm,
                        .project = project,
                        .clamp = clamp,
                        .rotate = rotate,
                        .convolve = convolve,
                        .attend = attend,
                        .attend_latent = attend_latent,
                        .choose = choose,
                        .compress = compress,
                        .attend_compressed = attend_compressed,
                        .merge_streams = merge_streams,
                        .spread_streams = spread_streams,
                        .split = split,
                        .join = join,
                        .states = b.states,
                        .merge = merge,
                        .mix_recurrent = mix_recurrent,
                        .convolve_mixer = convolve_mixer,
                        .mix_shifted = mix_shifted,
                        .mix_state = mix_state,
                        .gate = gate,
                        .activate = activate,
                        .experts = experts,
                        .add = add,
                        .scale = scale,
                        .gate_heads = gate_heads,
                        .temper = temper,
                        .logits = logits};
}
