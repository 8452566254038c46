#include "train/tape.h"

#include "base/checked.h"
#include "base/clock.h"
#include "kernels/kernels.h"
#include "kernels/matmul_backward.h"
#include "model/backend_cpu_ops.h"
#include "train/tape_ops.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64, PAGE_BYTES = 4096 };

/* Stands in front of each buffer. */
typedef struct header {
    int64_t n_floats;
    bool has_gradient;
} header;

static header *header_of(mn_rows x) { return (header *)(void *)((char *)(void *)x.buffer - ALIGN); }

static bool is_dry(const mn_tape *t) { return t->to_gradients == 0; }

mn_status mn_tape_take(const mn_step *s, int64_t n_rows, int n_heads, int64_t n, mn_rows *out, mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    size_t floats, bytes, end;
    if (!mn_mul_size((size_t)n_rows * (size_t)n_heads, (size_t)n, &floats) ||
        !mn_mul_size(floats, sizeof(float), &bytes) || !mn_align_size(bytes, ALIGN, &bytes) ||
        !mn_add_size(t->used, bytes + ALIGN, &end) || end > t->capacity)
        return mn_fail(err, MN_ERR_MEMORY, "a training step needs more than the %zu bytes planned for its activations.",
                       t->capacity);
    char *memory = t->data + t->used;
    t->used = end;
    t->most = MN_MAX(t->most, t->used);
    *(header *)(void *)memory = (header){(int64_t)floats, false};
    *out = mn_cpu_rows((float *)(void *)(memory + ALIGN), n_rows, n);
    out->n_heads = n_heads;
    out->row_stride = n_heads * n;
    return MN_OK;
}

/* Buffers stay: the backward pass wants them. */
static mn_arena_mark mark(const mn_step *s) {
    (void)s;
    return (mn_arena_mark){0};
}

static void keep(const mn_step *s, mn_arena_mark mark_) { (void)s, (void)mark_; }

mn_status mn_tape_record(mn_tape *t, mn_tape_entry entry, mn_error *err) {
    if (!t->records) return MN_OK;
    double now = mn_clock_seconds();
    t->seconds[0][entry.kind] += now - t->since;
    t->since = now;
    if (t->n_entries == t->entries_capacity) {
        int64_t capacity = t->entries_capacity ? 2 * t->entries_capacity : 256;
        mn_tape_entry *grown = reallocarray(t->entries, (size_t)capacity, sizeof *grown);
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "no memory for a tape of %lld entries.", (long long)capacity);
        t->entries = grown;
        t->entries_capacity = capacity;
    }
    t->entries[t->n_entries++] = entry;
    return MN_OK;
}

mn_status mn_tape_refuse(const char *what, mn_error *err) {
    return mn_fail(err, MN_ERR_UNSUPPORTED, "%s cannot be trained through: it has no backward.", what);
}

static mn_status angles(const mn_step *s, mn_rows out, mn_place place, int index, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    return in.backend->angles(&in, out, place, index, err);
}

static mn_status gather(const mn_step *s, mn_rows out, mn_rows x, const int64_t *rows, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->gather(&in, out, x, rows, err));
    return mn_tape_record(mn_tape_of(s), (mn_tape_entry){.kind = MN_TAPE_GATHER, .out = {out}, .in = {x}, .rows = rows},
                          err);
}

static mn_status embed(const mn_step *s, mn_rows out, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->embed(&in, out, err));
    return mn_tape_record(mn_tape_of(s), (mn_tape_entry){.kind = MN_TAPE_EMBED, .out = {out}}, err);
}

static mn_status embed_layers(const mn_step *s, mn_rows out, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->embed_layers(&in, out, err));
    return mn_tape_record(mn_tape_of(s), (mn_tape_entry){.kind = MN_TAPE_EMBED_LAYERS, .out = {out}}, err);
}

static mn_status norm(const mn_step *s, mn_rows out, mn_rows x, const mn_norm *w, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->norm(&in, out, x, w, err));
    return mn_tape_record(mn_tape_of(s), (mn_tape_entry){.kind = MN_TAPE_NORM, .out = {out}, .in = {x}, .norm = w},
                          err);
}

typedef struct bias_job {
    const mn_vec_kernels *vec;
    mn_rows out;
    const float *bias;
} bias_job;

