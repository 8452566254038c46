#include "model/gguf_random.h"

#include "base/checked.h"
#include "base/random.h"
#include "model/config.h"
#include "model/random_family.h"
#include "model/weights.h"
#include "model/previous_token.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SHORT_CONV = 8, MAX_LAYERS = MN_RANDOM_MAX_LAYERS };

typedef struct creation {
    const mn_random_model *model;
    mn_gguf_writer *writer;
    const mn_make_params *params;
    mn_random_summary *summary;
    int64_t n_vocab;
    float *scratch; /* [n_threads, longest row] */
    int64_t longest_row;
    size_t done_bytes;
} creation;

static bool is(const mn_random_model *m, const char *arch) { return !strcmp(m->arch, arch); }

static mn_status check_counts(const mn_random_model *m, mn_error *err) {
    const struct {
        const char *name;
        int64_t value, limit;
    } counts[] = {
        {"layers", m->n_layers, MAX_LAYERS},    {"embd", m->n_embd, INT32_MAX},       {"heads", m->n_heads, INT32_MAX},
        {"kv-heads", m->n_kv_heads, INT32_MAX}, {"head-dim", m->head_dim, INT32_MAX}, {"ff", m->n_ff, INT32_MAX},
        {"ctx", m->n_ctx, INT32_MAX},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].value < 1 || counts[i].value > counts[i].limit)
            return mn_fail(err, MN_ERR_ARGUMENT, "%s is %lld; wanted 1 to %lld.", counts[i].name,
                           (long long)counts[i].value, (long long)counts[i].limit);
    return MN_OK;
}

static mn_status check_shape(const mn_random_model *m, mn_error *err) {
    const mn_random_family *family = mn_random_family_find(m->arch);
    if (!family && !is(m, "llama") && !is(m, "mnemo") && !is(m, "qwen2") && !is(m, "qwen3"))
        return mn_fail(err, MN_ERR_ARGUMENT, "no random model of architecture \"%s\" is made; known: %s.", m->arch,
                       mn_random_archs());
    MN_TRY(check_counts(m, err));
    if (m->n_heads % m->n_kv_heads)
        return mn_fail(err, MN_ERR_ARGUMENT, "%lld heads cannot share %lld key-value heads evenly.",
                       (long long)m->n_heads, (long long)m->n_kv_heads);
    if (m->head_dim % 2)
        return mn_fail(err, MN_ERR_ARGUMENT, "heads of size %lld cannot be rotated in pairs; an even size is needed.",
                       (long long)m->head_dim);
    if (m->n_experts > MN_MAX_EXPERTS)
        return mn_fail(err, MN_ERR_ARGUMENT, "%lld experts are too many; a model takes at most %d.",
                       (long long)m->n_experts, MN_MAX_EXPERTS);
    if (m->n_experts < 0 || m->n_experts_used < (m->n_experts > 0) || m->n_experts_used > m->n_experts)
        return mn_fail(err, MN_ERR_ARGUMENT, "%lld of %lld experts cannot be used per token.",
                       (long long)m->n_experts_used, (long long)m->n_experts);
    if (m->previous_token_heads < 0 || m->previous_token_heads > m->n_heads)
        return mn_fail(err, MN_ERR_ARGUMENT, "previous-token-heads is %lld; wanted 0 to the %lld heads of a layer.",
                       (long long)m->previous_token_heads, (long long)m->n_heads);
    if (m->previous_token_heads && !is(m, "llama") && !is(m, "mnemo"))
        return mn_fail(err, MN_ERR_ARGUMENT, "previous-token-heads is for llama and mnemo, not for %s.", m->arch);
    if (m->sinks && !is(m, "mnemo"))
        return mn_fail(err, MN_ERR_ARGUMENT, "sinks are for mnemo; files of %s have no place for them.", m->arch);
    bool routed = is(m, "llama") || is(m, "mistral3") || is(m, "gemma4") || (family && family->routed);
    if (m->n_experts && !routed) return mn_fail(err, MN_ERR_ARGUMENT, "models of %s have no experts.", m->arch);
    return MN_OK;
}

