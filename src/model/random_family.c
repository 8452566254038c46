#include "model/random_family.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QKV_BIASES "attn_q.bias attn_k.bias attn_v.bias"

/* A state of head_dim x head_dim for each head. */
#define SSM                                                                                                            \
    "ssm.conv_kernel=4 ssm.state_size=head ssm.group_count=heads ssm.time_step_rank=heads ssm.inner_size=heads*head"

/* As wide as two of the residual stream, which Granite's must be. */
#define WIDE_SSM                                                                                                       \
    "ssm.conv_kernel=4 ssm.state_size=head ssm.group_count=1 ssm.time_step_rank=2*heads ssm.inner_size=2*embd"

#define MAMBA_COLUMNS "ssm_a:0 ssm_d:0"

static const mn_random_family families[] = {
    {"qwen2moe", "expert_shared_feed_forward_length=ff", QKV_BIASES " ffn_gate_inp_shexp.weight output.weight",
     .routed = true},
    {"qwen3moe", "", "", .routed = true},
    {"gemma2", "attention.sliding_window=4096", "", .routed = false},
    {"gemma3", "attention.sliding_window=1024", "attn_q_norm.weight attn_k_norm.weight", .routed = false},
    {"gemma4",
     "attention.sliding_window=512 attention.sliding_window_pattern=:6 rope.freq_base_swa=10000f "
     "attention.key_length_swa=head attention.value_length_swa=head embedding_length_per_layer_input=0 "
     "final_logit_softcapping=30f",
     "attn_v.weight layer_output_scale.weight rope_freqs.weight", .routed = false},
    {"phi3", "", "", .routed = false},
    {"gpt-oss", "attention.sliding_window=128",
     QKV_BIASES
     " attn_output.bias ffn_gate_inp.bias ffn_gate_exps.bias ffn_up_exps.bias ffn_down_exps.bias output.weight",
     .routed = true},
    {"glm4", "rope.dimension_count=head/2", QKV_BIASES, .routed = false},
    {"glm4moe",
     "rope.dimension_count=head/2 leading_dense_block_count=1 expert_shared_count=1 expert_gating_func=2 "
     "expert_weights_norm=true expert_weights_scale=1f",
     QKV_BIASES " exp_probs_b.bias", .routed = true},
    {"mistral3", "attention.temperature_scale=0.1f", "", .routed = false},
    {"smollm3", "", "", .routed = false},
    {"olmo2", "", "output.weight", .routed = false},
    {"exaone4", "", "", .routed = false},
    {"cohere2", "attention.sliding_window=4096 logit_scale=0.0625f", "", .layer_norm = true},
    {"llama4", "interleave_moe_layer_step=1", "", .routed = true},
    {"granite", "embedding_scale=12f residual_scale=0.22f logit_scale=8f", "", .routed = false},
    {"granitemoe", "embedding_scale=12f residual_scale=0.22f logit_scale=6f", "", .routed = true},
    {"minimax-m2", "rope.dimension_count=head/2 expert_gating_func=2", "exp_probs_b.bias output.weight",
     .routed = true},
    {"mimo2",
     "attention.sliding_window=128 attention.sliding_window_pattern=:4 rope.freq_base_swa=10000f "
     "rope.dimension_count=head/2 expert_gating_func=2",
     "attn_sinks.weight exp_probs_b.bias output.weight", .routed = true},
    {"step35",
     "attention.sliding_window=512 attention.sliding_window_pattern=:4 rope.freq_base_swa=10000f expert_gating_func=2 "
     "expert_weights_norm=true expert_shared_feed_forward_length=ff",
     "attn_gate.weight exp_probs_b.bias output.weight", .routed = true},
    {"starcoder2", "", "*.bias", .layer_norm = true},
    {"gpt2", "", "*.bias position_embd.weight", .layer_norm = true},
    {"bloom", "", "*.bias token_embd_norm.weight token_embd_norm.bias", .layer_norm = true},
    {"mpt", "attention.max_alibi_bias=8f", "", .layer_norm = true},
    {"deepseek2", "leading_dense_block_count=1 expert_shared_count=1 expert_weights_norm=true expert_gating_func=2",
     "exp_probs_b.bias", .routed = true, .latent = true},
    {"deepseek32",
     "leading_dense_block_count=1 expert_shared_count=1 expert_weights_norm=true expert_gating_func=2 "
     "attention.indexer.head_count=heads attention.indexer.key_length=64 attention.indexer.top_k=2048",
     "exp_probs_b.bias indexer.k_norm.weight indexer.k_norm.bias", .routed = true, .latent = true},
    {"glm-dsa",
     "leading_dense_block_count=1 expert_shared_count=1 expert_weights_norm=true expert_gating_func=2 "
     "attention.indexer.head_count=heads attention.indexer.key_length=64 attention.indexer.top_k=2048",
     "exp_probs_b.bias indexer.k_norm.weight indexer.k_norm.bias", .routed = true, .latent = true},
    {"deepseek4",
     "attention.head_count_kv=1 rope.dimension_count=head/2 attention.q_lora_rank=embd/4 attention.sliding_window=128 "
     "attention.output_group_count=2 attention.output_lora_rank=embd/4 attention.compress_ratios=%0/4/128 "
     "attention.compress_rope_freq_base=160000f attention.indexer.head_count=heads attention.indexer.key_length=head "
     "attention.indexer.top_k=512 hyper_connection.count=4 hyper_connection.sinkhorn_iterations=20 "
     "hyper_connection.epsilon=0.000001f hash_layer_count=1 expert_shared_count=1 expert_weights_norm=true "
     "expert_weights_scale=1.5f expert_gating_func=4 swiglu_clamp_exp=10f swiglu_clamp_shexp=10f",
     "exp_probs_b.bias output.weight", .routed = true},
    {"qwen35", "full_attention_interval=4 rope.dimension_sections=[pairs] " SSM, "", .routed = false},
    {"qwen35moe", "full_attention_interval=4 rope.dimension_sections=[pairs] expert_shared_feed_forward_length=ff " SSM,
     "ffn_gate_inp_shexp.weight", .routed = true},
    {"qwen3next", "full_attention_interval=4 expert_shared_feed_forward_length=ff " SSM,
     "ssm_ba.weight -ssm_beta.weight -ssm_alpha.weight ffn_gate_inp_shexp.weight", .routed = true},
    {"kimi-linear",
     "attention.head_count_kv=@4+3:1 attention.q_lora_rank=0 kda.head_dim=head ssm.conv_kernel=4 "
     "leading_dense_block_count=1 "
     "expert_shared_count=1 expert_weights_norm=true expert_gating_func=2 expert_weights_scale=1f",
     "exp_probs_b.bias output.weight",
     .ones = "ssm_a:0 ssm_conv1d_q.weight:1 ssm_conv1d_k.weight:1 ssm_conv1d_v.weight:1", .routed = true,
     .latent = true},
    {"nemotron_h", "attention.head_count_kv=@4+3:kv feed_forward_length=@4+1:ff " SSM,
     "ssm_norm.weight ssm_conv1d.bias", .ones = MAMBA_COLUMNS, .routed = false},
    {"nemotron_h_moe",
     "attention.head_count_kv=@4+3:kv feed_forward_length=@4+1:ff expert_shared_feed_forward_length=ff "
     "expert_shared_count=1 expert_weights_norm=true expert_weights_scale=1f " SSM,
     "ssm_norm.weight ssm_conv1d.bias exp_probs_b.bias", .ones = MAMBA_COLUMNS, .routed = true},
    {"granitehybrid",
     "attention.head_count_kv=@4+3:kv embedding_scale=12f residual_scale=0.22f logit_scale=6f "
     "expert_shared_feed_forward_length=ff " WIDE_SSM,
     "ssm_norm.weight ssm_conv1d.bias", .ones = MAMBA_COLUMNS, .routed = true},
    {"lfm2", "attention.head_count_kv=@4+3:kv shortconv.l_cache=3", "", .routed = false},
    {"lfm2moe", "attention.head_count_kv=@4+3:kv shortconv.l_cache=3 leading_dense_block_count=1 expert_gating_func=2",
     "exp_probs_b.bias", .routed = true},
    {"mamba2", SSM, "ssm_norm.weight ssm_conv1d.bias", .ones = MAMBA_COLUMNS, .routed = false},
    {"falcon-h1", SSM, "ssm_norm.weight ssm_conv1d.bias ffn_norm -ffn_norm.weight", .ones = MAMBA_COLUMNS,
     .routed = false},
    {"bert", "pooling_type=1",
     "*.bias position_embd.weight token_embd_norm.weight token_embd_norm.bias token_types.weight", .layer_norm = true},
    {"nomic-bert", "pooling_type=1",
     "token_embd_norm.weight token_embd_norm.bias attn_output_norm.bias layer_output_norm.bias token_types.weight",
     .layer_norm = true},
    {"rwkv7",
     "wkv.head_size=head token_shift_count=2 attention.decay_lora_rank=32 attention.iclr_lora_rank=32 "
     "attention.value_residual_mix_lora_rank=32 attention.gate_lora_rank=32",
     "output.weight output_norm.bias token_embd_norm.weight token_embd_norm.bias attn_norm.bias attn_norm_2.bias "
     "time_mix_ln.bias time_mix_w0.weight time_mix_a0.weight time_mix_v0.weight",
     .ones = "time_mix_lerp_fused.weight:1 time_mix_lerp_fused.weight:1", .layer_norm = true},
};
enum { N_FAMILIES = sizeof families / sizeof *families };