static void bias_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const bias_job *j = arg;
    for (int64_t r = begin; r < end; r++)
        j->vec->add(mn_cpu_row(j->out, r), mn_cpu_row(j->out, r), j->bias, j->out.n_heads * j->out.n);
}

/* The products of training (matmul_backward.h): in bf16 where its backward is. */
static mn_status project(const mn_step *s, const mn_rows *outs, const mn_projection *const *ws, int n_ws, mn_rows x,
                         mn_error *err) {
    mn_tape *t = mn_tape_of(s);
    mn_step in = mn_tape_inner(s);
    mn_tape_entry entry = {.kind = MN_TAPE_PROJECT, .n_out = n_ws, .in = {x}};
    float *data[4] = {0};
    int64_t strides[4] = {0};
    const mn_tensor *tensors[4] = {0};
    for (int i = 0; i < n_ws; i++) {
        if (t->parameters->map.data && !mn_gradient_of(t->parameters, ws[i]->w.data))
            return mn_tape_refuse("a matrix that is cut out of another (ssm_in)", err);
        data[i] = mn_cpu_data(outs[i]);
        strides[i] = outs[i].row_stride;
        tensors[i] = &ws[i]->w;
        entry.out[i] = outs[i];
        entry.projections[i] = ws[i];
    }
    MN_TRY(mn_matmul_training(t->compute, data, strides, mn_cpu_data(x), x.row_stride, x.n_rows, tensors, n_ws, err));
    for (int i = 0; i < n_ws; i++) {
        bias_job job = {&t->compute->kernels->vec, outs[i], ws[i]->b};
        if (ws[i]->b) mn_pool_run(t->compute->pool, x.n_rows, 64, bias_rows, &job);
        if (ws[i]->lora) MN_TRY(mn_cpu_add_adapters(&in, outs[i], ws[i]->lora, x, err));
    }
    return mn_tape_record(t, entry, err);
}

static mn_status clamp(const mn_step *s, mn_rows out, mn_rows x, float limit, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->clamp(&in, out, x, limit, err));
    return mn_tape_record(mn_tape_of(s),
                          (mn_tape_entry){.kind = MN_TAPE_CLAMP, .out = {out}, .in = {x}, .limit = limit}, err);
}

static mn_status rotate(const mn_step *s, mn_rows out, mn_rows x, int64_t first, mn_rows turn, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->rotate(&in, out, x, first, turn, err));
    return mn_tape_record(mn_tape_of(s),
                          (mn_tape_entry){.kind = MN_TAPE_ROTATE, .out = {out}, .in = {x, turn}, .first = first}, err);
}

static mn_status convolve(const mn_step *s, int layer, mn_rows q_out, mn_rows k_out, mn_rows q, mn_rows k,
                          mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->convolve(&in, layer, q_out, k_out, q, k, err));
    return mn_tape_record(
        mn_tape_of(s), (mn_tape_entry){.kind = MN_TAPE_CONVOLVE, .layer = layer, .out = {q_out, k_out}, .in = {q, k}},
        err);
}

static mn_status activate(const mn_step *s, mn_mlp_act activation, mn_rows out, mn_rows gate, mn_rows up,
                          mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->activate(&in, activation, out, gate, up, err));
    return mn_tape_record(
        mn_tape_of(s),
        (mn_tape_entry){.kind = MN_TAPE_ACTIVATE, .out = {out}, .in = {gate, up}, .activation = activation}, err);
}

static mn_status add(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->add(&in, out, x, y, err));
    return mn_tape_record(mn_tape_of(s), (mn_tape_entry){.kind = MN_TAPE_ADD, .out = {out}, .in = {x, y}}, err);
}

static mn_status scale(const mn_step *s, mn_rows out, mn_rows x, float factor, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->scale(&in, out, x, factor, err));
    return mn_tape_record(mn_tape_of(s),
                          (mn_tape_entry){.kind = MN_TAPE_SCALE, .out = {out}, .in = {x}, .limit = factor}, err);
}

static mn_status gate_heads(const mn_step *s, mn_rows out, mn_rows x, mn_rows g, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->gate_heads(&in, out, x, g, err));
    return mn_tape_record(mn_tape_of(s), (mn_tape_entry){.kind = MN_TAPE_GATE_HEADS, .out = {out}, .in = {x, g}}, err);
}

