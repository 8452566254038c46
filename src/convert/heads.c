#include "convert/heads.h"

#include "base/checked.h"
#include "convert/grouped_heads.h"
#include "convert/latent.h"
#include "model/sequence.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 1 << 13 };

/* ---- what is asked for ---- */

static mn_status bad_heads(const char *heads, mn_error *err) {
    return mn_fail(
        err, MN_ERR_ARGUMENT,
        "\"%s\" names no heads: give gqa:G (G key and value heads), mqa, or mla:RANK[,rope=R] with an even R.", heads);
}

/* A number from 1 to `most` at *at, which moves behind it. */
static bool read_number(const char **at, long most, int *out) {
    char *end;
    if (**at < '0' || **at > '9') return false;
    long value = strtol(*at, &end, 10);
    *at = end;
    *out = (int)value;
    return value >= 1 && value <= most;
}

static bool read_heads(const char *heads, mn_heads_wish *out) {
    const char *at = heads + 4;
    out->n_kv_heads = out->rank = out->n_rot = 0;
    if (!strcmp(heads, "mqa")) {
        out->n_kv_heads = 1;
        return true;
    }
    if (!strncmp(heads, "gqa:", 4)) return read_number(&at, MN_MAX_HEADS, &out->n_kv_heads) && !*at;
    if (strncmp(heads, "mla:", 4) || !read_number(&at, MAX_RANK, &out->rank)) return false;
    if (!*at) return true;
    if (strncmp(at, ",rope=", 6)) return false;
    at += 6;
    return read_number(&at, 2 * MN_MAX_ROT_PAIRS, &out->n_rot) && !*at && out->n_rot % 2 == 0;
}

mn_status mn_heads_parse(const char *heads, const char *method, mn_heads_wish *out, mn_error *err) {
    static const char *const names[] = {"mean", "first", "transmla", "mha2mla"};
    if (!read_heads(heads, out)) return bad_heads(heads, err);
    out->method = out->n_kv_heads ? MN_HEADS_MEAN : MN_HEADS_TRANSMLA;
    if (!method) return MN_OK;
    int m = 0;
    while (m < 4 && strcmp(names[m], method)) m++;
    if (m == 4)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "there is no method \"%s\": mean and first make grouped heads, transmla "
                       "and mha2mla latent ones.",
                       method);
    out->method = (mn_heads_method)m;
    bool latent = m >= MN_HEADS_TRANSMLA;
    if (latent != (out->n_kv_heads == 0))
        return mn_fail(err, MN_ERR_ARGUMENT, "%s makes %s heads, and %s are %s: %s.", method,
                       latent ? "latent" : "grouped", heads, latent ? "grouped" : "latent",
                       latent ? "take mean or first" : "take transmla or mha2mla");
    return MN_OK;
}

/* ---- what can be converted ---- */

static mn_status refuse(const mn_model *m, const char *reason, bool grouped_can, mn_error *err) {
    return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: its heads cannot be converted: %s%s.", mn_gguf_path(m->gguf), reason,
                   grouped_can ? "; grouped heads (gqa) are possible" : "");
}

static bool is_one_of(const char *arch, const char *const *list) {
    while (*list && strcmp(arch, *list)) list++;
    return *list != NULL;
}

/* Why the model is beyond both conversions, or NULL. */
static const char *common_reason(const mn_config *c) {
    if (c->mla.kv_rank) return "they are latent already";
    if (c->infini.segment) return "each has a compressive memory whose write gate was trained for it";
    for (const mn_layer_shape *l = c->layers; l < c->layers + c->n_layers; l++)
        if (l->n_heads != c->layers[0].n_heads || l->n_kv_heads != c->layers[0].n_kv_heads ||
            l->head_dim_k != c->layers[0].head_dim_k || l->head_dim_v != c->layers[0].head_dim_v)
            return "they differ from layer to layer";
    return NULL;
}

static const char *grouped_reason(const mn_config *c) {
    static const char *const known[] = {"llama", "qwen2", "qwen3", "mnemo", "phi3", "gemma2", "gemma3", NULL};
    if (!is_one_of(c->arch, known))
        return "this is known of the architectures llama, qwen2, qwen3, mnemo, phi3, gemma2 and gemma3 alone";
    return NULL;
}