static mn_status count_vocab(const mn_gguf *vocab, int64_t *out, mn_error *err) {
    const mn_gguf_kv *tokens = mn_gguf_find(vocab, "tokenizer.ggml.tokens");
    if (!tokens || tokens->type != MN_GGUF_ARRAY || tokens->n_items < 1 || tokens->n_items > INT32_MAX)
        return mn_fail(err, MN_ERR_FORMAT, "%s: holds no tokens (tokenizer.ggml.tokens) to make a vocabulary of.",
                       mn_gguf_path(vocab));
    *out = (int64_t)tokens->n_items;
    return MN_OK;
}

/* "llama.rope.freq_base"; borrowed until the next call on the same buffer. */
static const char *arch_key(char buf[96], const mn_random_model *m, const char *suffix) {
    snprintf(buf, 96, "%s.%s", m->arch, suffix);
    return buf;
}

static void put_shape_keys(mn_gguf_writer *writer, const creation *c) {
    const mn_random_model *m = c->model;
    const mn_random_family *family = mn_random_family_find(m->arch);
    bool latent = family && family->latent;
    const struct {
        const char *suffix;
        int64_t value;
        bool wanted;
    } keys[] = {
        {"context_length", m->n_ctx, true},
        {"embedding_length", m->n_embd, true},
        {"block_count", m->n_layers, true},
        {"feed_forward_length", m->n_ff, true},
        {"attention.head_count", m->n_heads, true},
        {"attention.head_count_kv", m->n_kv_heads, !latent},
        {"attention.key_length", m->head_dim, !latent},
        {"attention.value_length", m->head_dim, !latent},
        {"rope.dimension_count", m->head_dim, !latent},
        {"vocab_size", c->n_vocab, true},
        {"expert_count", m->n_experts, m->n_experts > 0},
        {"expert_used_count", m->n_experts_used, m->n_experts > 0},
        {"attention.short_conv", SHORT_CONV, is(m, "mnemo")},
    };
    char key[96];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].wanted && !(family && mn_random_family_has(family, keys[i].suffix)))
            mn_gguf_put_u32(writer, arch_key(key, m, keys[i].suffix), (uint32_t)keys[i].value);
    float epsilon = is(m, "qwen2") || is(m, "qwen3") ? 1e-6f : 1e-5f;
    mn_gguf_put_f32(writer, arch_key(key, m, "attention.layer_norm_rms_epsilon"), epsilon);
    if (family && family->layer_norm)
        mn_gguf_put_f32(writer, arch_key(key, m, "attention.layer_norm_epsilon"), epsilon);
    mn_gguf_put_f32(writer, arch_key(key, m, "rope.freq_base"), (float)m->rope_base);
}

/* What a configuration is read from. */
static void put_arch_keys(mn_gguf_writer *writer, const creation *c) {
    const mn_random_family *family = mn_random_family_find(c->model->arch);
    put_shape_keys(writer, c);
    if (family) mn_random_family_put(family, c->model, writer);
}

static void put_keys(const creation *c, const mn_gguf *vocab) {
    static const char prefix[] = "tokenizer.";
    char name[96];
    snprintf(name, sizeof name, "random %s, seed %llu", c->model->arch, (unsigned long long)c->model->seed);
    mn_gguf_put_string(c->writer, "general.architecture", c->model->arch);
    mn_gguf_put_string(c->writer, "general.name", name);
    mn_precision_put(c->writer, c->params->type);
    put_arch_keys(c->writer, c);
    for (int64_t i = 0; i < mn_gguf_n_kv(vocab); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(vocab, i);
        if (kv->key.bytes > strlen(prefix) && !memcmp(kv->key.data, prefix, strlen(prefix)))
            mn_gguf_put_kv(c->writer, kv);
    }
}

static int64_t count_rows(const mn_tensor *t) { return t->ne[1] * t->ne[2] * t->ne[3]; }