const mn_random_family *mn_random_family_find(const char *arch) {
    for (int i = 0; i < N_FAMILIES; i++)
        if (!strcmp(families[i].arch, arch)) return &families[i];
    return NULL;
}

const char *mn_random_archs(void) {
    return "llama mnemo qwen2 qwen3 qwen2moe qwen3moe gemma2 gemma3 gemma4 phi3 gpt-oss glm4 glm4moe mistral3 smollm3 "
           "olmo2 exaone4 cohere2 llama4 granite granitemoe minimax-m2 mimo2 step35 starcoder2 gpt2 bloom mpt "
           "deepseek2 deepseek32 glm-dsa deepseek4 qwen35 qwen35moe qwen3next kimi-linear mamba2 falcon-h1 nemotron_h "
           "nemotron_h_moe granitehybrid lfm2 lfm2moe rwkv7 bert nomic-bert";
}

/* Every window's list: windowed but for the last of each `period` layers. */
static void put_periods(mn_gguf_writer *writer, const char *key, int period, int64_t n_layers) {
    uint8_t items[MN_RANDOM_MAX_LAYERS];
    for (int64_t i = 0; i < n_layers; i++) items[i] = i % period < period - 1;
    mn_gguf_put_kv(writer, &(mn_gguf_kv){.key = {key, strlen(key)},
                                         .type = MN_GGUF_ARRAY,
                                         .item_type = MN_GGUF_BOOL,
                                         .n_items = (uint64_t)n_layers,
                                         .data = items,
                                         .bytes = (size_t)n_layers,
                                         .length_bytes = sizeof(uint64_t)});
}