static mn_status temper(const mn_step *s, mn_rows out, mn_rows x, mn_error *err) {
    mn_step in = mn_tape_inner(s);
    MN_TRY(in.backend->temper(&in, out, x, err));
    return mn_tape_record(mn_tape_of(s), (mn_tape_entry){.kind = MN_TAPE_TEMPER, .out = {out}, .in = {x}}, err);
}

mn_status mn_tape_loss(mn_tape *t, const mn_step *s, mn_rows x, float *d_x, mn_error *err) {
    const mn_projection *output = &s->model->weights.output;
    mn_cross_entropy c = t->target;
    c.x = mn_cpu_data(x);
    c.n_rows = x.n_rows;
    c.w = &output->w;
    c.bias = output->b;
    c.softcap = s->model->config.final_softcap;
    c.d_x = d_x;
    c.d_w = d_x ? mn_tape_weight_gradient(t, output->w.data) : NULL;
    c.d_bias = d_x ? mn_tape_weight_gradient(t, output->b) : NULL;
    return mn_cross_entropy_run(t->compute, &c, &t->loss, err);
}

/* The loss takes the place of logits, which are never made as a whole. */
static mn_status logits(const mn_step *s, float *out, mn_rows x, mn_error *err) {
    (void)out;
    if (!mn_tape_of(s)->records) return mn_tape_loss(mn_tape_of(s), s, x, NULL, err);
    return mn_tape_record(mn_tape_of(s), (mn_tape_entry){.kind = MN_TAPE_LOSS, .in = {x}}, err);
}

static mn_backend recorder(mn_tape *t) {
    return (mn_backend){.context = t,
                        .keeps_inputs = true,
                        .take = mn_tape_take,
                        .mark = mark,
                        .rewind = keep,
                        .prepare = mn_tape_prepare,
                        .append = mn_tape_append,
                        .angles = angles,
                        .gather = gather,
                        .embed = embed,
                        .embed_layers = embed_layers,
                        .norm = norm,
                        .project = project,
                        .clamp = clamp,
                        .rotate = rotate,
                        .convolve = convolve,
                        .attend = mn_tape_attend,
                        .attend_latent = mn_tape_attend_latent,
                        .choose = mn_tape_choose,
                        .compress = mn_tape_compress,
                        .attend_compressed = mn_tape_attend_compressed,
                        .merge_streams = mn_tape_merge_streams,
                        .spread_streams = mn_tape_spread_streams,
                        .merge = mn_tape_merge,
                        .mix_recurrent = mn_tape_mix_recurrent,
                        .convolve_mixer = mn_tape_convolve_mixer,
                        .mix_shifted = mn_tape_mix_shifted,
                        .mix_state = mn_tape_mix_state,
                        .gate = mn_tape_gate,
                        .activate = activate,
                        .experts = mn_tape_experts,
                        .split = mn_tape_split,
                        .join = mn_tape_join,
                        .add = add,
                        .scale = scale,
                        .gate_heads = gate_heads,
                        .temper = temper,
                        .logits = logits};
}

/* Two regions one behind the other; of a dry tape one, touched where headers lie, and behind it a byte for each of its
 * pages: whether gradients of it were claimed. */
static size_t behind_bytes(const mn_tape *t) {
    return mn_pool_is_dry(t->compute->pool) ? t->capacity / PAGE_BYTES : t->capacity;
}

static mn_status reserve(mn_tape *t, size_t bytes, mn_error *err) {
    bool dry = mn_pool_is_dry(t->compute->pool);
    size_t total = 0;
    if (mn_align_size(bytes, PAGE_BYTES, &t->capacity) && mn_add_size(t->capacity, behind_bytes(t), &total)) {
        void *memory = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory != MAP_FAILED) t->data = memory;
    }
    if (!t->data)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu bytes of activations and as many of gradients.", bytes);
    t->to_gradients = dry ? 0 : (ptrdiff_t)t->capacity;
    return MN_OK;
}

mn_status mn_tape_open(const mn_compute *compute, const mn_parameters *parameters, size_t bytes, mn_tape *out,
                       mn_error *err) {
    *out = (mn_tape){.compute = compute, .parameters = parameters, .cpu = mn_backend_cpu(compute)};
    out->backend = recorder(out);
    out->attended = calloc((size_t)parameters->model.config.n_layers, sizeof *out->attended);
    mn_status status = out->attended ? reserve(out, bytes, err) : mn_fail(err, MN_ERR_MEMORY, "no memory for a tape.");
    if (status != MN_OK) mn_tape_close(out);
    return status;
}