/* Weights, or a table (I32). */
static void put_tensor(creation *c, mn_tensor t) {
    int64_t n_rows = count_rows(&t);
    if (!mn_precision_is_kept(&t)) t.type = mn_precision_pick(&t, c->params->type);
    mn_gguf_put_tensor(c->writer, &t);
    c->summary->n_params += t.type == MN_I32 ? 0 : t.ne[0] * n_rows;
    c->summary->n_tensors++;
    c->summary->bytes += mn_tensor_row_bytes(&t) * (size_t)n_rows;
    c->longest_row = MN_MAX(c->longest_row, t.ne[0]);
}

static void put(creation *c, const char *name, int n_dims, int64_t ne0, int64_t ne1, int64_t ne2) {
    put_tensor(c, (mn_tensor){.name = name, .type = MN_F32, .n_dims = n_dims, .ne = {ne0, ne1, ne2, 1}});
}

static void put_in_layer(creation *c, int64_t layer, const char *suffix, int n_dims, int64_t ne0, int64_t ne1,
                         int64_t ne2) {
    char name[64];
    snprintf(name, sizeof name, "blk.%lld.%s", (long long)layer, suffix);
    put(c, name, n_dims, ne0, ne1, ne2);
}

static void put_attention(creation *c, int64_t layer) {
    const mn_random_model *m = c->model;
    int64_t q = m->n_heads * m->head_dim, kv = m->n_kv_heads * m->head_dim;
    put_in_layer(c, layer, "attn_norm.weight", 1, m->n_embd, 1, 1);
    put_in_layer(c, layer, "attn_q.weight", 2, m->n_embd, q, 1);
    put_in_layer(c, layer, "attn_k.weight", 2, m->n_embd, kv, 1);
    put_in_layer(c, layer, "attn_v.weight", 2, m->n_embd, kv, 1);
    put_in_layer(c, layer, "attn_output.weight", 2, q, m->n_embd, 1);
    if (is(m, "qwen2")) {
        put_in_layer(c, layer, "attn_q.bias", 1, q, 1, 1);
        put_in_layer(c, layer, "attn_k.bias", 1, kv, 1, 1);
        put_in_layer(c, layer, "attn_v.bias", 1, kv, 1, 1);
    }
    if (is(m, "qwen3")) {
        put_in_layer(c, layer, "attn_q_norm.weight", 1, m->head_dim, 1, 1);
        put_in_layer(c, layer, "attn_k_norm.weight", 1, m->head_dim, 1, 1);
    }
    if (is(m, "mnemo")) {
        put_in_layer(c, layer, "attn_q_conv.weight", 2, SHORT_CONV, q, 1);
        put_in_layer(c, layer, "attn_k_conv.weight", 2, SHORT_CONV, kv, 1);
    }
    if (m->sinks) put_in_layer(c, layer, "attn_sinks.weight", 1, m->n_heads, 1, 1);
}

static void put_mlp(creation *c, int64_t layer) {
    const mn_random_model *m = c->model;
    bool routed = m->n_experts > 0;
    int n_dims = routed ? 3 : 2;
    int64_t n_experts = routed ? m->n_experts : 1;
    put_in_layer(c, layer, "ffn_norm.weight", 1, m->n_embd, 1, 1);
    if (routed) put_in_layer(c, layer, "ffn_gate_inp.weight", 2, m->n_embd, n_experts, 1);
    put_in_layer(c, layer, routed ? "ffn_gate_exps.weight" : "ffn_gate.weight", n_dims, m->n_embd, m->n_ff, n_experts);
    put_in_layer(c, layer, routed ? "ffn_up_exps.weight" : "ffn_up.weight", n_dims, m->n_embd, m->n_ff, n_experts);
    put_in_layer(c, layer, routed ? "ffn_down_exps.weight" : "ffn_down.weight", n_dims, m->n_ff, m->n_embd, n_experts);
}

/* A tensor that the family's binding names: one that every file has, or that the random family wants. */
static void put_listed(void *arg, const mn_tensor *shape, bool needed) {
    creation *c = arg;
    const mn_random_family *family = mn_random_family_find(c->model->arch);
    bool untied = c->model->untied && !strcmp(shape->name, "output.weight");
    mn_tensor stored = *shape;
    mn_random_family_shape(family, &stored);
    if (untied || mn_random_family_wants(family, shape->name, needed)) put_tensor(c, stored);
}

