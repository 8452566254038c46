#include "train/parameters.h"

#include "base/checked.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Tensors whose numbers no gradient moves: positions, the biases of a choice of experts, indexers, and the constants
 * that Gemma 4 multiplies its layers with. */
static bool has_no_gradient(const char *name) {
    return !strcmp(name, "rope_freqs.weight") || !strncmp(name, "rope_factors_", 13) || strstr(name, "exp_probs_b") ||
           strstr(name, ".indexer.") || strstr(name, ".indexer_compressor_") || strstr(name, ".layer_output_scale.");
}

/* DeepSeek-V3's rule moves the biases of a choice of experts. */
static bool moves_by_rule(const mn_train_config *c, const char *name) {
    return c->balance_bias && c->lora_rank == 0 && strstr(name, "exp_probs_b");
}

/* Vectors, and the small matrices that act as such: filters, shares of the token before, numbers of each head. */
static bool takes_decay(const mn_parameter *p) {
    static const char *const plain[] = {"_norm.",      ".bias",       "_conv.",      "gate_inp",
                                        "infini_",     "_gate.bias",  "conv1d",      "shortconv.conv",
                                        "mix_lerp",    "time_mix_w0", "_ape.",       "time_mix_a0",
                                        "time_mix_v0", "time_mix_k_", "time_mix_r_", "time_mix_ln"};
    const char *last = strrchr(p->name, '.');
    if (last && (!strcmp(last, ".ssm_a") || !strcmp(last, ".ssm_d"))) return false;
    if (!p->is_matrix) return false;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strstr(p->name, plain[i])) return false;
    return true;
}

static bool is_in_layer(const char *name) { return !strncmp(name, "blk.", 4); }

/* Muon makes a matrix's update orthogonal: for hidden matrices, not for tables, taps or a router. */
static bool takes_muon(const mn_parameter *p) { return takes_decay(p) && is_in_layer(p->name); }

static bool matches(const char *patterns, const char *name) {
    char one[128];
    for (const char *p = patterns; *p;) {
        size_t n = strcspn(p, " ");
        if (n > 0 && n < sizeof one) {
            memcpy(one, p, n);
            one[n] = 0;
            if (!fnmatch(one, name, 0)) return true;
        }
        p += n + strspn(p + n, " ");
    }
    return false;
}

static void decide(const mn_train_config *c, mn_parameter *p, uint32_t *groups_used) {
    p->optimiser = c->optimiser == MN_OPTIMISER_MUON && takes_muon(p) ? MN_OPTIMISER_MUON : MN_OPTIMISER_ADAMW;
    p->decay = takes_decay(p) ? c->decay : 0;
    p->frozen = has_no_gradient(p->name) || c->lora_rank > 0 || (c->router.only && !strstr(p->name, ".ffn_small_"));
    p->moves = moves_by_rule(c, p->name);
    double rate = -1;
    for (int i = 0; i < c->n_groups; i++) {
        const mn_train_group *g = &c->groups[i];
        if (!matches(g->match, p->name)) continue;
        *groups_used |= UINT32_C(1) << i;
        if (g->optimiser >= 0) p->optimiser = (mn_optimiser)g->optimiser;
        if (g->decay >= 0) p->decay = g->decay;
        rate = g->rate;
        p->frozen |= g->freeze;
        break;
    }
    if (!p->is_matrix) p->optimiser = MN_OPTIMISER_ADAMW;
    p->rate = rate >= 0 ? rate : p->optimiser == MN_OPTIMISER_MUON ? c->muon_rate : c->rate;
    if (c->lora_norms && strstr(p->name, "_norm.")) p->frozen = false;
    if (c->lora_embeddings && !strcmp(p->name, "token_embd.weight")) p->frozen = false;
}

static mn_status add(mn_parameters *all, const mn_train_config *c, const mn_tensor *t, uint32_t *groups_used,
                     mn_error *err) {
    if (t->type == MN_I32) return MN_OK; /* a table of experts: whole numbers */
    mn_parameter *p = &all->items[all->n_items++];
    if (t->type != MN_F32)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "tensor %s is %s; weights in training are f32.", t->name,
                       mn_dtype_get(t->type)->name);
    float *weights = (float *)(uintptr_t)t->data; /* the mapping is ours and can be written */
    *p = (mn_parameter){.name = t->name,
                        .n_in = t->ne[0],
                        .n_out = t->ne[1] * t->ne[2] * t->ne[3],
                        .is_matrix = t->n_dims > 1,
                        .weights = weights,
                        .gradients = mn_gradient_of(all, weights)};
    decide(c, p, groups_used);
    if (!p->frozen) all->n_trained += p->n_in * p->n_out;
    return MN_OK;
}

static mn_status add_all(mn_parameters *all, const mn_gguf *gguf, const mn_train_config *c, mn_error *err) {
    uint32_t groups_used = 0;
    int64_t n = mn_gguf_n_tensors(gguf);
    all->items = calloc((size_t)n + 1, sizeof *all->items);
    if (!all->items) return mn_fail(err, MN_ERR_MEMORY, "no memory for a list of %lld tensors.", (long long)n);
    for (int64_t i = 0; i < n; i++) MN_TRY(add(all, c, mn_gguf_tensor_at(gguf, i), &groups_used, err));
    for (int i = 0; i < c->n_groups; i++)
        if (!(groups_used >> i & 1))
            return mn_fail(err, MN_ERR_ARGUMENT, "[group %s]: no tensor matches \"%s\".", c->groups[i].name,
                           c->groups[i].match);
    return MN_OK;
}