void mn_tape_close(mn_tape *t) {
    if (t->data) munmap(t->data, t->capacity + behind_bytes(t));
    free(t->entries);
    free(t->attended);
    *t = (mn_tape){0};
}

const char *mn_tape_kind_name(mn_tape_kind kind) {
    static const char *const names[MN_TAPE_KIND_COUNT] = {
        [MN_TAPE_EMBED] = "embedding",
        [MN_TAPE_EMBED_LAYERS] = "embeddings of layers",
        [MN_TAPE_NORM] = "norms",
        [MN_TAPE_PROJECT] = "products",
        [MN_TAPE_CLAMP] = "clamps",
        [MN_TAPE_ROTATE] = "rotations",
        [MN_TAPE_CONVOLVE] = "short convolutions",
        [MN_TAPE_SHARE] = "keys of other layers",
        [MN_TAPE_ATTEND] = "attention",
        [MN_TAPE_ATTEND_LATENT] = "latent attention",
        [MN_TAPE_COMPRESS] = "compressed keys",
        [MN_TAPE_ATTEND_COMPRESSED] = "attention to compressed keys",
        [MN_TAPE_MERGE] = "attention joined",
        [MN_TAPE_MERGE_STREAMS] = "streams merged",
        [MN_TAPE_SPREAD_STREAMS] = "streams spread",
        [MN_TAPE_MIX_RECURRENT] = "recurrent states",
        [MN_TAPE_CONVOLVE_MIXER] = "convolutions of mixers",
        [MN_TAPE_MIX_SHIFTED] = "token shifts",
        [MN_TAPE_MIX_STATE] = "states of mixers",
        [MN_TAPE_GATE] = "gates",
        [MN_TAPE_ACTIVATE] = "activations",
        [MN_TAPE_EXPERTS] = "experts",
        [MN_TAPE_EASY] = "small MLPs mixed in",
        [MN_TAPE_ADD] = "residual sums",
        [MN_TAPE_SCALE] = "scales",
        [MN_TAPE_GATE_HEADS] = "gates of heads",
        [MN_TAPE_TEMPER] = "temperatures",
        [MN_TAPE_GATHER] = "gathered rows",
        [MN_TAPE_LOSS] = "output and loss",
    };
    return names[kind];
}

float *mn_tape_weight_gradient(const mn_tape *t, const void *weight) {
    const mn_parameters *sets[2] = {t->parameters, t->adapters};
    for (int i = 0; i < 2 && sets[i]; i++) {
        float *gradient = mn_parameters_trained(sets[i], weight);
        if (!gradient) continue;
        if (!t->gradients[i]) return gradient;
        return (float *)(void *)(t->gradients[i] + ((const char *)gradient - sets[i]->gradients));
    }
    return NULL;
}

void mn_tape_rewind(mn_tape *t, size_t used) { t->used = used; }

void mn_tape_clear(mn_tape *t) {
    t->used = 0;
    t->n_entries = 0;
    t->since = mn_clock_seconds();
}

bool mn_tape_has_gradient(const mn_tape *t, mn_rows x) {
    (void)t;
    return x.buffer && header_of(x)->has_gradient;
}

/* The pages of a buffer's gradient, those that were not counted before. */
static void count_pages(mn_tape *t, mn_rows x, int64_t n_floats) {
    char *counted = t->data + t->capacity;
    size_t begin = (size_t)((char *)(void *)x.buffer - t->data), end = begin + (size_t)n_floats * sizeof(float);
    for (size_t page = begin / PAGE_BYTES; page * PAGE_BYTES < end; page++) {
        if (!counted[page]) t->claimed += PAGE_BYTES;
        counted[page] = 1;
    }
}

bool mn_tape_claim(mn_tape *t, mn_rows x) {
    header *h = header_of(x);
    bool held = h->has_gradient, whole = x.offset == 0 && x.n_rows * x.n_heads * x.n == h->n_floats;
    h->has_gradient = true;
    if (!held && is_dry(t)) count_pages(t, x, h->n_floats);
    if (held || whole) return held;
    if (!is_dry(t)) memset((char *)(void *)x.buffer + t->to_gradients, 0, (size_t)h->n_floats * sizeof(float));
    return true;
}