/* Why deepseek2, with dense layers and no memory, cannot compute what the model does, or NULL. */
static const char *latent_reason(const mn_model *m) {
    static const char *const known[] = {"llama", "qwen2", "mnemo", "phi3", NULL};
    const mn_config *c = &m->config;
    const mn_layer *l = &m->weights.layers[0];
    if (l->q_norm.w || l->k_norm.w)
        return "each head's keys are normalised after they are made, which no matrix makes of a latent row";
    if (c->n_conv_taps)
        return "a short convolution mixes keys of neighbouring tokens before they are rotated, and latent heads have "
               "none";
    if (c->activation != MN_ACT_SILU || c->embedding_scale != 1 || c->attention_softcap > 0 || c->final_softcap > 0)
        return "latent heads are those of DeepSeek, whose MLP has SiLU gates and which caps and scales nothing";
    if (!is_one_of(c->arch, known)) return "latent ones are made of llama, qwen2, mnemo and phi3 alone";
    for (int i = 0; i < c->n_layers; i++) {
        if (c->layers[i].window || c->layers[i].chunk)
            return "its layers have a sliding window, and latent heads see all";
        if (c->layers[i].n_ff_small)
            return "it has small MLPs for easy tokens: change its heads first, and then give it these";
        if (c->layers[i].is_moe) return "it has experts, and latent ones are made of dense layers alone";
        if (c->layers[i].n_ff != c->n_ff)
            return "its MLPs differ in size from layer to layer, and latent ones have one";
        if (c->layers[i].rope != MN_LAYER_ROPE) return "some of its layers rotate nothing";
    }
    return NULL;
}

static mn_status check_groups(const mn_model *m, const mn_heads_wish *wish, mn_error *err) {
    int n = m->config.layers[0].n_kv_heads;
    if (wish->n_kv_heads < n && n % wish->n_kv_heads == 0) return MN_OK;
    if (n == 1)
        return mn_fail(err, MN_ERR_ARGUMENT, "%s: has one key and value head already, and none can go.",
                       mn_gguf_path(m->gguf));
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "%s: has %d key and value heads, which do not become %d: give a smaller number that divides %d.",
                   mn_gguf_path(m->gguf), n, wish->n_kv_heads, n);
}

static mn_status check_latents(const mn_model *m, const mn_heads_wish *wish, mn_error *err) {
    const mn_config *c = &m->config;
    int most_rot = c->layers[0].n_kv_heads * c->rope.n_rot, n_rot = mn_heads_n_rot(wish, c);
    if (n_rot < 2 || n_rot % 2 || n_rot > MN_MIN(most_rot, 2 * MN_MAX_ROT_PAIRS))
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "%s: %d rotated dimensions are not an even number from 2 to %d, what its "
                       "key heads rotate together.",
                       mn_gguf_path(m->gguf), n_rot, MN_MIN(most_rot, 2 * MN_MAX_ROT_PAIRS));
    int64_t most = MN_MIN(mn_latent_full_rank(c, n_rot), MAX_RANK);
    if (wish->rank <= most) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT, "%s: a rank of %d is beyond the %lld that its keys and values have.",
                   mn_gguf_path(m->gguf), wish->rank, (long long)most);
}

int mn_heads_n_rot(const mn_heads_wish *wish, const mn_config *c) {
    return wish->n_rot ? wish->n_rot : MN_MAX(c->rope.n_rot / 4, 1) * 2;
}

mn_status mn_heads_check(const mn_model *m, const mn_heads_wish *wish, mn_error *err) {
    const mn_config *c = &m->config;
    const char *reason = common_reason(c);
    if (reason) return refuse(m, reason, false, err);
    reason = wish->n_kv_heads ? grouped_reason(c) : latent_reason(m);
    if (reason) return refuse(m, reason, !grouped_reason(c) && c->layers[0].n_kv_heads > 1, err);
    return wish->n_kv_heads ? check_groups(m, wish, err) : check_latents(m, wish, err);
}

mn_status mn_heads_write(const mn_model *m, const mn_heads_wish *wish, const mn_moments *moments, const char *path,
                         mn_error *err) {
    return (wish->n_kv_heads ? mn_grouped_heads_write : mn_latent_write)(m, wish, moments, path, err);
}

size_t mn_heads_kv_bytes(const mn_config *config) {
    mn_kv_shape shape = mn_sequence_kv_shape_all(config, MN_F16, MN_F16);
    return mn_kv_slab_bytes(&shape) / MN_PAGE_TOKENS;
}

const mn_technique mn_heads_techniques[] = {
    {"MHA to GQA and MQA", "Ainslie et al. 2023 (arXiv:2305.13245)", "convert --heads gqa:G",
     "src/convert/grouped_heads.c", "tests/convert/grouped_heads_test.c", false, MN_TRAINING_NEEDED},
    {"TransMLA", "Meng et al. 2025 (arXiv:2502.07864)", "convert --heads mla:RANK", "src/convert/transmla.c",
     "tests/convert/latent_test.c", false, MN_TRAINING_NEEDED},
    {"MHA2MLA", "Ji et al. 2025 (arXiv:2502.14837)", "convert --method mha2mla", "src/convert/mha2mla.c",
     "tests/convert/latent_test.c", false, MN_TRAINING_NEEDED},
    {0},
};
