#include "convert/layer_writer.h"

#include "base/checked.h"
#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_F16 65504.0f

/* A tensor whose bytes have to be made: from one of another type, or by the caller. */
typedef struct job {
    mn_tensor from; /* data NULL: the i-th new one of the layer */
    int layer, i;
} job;

typedef struct writing {
    const mn_layer_change *change;
    mn_gguf_writer *to;
    job *jobs; /* in the order in which they will be asked for */
    int64_t n_jobs, capacity, next;
    int listed; /* layer that was listed last */
    bool failed;
    bool done[MN_MAX_LAYERS]; /* layers whose new tensors are put */
} writing;

/* The layer of "blk.LAYER.NAME", and NAME; -1: none. */
static int layer_of(const char *tensor, const char **name) {
    char *end;
    if (strncmp(tensor, "blk.", 4)) return -1;
    long layer = strtol(tensor + 4, &end, 10);
    if (end == tensor + 4 || *end != '.' || layer < 0 || layer >= MN_MAX_LAYERS) return -1;
    *name = end + 1;
    return (int)layer;
}

static bool is_dropped(const mn_layer_change *c, const char *name) {
    for (const char *const *d = c->dropped; *d; d++)
        if (!strcmp(*d, name)) return true;
    return false;
}

static void add_job(writing *w, job j) {
    if (w->n_jobs == w->capacity) {
        int64_t capacity = 2 * w->capacity + 64;
        job *grown = reallocarray(w->jobs, (size_t)capacity, sizeof *grown);
        w->failed |= !grown;
        if (!grown) return;
        w->jobs = grown;
        w->capacity = capacity;
    }
    w->jobs[w->n_jobs++] = j;
}

static mn_dtype type_of(const mn_layer_change *c, const mn_tensor *t, bool precise) {
    if (mn_precision_is_kept(t)) return t->type;
    if (c->type == MN_DTYPE_COUNT && t->data) return t->type;
    mn_dtype type = c->type == MN_DTYPE_COUNT ? t->type : c->type;
    if (!mn_dtype_get(type)->from_f32 || (precise && mn_dtype_get(type)->quantised)) type = MN_F16;
    return mn_precision_pick(t, type);
}

/* Puts a tensor in the type that it gets; remembers how its bytes are made where they are not there. */
static void put(writing *w, mn_tensor t, bool precise, job j) {
    mn_dtype type = type_of(w->change, &t, precise);
    j.from = t;
    if (type != t.type) t.data = NULL;
    t.type = type;
    if (!t.data) add_job(w, j);
    mn_gguf_put_tensor(w->to, &t);
}

static void put_new(writing *w, int layer) {
    mn_new_tensor list[MN_MAX_NEW_TENSORS];
    int n = w->change->list(w->change->arg, layer, list);
    w->listed = layer;
    for (int i = 0; i < n; i++) {
        char name[96];
        snprintf(name, sizeof name, "blk.%d.%s", layer, list[i].name);
        mn_tensor t = {.name = name, .type = list[i].type, .n_dims = list[i].n_dims, .data = list[i].data};
        for (int d = 0; d < MN_MAX_DIMS; d++) t.ne[d] = d < list[i].n_dims ? list[i].ne[d] : 1;
        put(w, t, list[i].precise, (job){.layer = layer, .i = i});
    }
}

static void put_tensors(writing *w) {
    for (int64_t i = 0; i < mn_gguf_n_tensors(w->change->in); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(w->change->in, i);
        const char *name = t->name;
        int layer = layer_of(t->name, &name);
        if (layer >= w->change->n_layers) continue;
        if (!is_dropped(w->change, name)) {
            put(w, *t, false, (job){0});
            continue;
        }
        if (layer < 0) continue;
        if (!w->done[layer]) put_new(w, layer);
        w->done[layer] = true;
    }
}

static mn_status store(const mn_tensor *t, const float *values, void *dst, mn_error *err) {
    int64_t n = t->ne[0], n_rows = t->ne[1] * t->ne[2] * t->ne[3];
    float largest = t->type == MN_F16 ? LARGEST_F16 : INFINITY;
    for (int64_t i = 0; i < n_rows * n; i++)
        if (!isfinite(values[i]) || fabsf(values[i]) > largest)
            return mn_fail(err, MN_ERR_FORMAT, "tensor %s would hold %g, which %s cannot represent.", t->name,
                           (double)values[i], mn_dtype_get(t->type)->name);
    for (int64_t r = 0; r < n_rows; r++)
        mn_from_f32(t->type, values + r * n, (char *)dst + (size_t)r * mn_tensor_row_bytes(t), n);
    return MN_OK;
}

/* Layers may have different tensors (biases): the caller knows those of the layer that it listed last. */
static mn_status make_new(writing *w, const job *j, float *values, mn_error *err) {
    mn_new_tensor list[MN_MAX_NEW_TENSORS];
    if (j->layer != w->listed) w->change->list(w->change->arg, j->layer, list);
    w->listed = j->layer;
    return w->change->make(w->change->arg, j->layer, j->i, values, err);
}

static mn_status fill(void *arg, const mn_tensor *t, void *dst, mn_error *err) {
    writing *w = arg;
    const job *j = &w->jobs[w->next++];
    int64_t n = t->ne[0], n_rows = t->ne[1] * t->ne[2] * t->ne[3];
    float *values = malloc((size_t)n_rows * (size_t)n * sizeof *values + 1);
    mn_status status = MN_OK;
    if (!values) return mn_fail(err, MN_ERR_MEMORY, "no memory for tensor %s.", t->name);
    if (!j->from.data) status = make_new(w, j, values, err);
    for (int64_t r = 0; j->from.data && r < n_rows; r++)
        mn_to_f32(j->from.type, (const char *)j->from.data + (size_t)r * mn_tensor_row_bytes(&j->from), values + r * n,
                  n);
    if (status == MN_OK) status = store(t, values, dst, err);
    free(values);
    return status;
}

void mn_layer_change_put_types(const mn_layer_change *c, mn_gguf_writer *to) {
    if (c->type != MN_DTYPE_COUNT) mn_precision_put(to, c->type);
    for (int64_t i = 0; c->type == MN_DTYPE_COUNT && i < mn_gguf_n_kv(c->in); i++)
        if (mn_precision_is_key(mn_gguf_kv_at(c->in, i)->key)) mn_gguf_put_kv(to, mn_gguf_kv_at(c->in, i));
}

mn_status mn_layer_change_write(const mn_layer_change *c, mn_gguf_writer *to, const char *path, mn_error *err) {
    writing w = {.change = c, .to = to};
    put_tensors(&w);
    mn_status status = w.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for a list of tensors.")
                                : mn_gguf_write(to, path, fill, &w, err);
    free(w.jobs);
    return status;
}