/* What a family's configuration looks for among the tensors. */
static mn_status read_config(const creation *c, mn_gguf_writer *probe, mn_config *config, mn_gguf **view,
                             mn_error *err) {
    const mn_random_model *m = c->model;
    char name[64];
    mn_gguf_put_string(probe, "general.architecture", m->arch);
    put_arch_keys(probe, c);
    mn_gguf_put_tensor(probe,
                       &(mn_tensor){.name = "token_embd.weight", .n_dims = 2, .ne = {m->n_embd, c->n_vocab, 1, 1}});
    mn_gguf_put_tensor(probe,
                       &(mn_tensor){.name = "position_embd.weight", .n_dims = 2, .ne = {m->n_embd, m->n_ctx, 1, 1}});
    static const char *const in_layers[] = {"ffn_gate_inp", "indexer.attn_k"};
    for (int64_t i = 0; i < 2 * m->n_layers && m->n_experts > 0; i++) {
        snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)i / 2, in_layers[i % 2]);
        mn_gguf_put_tensor(probe, &(mn_tensor){.name = name, .n_dims = 1, .ne = {1, 1, 1, 1}});
    }
    MN_TRY(mn_gguf_writer_view(probe, view, err));
    return mn_config_read(*view, config, err);
}

static mn_status list_tensors(creation *c, mn_error *err) {
    mn_arena arena = MN_ARENA_INIT;
    mn_gguf_writer *probe = NULL;
    mn_gguf *view = NULL;
    mn_config *config = calloc(1, sizeof *config);
    mn_status status =
        config ? mn_gguf_writer_create(&probe, err) : mn_fail(err, MN_ERR_MEMORY, "no memory for a shape.");
    if (status == MN_OK) status = read_config(c, probe, config, &view, err);
    if (status == MN_OK) status = mn_weights_list(view, config, &arena, put_listed, c, err);
    mn_gguf_close(view);
    mn_gguf_writer_destroy(probe);
    mn_arena_release(&arena);
    free(config);
    return status;
}

static mn_status put_tensors(creation *c, mn_error *err) {
    if (mn_random_family_find(c->model->arch)) return list_tensors(c, err);
    put(c, "token_embd.weight", 2, c->model->n_embd, c->n_vocab, 1);
    put(c, "output_norm.weight", 1, c->model->n_embd, 1, 1);
    if (c->model->untied) put(c, "output.weight", 2, c->model->n_embd, c->n_vocab, 1);
    for (int64_t layer = 0; layer < c->model->n_layers; layer++) {
        put_attention(c, layer);
        put_mlp(c, layer);
    }
    return MN_OK;
}

typedef struct row_job {
    const creation *c;
    const mn_tensor *t;
    char *dst;
    uint64_t seed;   /* of the tensor */
    float deviation; /* 0: no matrix */
} row_job;

/* n numbers of mean 0 and the given deviation. */
static void draw(uint64_t seed, uint64_t row, float deviation, float *out, int64_t n) {
    mn_random rng;
    mn_random_seed(&rng, XXH3_64bits_withSeed(&row, sizeof row, seed), row);
    /* Four uniform 16-bit numbers have the sum 2 * 65535 on average and the variance 4 (65536^2 - 1) / 12. */
    float scale = deviation / 37837.2269f;
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = mn_random_u64(&rng);
        int32_t sum = (int32_t)((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48));
        out[i] = (float)(sum - 131070) * scale;
    }
}

/* Channel c of k looks back by the delay of its rotated pair, the matching channel of q by one less, so that a query
 * meets the key of what followed. */
static void delay(const mn_random_model *m, const char *name, int64_t channel, float *out) {
    int64_t back = channel % m->head_dim / 2 % SHORT_CONV;
    if (strstr(name, "attn_q_conv")) back = MN_MAX(back - 1, 0);
    for (int64_t i = 0; i < SHORT_CONV; i++) out[i] = i == back;
}

