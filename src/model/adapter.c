#include "model/adapter.h"

#include "base/checked.h"
#include "model/nonfinite.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a layer's matrices are called, and where they are. */
static const struct {
    const char *name;
    size_t offset;
} matrices[] = {
    {"attn_q", offsetof(mn_layer, q)},
    {"attn_k", offsetof(mn_layer, k)},
    {"attn_v", offsetof(mn_layer, v)},
    {"attn_output", offsetof(mn_layer, o)},
    {"ffn_gate", offsetof(mn_layer, gate)},
    {"ffn_up", offsetof(mn_layer, up)},
    {"ffn_down", offsetof(mn_layer, down)},
    {"attn_q_a", offsetof(mn_layer, q_a)},
    {"attn_q_b", offsetof(mn_layer, q_b)},
    {"attn_kv_a_mqa", offsetof(mn_layer, kv_a)},
    {"ffn_gate_shexp", offsetof(mn_layer, shared_gate)},
    {"ffn_up_shexp", offsetof(mn_layer, shared_up)},
    {"ffn_down_shexp", offsetof(mn_layer, shared_down)},
    {"ffn_small_gate", offsetof(mn_layer, small_gate)},
    {"ffn_small_up", offsetof(mn_layer, small_up)},
    {"ffn_small_down", offsetof(mn_layer, small_down)},
};

mn_projection *mn_model_projection(mn_model *model, const char *name) {
    int layer = -1, used = 0;
    if (!strcmp(name, "output.weight")) return &model->weights.output;
    if (sscanf(name, "blk.%d.%n", &layer, &used) != 1 || used == 0 || layer < 0 || layer >= model->config.n_layers)
        return NULL;
    const mn_tensor *t = mn_gguf_tensor(model->gguf, name);
    for (size_t i = 0; t && i < sizeof matrices / sizeof *matrices; i++) {
        size_t n = strlen(matrices[i].name);
        if (strncmp(name + used, matrices[i].name, n) || strcmp(name + used + n, ".weight")) continue;
        mn_projection *p = (mn_projection *)(void *)((char *)&model->weights.layers[layer] + matrices[i].offset);
        return p->w.data == t->data && p->w.ne[1] == t->ne[1] ? p : NULL; /* a part of a fused matrix is none */
    }
    return NULL;
}

static mn_status check_keys(const mn_gguf *g, const mn_model *model, mn_adapter *out, mn_error *err) {
    mn_gguf_string type = {"", 0}, arch = {"", 0}, kind = {"", 0};
    double alpha = 0;
    bool found;
    MN_TRY(mn_gguf_get_string(g, "general.type", &type, &found, err));
    MN_TRY(mn_gguf_get_string(g, "adapter.type", &kind, &found, err));
    MN_TRY(mn_gguf_get_string(g, "general.architecture", &arch, &found, err));
    MN_TRY(mn_gguf_get_f64(g, "adapter.lora.alpha", &alpha, &found, err));
    if (type.bytes != 7 || memcmp(type.data, "adapter", 7) || kind.bytes != 4 || memcmp(kind.data, "lora", 4))
        return mn_fail(err, MN_ERR_FORMAT, "%s: is no LoRA adapter.", mn_gguf_path(g));
    if (arch.bytes != strlen(model->config.arch) || memcmp(arch.data, model->config.arch, arch.bytes))
        return mn_fail(err, MN_ERR_FORMAT, "%s: is an adapter of %s, and the model is %s.", mn_gguf_path(g),
                       mn_gguf_show(arch).text, model->config.arch);
    if (!isfinite(alpha))
        return mn_fail(err, MN_ERR_FORMAT, "%s: adapter.lora.alpha is %g; it must be a number.", mn_gguf_path(g),
                       alpha);
    out->alpha = (float)alpha;
    return MN_OK;
}

/* Weights, and all of them numbers: a search behind a failed step looks at the model's own tensors alone. */
static mn_status check_values(const mn_adapter *a, const mn_tensor *t, mn_error *err) {
    if (t->type == MN_I32)
        return mn_fail(err, MN_ERR_FORMAT, "%s: tensor %s is whole numbers (i32); an adapter needs weights.",
                       mn_gguf_path(a->gguf), t->name);
    int64_t at = mn_find_nonfinite(t);
    if (at < 0) return MN_OK;
    return mn_fail(err, MN_ERR_FORMAT,
                   "%s: tensor %s holds NaN or infinity (value %lld); the file is damaged, download or train it again.",
                   mn_gguf_path(a->gguf), t->name, (long long)at + 1);
}

static bool is_matrix(const mn_tensor *t) { return t->ne[2] == 1 && t->ne[3] == 1; }