static int64_t whole_number(const mn_random_model *m, const char *value) {
    if (!strcmp(value, "ff")) return m->n_ff;
    if (!strcmp(value, "kv")) return m->n_kv_heads;
    if (!strcmp(value, "head")) return m->head_dim;
    if (!strcmp(value, "heads")) return m->n_heads;
    if (!strcmp(value, "heads*head")) return m->n_heads * m->head_dim;
    if (!strcmp(value, "2*heads")) return 2 * m->n_heads;
    if (!strcmp(value, "2*embd")) return 2 * m->n_embd;
    if (!strcmp(value, "embd/4")) return MN_MAX(m->n_embd / 4, 8);
    if (!strcmp(value, "head/2")) return m->head_dim / 4 * 2;
    return strtoll(value, NULL, 10);
}

/* "@4+3:kv": a number for layer 3 of every four, 0 for the others. */
static void put_some_layers(const mn_random_model *m, mn_gguf_writer *writer, const char *key, const char *value) {
    int32_t items[MN_RANDOM_MAX_LAYERS];
    int64_t period = value[1] - '0', which = value[3] - '0', number = whole_number(m, value + 5);
    for (int64_t i = 0; i < m->n_layers; i++) items[i] = i % period == which ? (int32_t)number : 0;
    mn_gguf_put_i32s(writer, key, items, m->n_layers);
}

/* "%0/4/128": these numbers, layer after layer, again and again. */
static void put_cycle(const mn_random_model *m, mn_gguf_writer *writer, const char *key, const char *value) {
    int32_t items[MN_RANDOM_MAX_LAYERS];
    char *at = (char *)value;
    for (int64_t i = 0; i < m->n_layers; i++) {
        if (*at == 0) at = (char *)value;
        items[i] = (int32_t)strtol(at + 1, &at, 10);
    }
    mn_gguf_put_i32s(writer, key, items, m->n_layers);
}

