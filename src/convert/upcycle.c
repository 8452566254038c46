#include "convert/upcycle.h"

#include "base/random.h"
#include "base/strbuf.h"
#include "convert/layer_writer.h"
#include "model/gguf_convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTER_DEVIATION 0.02

enum { N_STACKS = 3 };

/* What a model with experts is called, where it can have any. */
static const struct {
    const char *from, *to;
} archs[] = {{"llama", "llama"}, {"mnemo", "mnemo"}, {"qwen3", "qwen3moe"}};

static const char *new_arch(const char *arch) {
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (!strcmp(archs[i].from, arch)) return archs[i].to;
    return NULL;
}

mn_status mn_upcycle_parse(const char *text, mn_upcycle_wish *out, mn_error *err) {
    char *end = NULL, *behind = NULL;
    long n = strtol(text, &end, 10), k = *end == ',' ? strtol(end + 1, &behind, 10) : 0;
    bool biased = behind && !strcmp(behind, ",bias");
    if (*text < '1' || *text > '9' || !behind || (*behind && !biased) || n > MN_MAX_EXPERTS || k < 1 || k > n)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "\"%s\" is no number of experts; give how many there are, at most %d, and how many of them a "
                       "token uses, as 8,2; or 8,2,bias for biases that balance them.",
                       text, MN_MAX_EXPERTS);
    out->n_experts = (int)n;
    out->n_used = (int)k;
    out->biased = biased;
    return MN_OK;
}

static mn_status check(const mn_model *m, mn_error *err) {
    const mn_config *c = &m->config;
    if (!new_arch(c->arch))
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: is %s; models of llama, mnemo and qwen3 can be given experts that a reader of their file "
                       "understands.",
                       mn_gguf_path(m->gguf), c->arch);
    if (c->moe.router.n_experts)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: has experts already.", mn_gguf_path(m->gguf));
    if (mn_config_has_easy(c))
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: has small MLPs; convert the model that it was made of.",
                       mn_gguf_path(m->gguf));
    for (int i = 0; i < c->n_layers; i++)
        if (c->layers[i].n_ff != c->n_ff)
            return mn_fail(err, MN_ERR_UNSUPPORTED,
                           "%s: layer %d has an MLP of %d units and others have %d; experts have one size in all "
                           "layers.",
                           mn_gguf_path(m->gguf), i, c->layers[i].n_ff, c->n_ff);
        else if (m->weights.layers[i].up.b || m->weights.layers[i].gate.b || m->weights.layers[i].down.b)
            return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: layer %d has an MLP with biases, and experts have none.",
                           mn_gguf_path(m->gguf), i);
    return MN_OK;
}

typedef struct upcycling {
    const mn_model *model;
    const mn_upcycle_wish *wish;
} upcycling;

static const mn_tensor *matrix_of(const mn_layer *l, int i) {
    return i == 0 ? &l->gate.w : i == 1 ? &l->up.w : &l->down.w;
}

static int list_layer(void *arg, int layer, mn_new_tensor list[MN_MAX_NEW_TENSORS]) {
    static const char *const names[N_STACKS] = {"ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"};
    const upcycling *u = arg;
    const mn_layer *l = &u->model->weights.layers[layer];
    int64_t n = u->wish->n_experts;
    int at = 0;
    for (int i = 0; i < N_STACKS; i++) {
        const mn_tensor *w = matrix_of(l, i);
        list[at++] = (mn_new_tensor){names[i], w->type, false, 3, {w->ne[0], w->ne[1], n}, NULL};
    }
    list[at++] = (mn_new_tensor){"ffn_gate_inp.weight", MN_F32, false, 2, {u->model->config.n_embd, n, 1}, NULL};
    if (u->wish->biased) list[at++] = (mn_new_tensor){"exp_probs_b.bias", MN_F32, false, 1, {n, 1, 1}, NULL};
    return at;
}

static void add_noise(float *row, int64_t n, double noise, mn_random *rng) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++) squares += (double)row[i] * (double)row[i];
    double deviation = noise * sqrt(squares / (double)n);
    for (int64_t i = 0; deviation > 0 && i < n; i++) row[i] += (float)(deviation * mn_random_normal(rng));
}

static void make_stack(const upcycling *u, const mn_tensor *w, mn_random *rng, float *out) {
    int64_t n = w->ne[0];
    for (int64_t e = 0; e < u->wish->n_experts; e++)
        for (int64_t r = 0; r < w->ne[1]; r++) {
            float *row = out + (e * w->ne[1] + r) * n;
            mn_to_f32(w->type, (const char *)w->data + (size_t)r * mn_tensor_row_bytes(w), row, n);
            add_noise(row, n, u->wish->noise, rng);
        }
}

