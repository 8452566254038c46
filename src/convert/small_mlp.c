#include "convert/small_mlp.h"

#include "base/checked.h"
#include "convert/mlp_watch.h"
#include "convert/small_mlp_fit.h"
#include "model/gguf_precision.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNITS_STEP = 32, N_TENSORS = 8, NAME_BYTES = 64 };

/* One number or range at *text, "3" or "0-5" or "4-", moved behind it. */
static bool read_range(const char **text, int n_layers, int *first, int *last) {
    char *end;
    if (**text < '0' || **text > '9') return false;
    long a = strtol(*text, &end, 10), b = a;
    if (*end == '-') {
        const char *at = ++end;
        b = *at >= '0' && *at <= '9' ? strtol(at, &end, 10) : n_layers - 1;
    }
    *text = end;
    *first = (int)MN_MIN(a, (long)n_layers);
    *last = (int)MN_MIN(b, (long)n_layers);
    return a <= b && b < n_layers;
}

mn_status mn_small_parse(const char *text, int n_layers, double *divisor, uint8_t *in_layer, mn_error *err) {
    char *end;
    const char *at;
    *divisor = strtod(text, &end);
    bool plain = *text >= '0' && *text <= '9' && end == text + strspn(text, "0123456789.");
    bool right = plain && *divisor >= 1 && *divisor <= 1 << 16 && (*end == 0 || *end == ',');
    memset(in_layer, right && *end == 0, (size_t)n_layers);
    for (at = end; right && *at == ',';) {
        int first, last;
        at++;
        right = read_range(&at, n_layers, &first, &last) && (*at == 0 || *at == ',');
        for (int i = first; right && i <= last; i++) in_layer[i] = 1;
    }
    if (right) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "\"%s\" is no small MLP; give how many times smaller it is, and layers of 0 to %d if it is not for "
                   "all, as 8, 1.5 or 8,2-5.",
                   text, n_layers - 1);
}

static mn_status check(const mn_model *m, const mn_small_wish *wish, mn_error *err) {
    const mn_config *c = &m->config;
    if (mn_config_has_easy(c))
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: has small MLPs already; convert the model that it was made of.",
                       mn_gguf_path(m->gguf));
    for (int i = 0; i < c->n_layers; i++)
        if (wish->in_layer[i] && (!m->weights.layers[i].up.w.data || mn_config_is_moe(c, i)))
            return mn_fail(err, MN_ERR_UNSUPPORTED,
                           "%s: layer %d has %s; a small MLP goes beside a dense one. Name the layers that have one.",
                           mn_gguf_path(m->gguf), i, mn_config_is_moe(c, i) ? "experts" : "no MLP");
    return MN_OK;
}

/* The tensors of a layer's small MLP, made of the picked units. */
typedef struct making {
    const mn_model *model;
    const mn_small_fit *fits; /* [n_layers] */
    mn_gguf_writer *to;
    void **data; /* [n_layers][N_TENSORS], owned */
} making;

static mn_status put(making *m, int layer, int index, const char *name, const mn_tensor *t, mn_error *err) {
    char full[NAME_BYTES];
    mn_tensor named = *t;
    if (!t->data) return mn_fail(err, MN_ERR_MEMORY, "no memory for a small MLP of layer %d.", layer);
    snprintf(full, sizeof full, "blk.%d.ffn_small_%s", layer, name);
    named.name = full;
    m->data[layer * N_TENSORS + index] = (void *)(uintptr_t)t->data;
    mn_gguf_put_tensor(m->to, &named);
    return MN_OK;
}

/* Rows of up or gate as they are. */
static mn_status put_rows(making *m, int layer, int index, const char *name, const mn_projection *p, mn_error *err) {
    const mn_small_fit *f = &m->fits[layer];
    size_t bytes = mn_tensor_row_bytes(&p->w);
    char *data = malloc(bytes * (size_t)f->n);
    mn_tensor t = {.type = p->w.type, .n_dims = 2, .ne = {p->w.ne[0], f->n, 1, 1}, .data = data};
    for (int64_t i = 0; data && i < f->n; i++)
        memcpy(data + (size_t)i * bytes, (const char *)p->w.data + (size_t)f->units[i] * bytes, bytes);
    return put(m, layer, index, name, &t, err);
}

static mn_status put_vector(making *m, int layer, int index, const char *name, const float *x, const int64_t *picked,
                            int64_t n, mn_error *err) {
    float *data = malloc((size_t)n * sizeof *data);
    for (int64_t i = 0; data && i < n; i++) data[i] = x[picked ? picked[i] : i];
    return put(m, layer, index, name, &(mn_tensor){.type = MN_F32, .n_dims = 1, .ne = {n, 1, 1, 1}, .data = data}, err);
}

/* W_down of the units, fitted or their own columns, in the type that the model has it in where blocks fit. */
static mn_status put_down(making *m, int layer, mn_error *err) {
    const mn_small_fit *f = &m->fits[layer];
    const mn_tensor *whole = &m->model->weights.layers[layer].down.w;
    mn_tensor t = {.name = "ffn_small_down.weight", .n_dims = 2, .ne = {f->n, whole->ne[1], 1, 1}};
    t.type = whole->type == MN_F32 ? MN_F32 : mn_precision_pick(&t, whole->type);
    size_t bytes = mn_tensor_row_bytes(&t);
    char *data = malloc(bytes * (size_t)t.ne[1]);
    bool all = f->n == whole->ne[0];
    for (int64_t r = 0; data && r < t.ne[1]; r++)
        if (all)
            memcpy(data + (size_t)r * bytes, (const char *)whole->data + (size_t)r * bytes, bytes);
        else
            mn_from_f32(t.type, f->down + r * f->n, data + (size_t)r * bytes, f->n);
    t.data = data;
    return put(m, layer, 2, "down.weight", &t, err);
}