/* "[pairs]": the pairs of a head that each of three positions of a picture turns, and a fourth none. */
static void put_sections(const mn_random_model *m, mn_gguf_writer *writer, const char *key) {
    int32_t n_pairs = (int32_t)(m->head_dim / 2);
    mn_gguf_put_i32s(writer, key, (int32_t[4]){(n_pairs + 2) / 3, (n_pairs + 1) / 3, n_pairs / 3, 0}, 4);
}

static void put_key(const mn_random_model *m, mn_gguf_writer *writer, const char *suffix, const char *value) {
    char key[128], *end;
    snprintf(key, sizeof key, "%s.%s", m->arch, suffix);
    double number = strtod(value, &end);
    if (!strcmp(value, "true"))
        mn_gguf_put_bool(writer, key, true);
    else if (value[0] == '[')
        put_sections(m, writer, key);
    else if (value[0] == '%')
        put_cycle(m, writer, key, value);
    else if (value[0] == '@')
        put_some_layers(m, writer, key, value);
    else if (value[0] == ':')
        put_periods(writer, key, atoi(value + 1), m->n_layers);
    else if (end > value && *end == 'f')
        mn_gguf_put_f32(writer, key, (float)number);
    else
        mn_gguf_put_u32(writer, key, (uint32_t)whole_number(m, value));
}

bool mn_random_family_has(const mn_random_family *family, const char *suffix) {
    size_t length = strlen(suffix);
    for (const char *at = family->keys; (at = strstr(at, suffix)); at += length)
        if ((at == family->keys || at[-1] == ' ') && at[length] == '=') return true;
    return false;
}

/* Half of a head is rotated; ranks are an eighth and a quarter of the width. */
static void put_latent(const mn_random_family *family, const mn_random_model *m, mn_gguf_writer *writer) {
    uint32_t n_rot = (uint32_t)(m->head_dim / 4 * 2), rank = (uint32_t)MN_MAX(m->n_embd / 8, 16);
    const struct {
        const char *suffix;
        uint32_t value;
    } keys[] = {{"attention.head_count_kv", 1},
                {"attention.key_length", rank + n_rot},
                {"attention.value_length", rank},
                {"attention.key_length_mla", (uint32_t)m->head_dim},
                {"attention.value_length_mla", (uint32_t)m->head_dim},
                {"attention.kv_lora_rank", rank},
                {"attention.q_lora_rank", 2 * rank},
                {"rope.dimension_count", n_rot}};
    char key[96];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (mn_random_family_has(family, keys[i].suffix)) continue;
        snprintf(key, sizeof key, "%s.%s", m->arch, keys[i].suffix);
        mn_gguf_put_u32(writer, key, keys[i].value);
    }
}

void mn_random_family_put(const mn_random_family *family, const mn_random_model *m, mn_gguf_writer *writer) {
    char pair[128];
    if (family->latent) put_latent(family, m, writer);
    for (const char *at = family->keys; *at; at += strspn(at, " ")) {
        size_t bytes = strcspn(at, " ");
        snprintf(pair, sizeof pair, "%.*s", (int)bytes, at);
        char *value = strchr(pair, '=');
        *value++ = 0;
        put_key(m, writer, pair, value);
        at += bytes;
    }
    if (!family->routed) return;
    put_key(m, writer, "expert_feed_forward_length", "ff");
}

static bool ends_with(const char *text, const char *end, size_t bytes) {
    size_t length = strlen(text);
    return length >= bytes && !memcmp(text + length - bytes, end, bytes);
}

bool mn_random_family_wants(const mn_random_family *family, const char *tensor, bool needed) {
    bool in_layer = !strncmp(tensor, "blk.", 4) || !strncmp(tensor, "output_norm", 11); /* where * counts */
    bool wanted = needed;
    for (const char *at = family->tensors; *at; at += strspn(at, " ")) {
        size_t bytes = strcspn(at, " "), skip = *at == '*' || *at == '-';
        if ((*at != '*' || in_layer) && ends_with(tensor, at + skip, bytes - skip)) wanted = *at != '-';
        at += bytes;
    }
    return wanted;
}

void mn_random_family_shape(const mn_random_family *family, mn_tensor *t) {
    for (const char *at = family->ones; at && *at; at += strspn(at, " ")) {
        size_t bytes = strcspn(at, ":");
        int axis = at[bytes + 1] - '0';
        if (ends_with(t->name, at, bytes) && t->n_dims < MN_MAX_DIMS) {
            for (int i = t->n_dims++; i > axis; i--) t->ne[i] = t->ne[i - 1];
            t->ne[axis] = 1;
        }
        at += bytes + 2;
    }
}