static mn_status attach_matrix(mn_adapter *out, mn_model *model, const char *name, const mn_tensor *a,
                               const mn_tensor *b, mn_error *err) {
    mn_projection *p = mn_model_projection(model, name);
    const char *path = mn_gguf_path(out->gguf);
    if (!p)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: adapts %s, which this model has not, or holds in one matrix with others.", path, name);
    int64_t rank = a->ne[1];
    if (rank > MN_MAX_LORA_RANK)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: %s is adapted with rank %lld; the limit is %d.", path, name,
                       (long long)rank, MN_MAX_LORA_RANK);
    if (a->ne[0] != p->w.ne[0] || b->ne[1] != p->w.ne[1] || b->ne[0] != rank || !is_matrix(a) || !is_matrix(b))
        return mn_fail(err, MN_ERR_FORMAT,
                       "%s: %s.lora_a and lora_b are %lld x %lld and %lld x %lld; the matrix is %lld x %lld.", path,
                       name, (long long)a->ne[0], (long long)a->ne[1], (long long)b->ne[0], (long long)b->ne[1],
                       (long long)p->w.ne[0], (long long)p->w.ne[1]);
    MN_TRY(check_values(out, a, err));
    MN_TRY(check_values(out, b, err));
    mn_lora *lora = mn_arena_alloc(&out->arena, 1, sizeof *lora);
    if (!lora) return mn_fail(err, MN_ERR_MEMORY, "no memory for an adapter.");
    *lora = (mn_lora){*a, *b, out->scale * (out->alpha != 0 ? out->alpha / (float)rank : 1), p->lora};
    p->lora = lora;
    out->n_matrices++;
    return MN_OK;
}

static mn_status attach_all(mn_adapter *out, mn_model *model, mn_error *err) {
    static const char suffix[] = ".lora_a";
    char name[160], other[170];
    for (int64_t i = 0; i < mn_gguf_n_tensors(out->gguf); i++) {
        const mn_tensor *a = mn_gguf_tensor_at(out->gguf, i);
        size_t n = strlen(a->name);
        if (n < sizeof suffix || n >= sizeof name || strcmp(a->name + n - (sizeof suffix - 1), suffix)) continue;
        snprintf(name, sizeof name, "%.*s", (int)(n - (sizeof suffix - 1)), a->name);
        snprintf(other, sizeof other, "%s.lora_b", name);
        const mn_tensor *b = mn_gguf_tensor(out->gguf, other);
        if (!b) return mn_fail(err, MN_ERR_FORMAT, "%s: has %s and no %s.", mn_gguf_path(out->gguf), a->name, other);
        MN_TRY(attach_matrix(out, model, name, a, b, err));
    }
    if (out->n_matrices == 0) return mn_fail(err, MN_ERR_FORMAT, "%s: adapts no matrix.", mn_gguf_path(out->gguf));
    return MN_OK;
}

/* Takes back what was attached before something failed. */
static void detach(const mn_adapter *a, mn_model *model) {
    for (int64_t i = 0; i < mn_gguf_n_tensors(model->gguf); i++) {
        mn_projection *p = mn_model_projection(model, mn_gguf_tensor_at(model->gguf, i)->name);
        while (p && p->lora && mn_gguf_tensor(a->gguf, p->lora->a.name) &&
               mn_gguf_tensor(a->gguf, p->lora->a.name)->data == p->lora->a.data)
            p->lora = p->lora->next;
    }
}

mn_status mn_adapter_attach(mn_gguf *gguf, float scale, mn_model *model, mn_adapter *out, mn_error *err) {
    *out = (mn_adapter){.gguf = gguf, .arena = MN_ARENA_INIT, .scale = scale};
    mn_status status = check_keys(gguf, model, out, err);
    if (status == MN_OK) status = attach_all(out, model, err);
    if (status != MN_OK) {
        detach(out, model);
        mn_arena_release(&out->arena);
        *out = (mn_adapter){0};
    }
    return status;
}

mn_status mn_adapter_open(const char *path, float scale, mn_model *model, mn_adapter *out, mn_error *err) {
    mn_gguf *gguf;
    MN_TRY(mn_gguf_open(path, &gguf, err));
    mn_status status = mn_adapter_attach(gguf, scale, model, out, err);
    if (status != MN_OK) mn_gguf_close(gguf);
    return status;
}

void mn_adapter_close(mn_adapter *a) {
    if (a->gguf) mn_gguf_close(a->gguf);
    mn_arena_release(&a->arena);
    *a = (mn_adapter){0};
}

const mn_technique mn_lora_about = {
    .name = "LoRA adapters",
    .paper = "Hu et al. 2021 (arXiv:2106.09685)",
    .flag = "--lora FILE",
    .file = "src/model/adapter.c",
    .test = "tests/train/lora_test.c",
    .training = MN_TRAINING_NEEDED,
};