static mn_status put_layer(making *m, int layer, mn_error *err) {
    const mn_layer *l = &m->model->weights.layers[layer];
    const mn_small_fit *f = &m->fits[layer];
    int64_t n_embd = m->model->config.n_embd;
    if (l->gate.w.data) MN_TRY(put_rows(m, layer, 0, "gate.weight", &l->gate, err));
    MN_TRY(put_rows(m, layer, 1, "up.weight", &l->up, err));
    MN_TRY(put_down(m, layer, err));
    if (l->gate.b) MN_TRY(put_vector(m, layer, 3, "gate.bias", l->gate.b, f->units, f->n, err));
    if (l->up.b) MN_TRY(put_vector(m, layer, 4, "up.bias", l->up.b, f->units, f->n, err));
    if (l->down.b) MN_TRY(put_vector(m, layer, 5, "down.bias", l->down.b, NULL, n_embd, err));
    MN_TRY(put_vector(m, layer, 6, "router.weight", f->router, NULL, n_embd, err));
    return put_vector(m, layer, 7, "router.bias", f->router + n_embd, NULL, 1, err);
}

static void put_keys(const making *m) {
    const mn_gguf *g = m->model->gguf;
    const mn_config *c = &m->model->config;
    uint32_t n_ff[MN_MAX_LAYERS];
    char key[NAME_BYTES];
    int n_prefix = snprintf(key, sizeof key, "%s.small_mlp.", c->arch);
    for (int64_t i = 0; i < mn_gguf_n_kv(g); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(g, i);
        bool is_replaced = kv->key.bytes > (size_t)n_prefix && !memcmp(kv->key.data, key, (size_t)n_prefix);
        if (!is_replaced) mn_gguf_put_kv(m->to, kv);
    }
    for (int i = 0; i < c->n_layers; i++) n_ff[i] = (uint32_t)m->fits[i].n;
    snprintf(key, sizeof key, "%s.small_mlp.feed_forward_length", c->arch);
    mn_gguf_put_kv(m->to, &(mn_gguf_kv){.key = {key, strlen(key)},
                                        .type = MN_GGUF_ARRAY,
                                        .item_type = MN_GGUF_U32,
                                        .n_items = (uint64_t)c->n_layers,
                                        .data = (const unsigned char *)n_ff,
                                        .bytes = (size_t)c->n_layers * sizeof *n_ff,
                                        .length_bytes = sizeof(uint64_t)});
    snprintf(key, sizeof key, "%s.small_mlp.threshold", c->arch);
    mn_gguf_put_f32(m->to, key, 0.5f);
}

static mn_status write_all(making *m, const char *path, mn_error *err) {
    const mn_gguf *g = m->model->gguf;
    put_keys(m);
    for (int64_t i = 0; i < mn_gguf_n_tensors(g); i++) mn_gguf_put_tensor(m->to, mn_gguf_tensor_at(g, i));
    for (int i = 0; i < m->model->config.n_layers; i++)
        if (m->fits[i].n) MN_TRY(put_layer(m, i, err));
    return mn_gguf_write(m->to, path, NULL, NULL, err);
}

static mn_status write_model(const mn_model *model, const mn_small_fit *fits, const char *path, mn_error *err) {
    making m = {.model = model, .fits = fits};
    size_t n = (size_t)model->config.n_layers * N_TENSORS;
    m.data = calloc(n, sizeof *m.data);
    if (!m.data) return mn_fail(err, MN_ERR_MEMORY, "no memory for a list of %zu tensors.", n);
    mn_status status = mn_gguf_writer_create(&m.to, err);
    if (status == MN_OK) status = write_all(&m, path, err);
    mn_gguf_writer_destroy(m.to);
    for (size_t i = 0; i < n; i++) free(m.data[i]);
    free(m.data);
    return status;
}

static void report(const mn_small_fit *fits, int n_layers, mn_small_report *out) {
    double error = 0, easy = 0;
    *out = (mn_small_report){0};
    for (int i = 0; i < n_layers; i++) {
        if (fits[i].n == 0) continue;
        out->n_layers++;
        out->n_ff = (int)fits[i].n;
        error += fits[i].error;
        easy += fits[i].easy_error;
    }
    out->error = error / out->n_layers;
    out->easy_error = easy / out->n_layers;
}

mn_status mn_small_write(const mn_compute *compute, const mn_model *model, const mn_small_wish *wish, const char *path,
                         mn_small_report *out, mn_error *err) {
    int n_layers = model->config.n_layers;
    MN_TRY(check(model, wish, err));
    mn_small_fit *fits = calloc((size_t)MN_MAX(n_layers, 0), sizeof *fits);
    if (!fits) return mn_fail(err, MN_ERR_MEMORY, "no memory for %d layers.", n_layers);
    for (int i = 0; i < n_layers; i++) {
        int64_t n_ff = model->config.layers[i].n_ff, n = (int64_t)ceil((double)n_ff / wish->divisor);
        if (wish->in_layer[i]) fits[i].n = MN_MIN(n_ff, (n + UNITS_STEP - 1) / UNITS_STEP * UNITS_STEP);
    }
    mn_status status = mn_small_fit_all(compute, model, wish, fits, err);
    if (status == MN_OK) status = write_model(model, fits, path, err);
    report(fits, n_layers, out);
    mn_small_fit_release(fits, n_layers);
    free(fits);
    return status;
}