/* Two moments for each number that is trained; Muon leaves the second unused and untouched, so it takes no memory. */
static mn_status give_moments(mn_parameters *all, mn_error *err) {
    size_t n = (size_t)MN_MAX(all->n_trained, 1), bytes;
    all->moments = mn_mul_size(n, 2 * sizeof(float), &bytes) ? calloc(n, 2 * sizeof(float)) : NULL;
    if (!all->moments)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the moments of %lld parameters.", (long long)all->n_trained);
    float *at = all->moments;
    for (int64_t i = 0; i < all->n_items; i++) {
        mn_parameter *p = &all->items[i];
        if (p->frozen) continue;
        p->moments[0] = at;
        p->moments[1] = at + p->n_in * p->n_out;
        at += 2 * p->n_in * p->n_out;
    }
    return MN_OK;
}

/* A file as memory that can be written, parsed. */
static mn_status map_file(const char *path, mn_parameters *out, mn_gguf **gguf, mn_error *err) {
    MN_TRY(mn_mapfile_open(path, &out->map, err));
    if (out->map.bytes && mprotect((void *)(uintptr_t)out->map.data, out->map.bytes, PROT_READ | PROT_WRITE))
        return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for %zu bytes of weights that can be changed.", path,
                       out->map.bytes);
    return mn_gguf_parse(path, out->map.data, out->map.bytes, gguf, err);
}

static mn_status open_model(const char *path, mn_parameters *out, mn_error *err) {
    mn_gguf *gguf;
    MN_TRY(map_file(path, out, &gguf, err));
    MN_TRY(mn_model_bind(gguf, &out->model, err));
    if (out->model.config.is_encoder)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: %s models are encoders, which are not trained here.", path,
                       out->model.config.arch);
    return MN_OK;
}

static int by_address(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)((const mn_parameter *)a)->weights, y = (uintptr_t)((const mn_parameter *)b)->weights;
    return x < y ? -1 : x > y;
}

/* Gradients, the list, moments: what a mapped file needs to be trained. */
static mn_status make_trainable(mn_parameters *p, const mn_gguf *gguf, const mn_train_config *config, mn_error *err) {
    p->gradients = calloc(p->map.bytes + 1, 1);
    if (!p->gradients) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu bytes of gradients.", p->map.bytes);
    MN_TRY(add_all(p, gguf, config, err));
    qsort(p->items, (size_t)p->n_items, sizeof *p->items, by_address);
    return give_moments(p, err);
}

mn_status mn_parameters_open(const char *path, const mn_train_config *config, mn_parameters *out, mn_error *err) {
    *out = (mn_parameters){0};
    mn_status status = open_model(path, out, err);
    if (status == MN_OK) status = make_trainable(out, out->model.gguf, config, err);
    if (status != MN_OK) mn_parameters_close(out);
    return status;
}

mn_status mn_parameters_open_adapters(const char *path, const mn_train_config *config, mn_parameters *out,
                                      mn_error *err) {
    mn_train_config all = *config; /* nothing in it is frozen, and its groups are about the model's tensors */
    *out = (mn_parameters){0};
    all.lora_rank = 0;
    all.n_groups = 0;
    all.optimiser = MN_OPTIMISER_ADAMW;
    mn_status status = map_file(path, out, &out->gguf, err);
    if (status == MN_OK) status = make_trainable(out, out->gguf, &all, err);
    if (status != MN_OK) mn_parameters_close(out);
    return status;
}

mn_status mn_parameters_open_frozen(const char *path, mn_parameters *out, mn_error *err) {
    *out = (mn_parameters){0};
    return mn_model_open(path, &out->model, err);
}

float *mn_parameters_trained(const mn_parameters *p, const void *weight) {
    float *gradient = weight ? mn_gradient_of(p, weight) : NULL;
    if (!gradient) return NULL;
    int64_t low = 0, high = p->n_items - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if ((uintptr_t)p->items[middle].weights <= (uintptr_t)weight)
            low = middle;
        else
            high = middle - 1;
    }
    return p->items[low].frozen ? NULL : gradient;
}

void mn_parameters_clear_gradients(mn_parameters *p) {
    if (p->gradients) memset(p->gradients, 0, p->map.bytes);
}

void mn_parameters_close(mn_parameters *p) {
    if (p->model.gguf) mn_model_close(&p->model);
    if (p->gguf) mn_gguf_close(p->gguf);
    mn_mapfile_close(&p->map);
    free(p->gradients);
    free(p->moments);
    free(p->items);
    *p = (mn_parameters){0};
}

size_t mn_parameters_bytes(int64_t n_params, int64_t n_trained) {
    return (size_t)n_params * 2 * sizeof(float) + (size_t)n_trained * 2 * sizeof(float);
}