static mn_status make(void *arg, int layer, int i, float *out, mn_error *err) {
    const upcycling *u = arg;
    mn_random rng;
    int64_t n = (int64_t)u->wish->n_experts * u->model->config.n_embd;
    (void)err;
    mn_random_seed(&rng, u->wish->seed, (uint64_t)(layer * MN_MAX_NEW_TENSORS + i));
    if (i < N_STACKS)
        make_stack(u, matrix_of(&u->model->weights.layers[layer], i), &rng, out);
    else if (i == N_STACKS)
        for (int64_t k = 0; k < n; k++) out[k] = (float)(ROUTER_DEVIATION * mn_random_normal(&rng));
    else
        memset(out, 0, (size_t)u->wish->n_experts * sizeof *out);
    return MN_OK;
}

/* A key under the new architecture's name. key: room, which the writer copies from. */
static mn_status put_renamed(mn_gguf_writer *to, const mn_gguf_kv *kv, const char *arch, const char *renamed,
                             mn_strbuf *key, mn_error *err) {
    size_t n = strlen(arch);
    mn_gguf_kv copy = *kv;
    if (kv->key.bytes > n && !memcmp(kv->key.data, arch, n) && kv->key.data[n] == '.') {
        key->bytes = 0;
        mn_strbuf_puts(key, renamed);
        mn_strbuf_put(key, kv->key.data + n, kv->key.bytes - n);
        if (key->failed) return mn_fail(err, MN_ERR_MEMORY, "no memory for a key of %zu bytes.", kv->key.bytes);
        copy.key = (mn_gguf_string){key->data, key->bytes};
    }
    mn_gguf_put_kv(to, &copy);
    return MN_OK;
}

static void put_u32(mn_gguf_writer *to, const char *arch, const char *name, uint32_t value) {
    char key[96];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    mn_gguf_put_u32(to, key, value);
}

/* Whether a key says what is said anew: a dense model may say that it has 0 experts. */
static bool is_replaced(const char *arch, const mn_gguf_kv *kv) {
    static const char general[] = "general.architecture", experts[] = ".expert_";
    size_t n = strlen(arch), n_experts = strlen(experts);
    if (kv->key.bytes == strlen(general) && !memcmp(kv->key.data, general, kv->key.bytes)) return true;
    if (kv->key.bytes >= n + n_experts && !memcmp(kv->key.data, arch, n) &&
        !memcmp(kv->key.data + n, experts, n_experts))
        return true;
    return mn_precision_is_key(kv->key);
}

static mn_status put_keys(const upcycling *u, const mn_layer_change *change, mn_gguf_writer *to, mn_error *err) {
    const mn_config *c = &u->model->config;
    const char *arch = new_arch(c->arch);
    mn_strbuf key = MN_STRBUF_INIT;
    mn_status status = MN_OK;
    mn_gguf_put_string(to, "general.architecture", arch);
    for (int64_t i = 0; status == MN_OK && i < mn_gguf_n_kv(u->model->gguf); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(u->model->gguf, i);
        if (!is_replaced(c->arch, kv)) status = put_renamed(to, kv, c->arch, arch, &key, err);
    }
    mn_strbuf_release(&key);
    mn_layer_change_put_types(change, to);
    put_u32(to, arch, "expert_count", (uint32_t)u->wish->n_experts);
    put_u32(to, arch, "expert_used_count", (uint32_t)u->wish->n_used);
    put_u32(to, arch, "expert_feed_forward_length", (uint32_t)c->n_ff);
    if (u->wish->biased) put_u32(to, arch, "expert_gating_func", MN_GATING_SIGMOID);
    return status;
}

mn_status mn_upcycle_write(const mn_model *model, const mn_upcycle_wish *wish, const char *path, mn_error *err) {
    static const char *const dropped[] = {"ffn_gate.weight", "ffn_up.weight", "ffn_down.weight", NULL};
    upcycling u = {model, wish};
    mn_layer_change change = {.in = model->gguf,
                              .n_layers = model->config.n_layers,
                              .dropped = dropped,
                              .list = list_layer,
                              .make = make,
                              .arg = &u,
                              .type = wish->type};
    mn_gguf_writer *to;
    MN_TRY(check(model, err));
    MN_TRY(mn_gguf_refuse_same_file(model->gguf, path, err));
    MN_TRY(mn_gguf_writer_create(&to, err));
    mn_status status = put_keys(&u, &change, to, err);
    if (status == MN_OK) status = mn_layer_change_write(&change, to, path, err);
    mn_gguf_writer_destroy(to);
    return status;
}

const mn_technique mn_upcycle_about = {
    .name = "experts made of a dense MLP (sparse upcycling)",
    .paper = "Komatsuzaki et al. 2022 (arXiv:2212.05055)",
    .flag = "mnemo convert --experts N,K",
    .file = "src/convert/upcycle.c",
    .test = "tests/session/upcycle_test.c",
    .exact = false,
    .training = MN_TRAINING_NEEDED,
};
