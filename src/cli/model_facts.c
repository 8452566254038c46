#include "cli/model_facts.h"

#include "base/checked.h"
#include "model/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *arch_key(char buf[160], const mn_model_facts *f, const char *suffix) {
    snprintf(buf, 160, "%.*s.%s", f->architecture.bytes < 64 ? (int)f->architecture.bytes : 64, f->architecture.data,
             suffix);
    return buf;
}

static mn_gguf_string get_string(const mn_gguf *gguf, const char *key) {
    mn_gguf_string value = {0};
    bool found;
    mn_gguf_get_string(gguf, key, &value, &found, NULL);
    return value;
}

static int64_t get_int(const mn_gguf *gguf, const mn_model_facts *f, const char *suffix) {
    char key[160];
    int64_t value = -1;
    bool found;
    mn_gguf_get_i64(gguf, arch_key(key, f, suffix), &value, &found, NULL);
    return value;
}

/* The same; of a list with one value for each layer the largest. */
static int64_t get_largest(const mn_gguf *gguf, const mn_model_facts *f, const char *suffix) {
    char key[160];
    const mn_gguf_kv *kv = mn_gguf_find(gguf, arch_key(key, f, suffix));
    int64_t largest = -1;
    int32_t *items;
    size_t n;
    bool found;
    if (!kv || kv->type != MN_GGUF_ARRAY) return get_int(gguf, f, suffix);
    if (mn_gguf_get_i32s(gguf, key, &items, &n, &found, NULL) != MN_OK) return -1;
    for (size_t i = 0; i < n; i++) largest = MN_MAX(largest, items[i]);
    free(items);
    return largest;
}

static double get_number(const mn_gguf *gguf, const mn_model_facts *f, const char *suffix) {
    char key[160];
    double value = 0;
    bool found;
    mn_gguf_get_f64(gguf, arch_key(key, f, suffix), &value, &found, NULL);
    return value;
}

static void read_shape(const mn_gguf *gguf, mn_model_facts *f) {
    const struct {
        int64_t *out;
        const char *suffix;
    } ints[] = {
        {&f->n_layers, "block_count"},
        {&f->n_embd, "embedding_length"},
        {&f->n_ff, "feed_forward_length"},
        {&f->n_heads, "attention.head_count"},
        {&f->n_kv_heads, "attention.head_count_kv"},
        {&f->head_dim_k, "attention.key_length"},
        {&f->head_dim_v, "attention.value_length"},
        {&f->n_vocab, "vocab_size"},
        {&f->n_ctx, "context_length"},
        {&f->n_experts, "expert_count"},
        {&f->n_experts_used, "expert_used_count"},
        {&f->rope_dims, "rope.dimension_count"},
        {&f->n_ctx_original, "rope.scaling.original_context_length"},
    };
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) *ints[i].out = get_largest(gguf, f, ints[i].suffix);
    bool divides = f->n_embd > 0 && f->n_heads > 0;
    if (f->head_dim_k < 0 && divides) f->head_dim_k = f->n_embd / f->n_heads;
    if (f->head_dim_v < 0 && divides) f->head_dim_v = f->n_embd / f->n_heads;
}

static void read_positions(const mn_gguf *gguf, mn_model_facts *f) {
    char key[160];
    f->rope_base = get_number(gguf, f, "rope.freq_base");
    f->rope_factor = get_number(gguf, f, "rope.scaling.factor");
    f->rope_scaling = get_string(gguf, arch_key(key, f, "rope.scaling.type"));
    f->rope_factors = mn_gguf_tensor(gguf, "rope_freqs.weight") || mn_gguf_tensor(gguf, "rope_factors_long.weight");
    f->learned_positions = mn_gguf_tensor(gguf, "position_embd.weight");
    f->alibi = get_number(gguf, f, "attention.max_alibi_bias") > 0 ||
               (f->architecture.bytes == 5 && !memcmp(f->architecture.data, "bloom", 5));
}

/* Files of architectures that rotate nothing may state a rope all the same: Kimi Linear's latent attention. */
static void drop_unused_rope(const mn_gguf *gguf, mn_model_facts *f) {
    mn_config config;
    mn_error ignored;
    if (mn_config_read(gguf, &config, &ignored) != MN_OK || mn_config_rotates(&config)) return;
    f->rope_base = f->rope_factor = 0;
    f->rope_dims = f->n_ctx_original = -1;
    f->rope_scaling = (mn_gguf_string){0};
    f->rope_factors = false;
    f->no_positions = !f->learned_positions && !f->alibi;
}

static void read_tokenizer(const mn_gguf *gguf, mn_model_facts *f) {
    const mn_gguf_kv *tokens = mn_gguf_find(gguf, "tokenizer.ggml.tokens");
    f->tokenizer = get_string(gguf, "tokenizer.ggml.model");
    f->tokenizer_pre = get_string(gguf, "tokenizer.ggml.pre");
    f->n_tokens = tokens && tokens->type == MN_GGUF_ARRAY ? (int64_t)tokens->n_items : -1;
    f->chat_template = get_string(gguf, "tokenizer.chat_template").data;
    f->ask_template = get_string(gguf, "mnemo.ask_template").data;
    f->expert_load = get_string(gguf, "training.expert_load");
}

static void count_tensors(const mn_gguf *gguf, mn_model_facts *f) {
    int64_t n_used = MN_MIN(f->n_experts_used, f->n_experts); /* a file may say anything */
    for (int64_t i = 0; i < mn_gguf_n_tensors(gguf); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(gguf, i);
        int64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        bool embedding = !strcmp(t->name, "token_embd.weight") || !strcmp(t->name, "output.weight");
        bool chosen = strstr(t->name, "_exps.") && f->n_experts > 0 && f->n_experts_used > 0;
        if (t->type == MN_I32) n = 0; /* a table has none */
        f->n_params += n;
        f->n_params_embedding += embedding ? n : 0;
        f->n_params_active += chosen ? n / f->n_experts * n_used : n;
        f->n_tensors[t->type]++;
        f->tensor_bytes[t->type] += t->bytes;
    }
}

void mn_model_facts_read(const mn_gguf *gguf, mn_model_facts *out) {
    *out = (mn_model_facts){0};
    out->architecture = get_string(gguf, "general.architecture");
    out->name = get_string(gguf, "general.name");
    read_shape(gguf, out);
    read_positions(gguf, out);
    drop_unused_rope(gguf, out);
    read_tokenizer(gguf, out);
    count_tensors(gguf, out);
}