/* Different experts for a token: neighbours, from any one on. */
static void make_ids(const row_job *job, int64_t token, int32_t *ids) {
    uint64_t first = XXH3_64bits_withSeed(&token, sizeof token, job->seed);
    uint64_t n_experts = (uint64_t)job->c->model->n_experts;
    for (int64_t i = 0; i < job->t->ne[0]; i++) ids[i] = (int32_t)((first % n_experts + (uint64_t)i) % n_experts);
}

static void make_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    const row_job *job = arg;
    int64_t n = job->t->ne[0];
    float *row = job->c->scratch + thread_index * job->c->longest_row;
    size_t row_bytes = mn_tensor_row_bytes(job->t);
    for (int64_t r = begin; r < end; r++) {
        if (job->t->type == MN_I32) {
            make_ids(job, r, (int32_t *)(void *)(job->dst + (size_t)r * row_bytes));
            continue;
        }
        float constant = strstr(job->t->name, ".bias") || strstr(job->t->name, "attn_sinks") ? 0 : 1;
        if (strstr(job->t->name, ".ssm_a")) constant = -1; /* states fade */
        if (job->deviation > 0)
            draw(job->seed, (uint64_t)r, job->deviation, row, n);
        else if (strstr(job->t->name, "_conv."))
            delay(job->c->model, job->t->name, r, row);
        else
            for (int64_t i = 0; i < n; i++) row[i] = constant;
        if (job->c->model->previous_token_heads) mn_previous_token_row(job->c->model, job->t->name, r, row);
        mn_from_f32(job->t->type, row, job->dst + (size_t)r * row_bytes, n);
    }
}

static mn_status fill(void *arg, const mn_tensor *t, void *dst, mn_error *err) {
    (void)err;
    creation *c = arg;
    int n_axes = 0; /* of more than one element */
    for (int i = 0; i < t->n_dims; i++) n_axes += t->ne[i] > 1;
    bool matrix = n_axes > 1 && !strstr(t->name, "_conv.") && !strstr(t->name, ".bias");
    bool to_residual = strstr(t->name, "attn_output") || strstr(t->name, "ffn_down");
    double variance = 1.0 / (double)t->ne[0] / (to_residual ? 2.0 * (double)c->model->n_layers : 1.0);
    row_job job = {c, t, dst, XXH3_64bits_withSeed(t->name, strlen(t->name), c->model->seed),
                   matrix ? (float)sqrt(variance) : 0};
    mn_pool_run(c->params->pool, count_rows(t), 16, make_rows, &job);
    c->done_bytes += t->bytes;
    if (c->params->progress)
        c->params->progress(c->params->progress_arg, (int64_t)c->done_bytes, (int64_t)c->summary->bytes);
    return MN_OK;
}

static mn_status write_model(creation *c, const mn_gguf *vocab, const char *path, mn_error *err) {
    put_keys(c, vocab);
    MN_TRY(put_tensors(c, err));
    size_t n_threads = c->params->pool ? (size_t)mn_pool_threads(c->params->pool) : 1, bytes;
    if (mn_mul_size((size_t)c->longest_row, n_threads * sizeof *c->scratch, &bytes)) c->scratch = malloc(bytes);
    if (!c->scratch)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for rows of %lld elements.", (long long)c->longest_row);
    mn_status status = mn_gguf_write(c->writer, path, fill, c, err);
    free(c->scratch);
    return status;
}

mn_status mn_random_model_write(const mn_random_model *model, const mn_gguf *vocab, const char *path,
                                const mn_make_params *params, mn_random_summary *summary, mn_error *err) {
    creation c = {.model = model, .params = params, .summary = summary};
    *summary = (mn_random_summary){0};
    MN_TRY(check_shape(model, err));
    MN_TRY(count_vocab(vocab, &c.n_vocab, err));
    MN_TRY(mn_gguf_writer_create(&c.writer, err));
    mn_status status = write_model(&c, vocab, path, err);
    mn_gguf_writer_destroy(c.writer);
    return status;
}
