/* What a model is made of, read from its file's metadata: numbers only, no weights. */
#ifndef MN_MODEL_CONFIG_H
#define MN_MODEL_CONFIG_H

#include "mlp/activation.h"
#include "mlp/router.h"
#include "model/gguf.h"
#include "model/hyper_connections.h"
#include "model/segments.h"
#include "position/position.h"
#include "recurrent/infini.h"

#include <stdbool.h>
#include <stdint.h>

enum { MN_ARCH_BYTES = 32, MN_MAX_LAYERS = 1024, MN_MAX_HEADS = 1024, MN_MAX_EXPERTS = 1024 };
/* No text is longer; windows beyond it are as good as it. */
#define MN_MAX_CTX_TOKENS (INT64_C(1) << 40)

typedef enum mn_norm_kind { MN_NORM_RMS, MN_NORM_LAYER } mn_norm_kind;
/* Which dimensions RoPE pairs: (2i, 2i+1), or (i, i + n_rot/2). */
typedef enum mn_rope_style { MN_ROPE_STYLE_NONE, MN_ROPE_INTERLEAVED, MN_ROPE_SPLIT } mn_rope_style;

/* Which of the model's frequencies a layer rotates q and k by: its own; those of the local layers; none (NoPE). */
typedef enum mn_layer_rope { MN_LAYER_ROPE, MN_LAYER_ROPE_LOCAL, MN_LAYER_NOPE } mn_layer_rope;

/* Mixture of experts; router.n_experts 0 = dense. Which layers have one: mn_layer_shape. */
typedef struct mn_moe_config {
    mn_router router;   /* its selection_bias is the layer's, see mn_layer */
    int n_ff;           /* of one expert */
    int n_latent;       /* experts work on so many numbers, made of the layer's input and projected back; 0 = on it */
    int n_ff_shared;    /* of the expert that always runs, 0 = there is none */
    bool weighs_input;  /* an expert's weight multiplies its input instead of its output (Llama 4) */
    bool beside_dense;  /* the dense MLP runs too, each with norms of its own (Gemma 4): */
    float router_scale; /* multiplies what the router looks at, which is normalised */
} mn_moe_config;

/* Attention's temperature by position: q of token t is multiplied by 1 + scale ln(floor((t + first) / tokens) + 1), in
 * the layers that ask for it (Nakanishi 2025, arXiv:2501.19399, as Llama 4 and Ministral 3 have it). */
typedef struct mn_temper {
    double scale;
    int64_t tokens, first;
} mn_temper;

/* Multi-head latent attention (DeepSeek-V2); kv_rank 0 = the model has none. */
typedef struct mn_mla_config {
    int q_rank;               /* 0 = queries are not compressed */
    int kv_rank;              /* width of the cached latent */
    int n_nope, n_rot, v_dim; /* per head: unrotated and rotated part of a key, value */
    float norm_eps;           /* of the latent's norm, 0 = the model's */
} mn_mla_config;

/* Learned sparse attention (attention/indexer.h); top_k 0 = the model has none. */
typedef struct mn_indexer_config {
    int n_heads, dim;
    int64_t top_k;
    mn_rope_style rope_style; /* of its first dimensions, as many as the model rotates */
} mn_indexer_config;

/* Layers that leave compressed keys behind (attention/compressor.h) do so at one of these rates: 0 from the first
 * unused one on. */
enum { MN_MAX_RATES = 2 };

/* Attention's output goes through a thin matrix for each group of heads before o (DeepSeek-V4); n_groups 0 = none. */
typedef struct mn_out_groups {
    int n_groups, rank;
} mn_out_groups;

/* Compressive memory of the `mnemo` architecture; segment 0 = none. */
typedef struct mn_infini_config {
    int64_t segment;
    mn_infini_rule rule;
    mn_infini_feature feature;
    float write_threshold;
    mn_segment_mark mark; /* of delta-exact alone */
} mn_infini_config;

/* What layers that keep a recurrent state do with it (src/recurrent/), in the place of attention or beside it. */
typedef enum mn_mixer_kind {
    MN_MIXER_NONE,
    MN_MIXER_GATED_DELTA, /* gated delta rule, one decay for each head or for each of its channels (KDA) */
    MN_MIXER_MAMBA2,
    MN_MIXER_SHORT_CONV, /* a gated convolution alone (LFM2) */
    MN_MIXER_RWKV7
} mn_mixer_kind;

/* Mixtures with the token before that RWKV-7 makes of a layer's input: for r, w, k, v, a, g. */
enum { MN_RWKV7_MIXES = 6 };

/* What a gate is put through before it multiplies; nothing. */
typedef enum mn_gate { MN_GATE_SILU, MN_GATE_SIGMOID, MN_GATE_TANH, MN_GATE_PLAIN } mn_gate;

/* One shape for all layers of a model that have a mixer. Each head's state is a matrix [k_dim, v_dim]. */
typedef struct mn_mixer_config {
    mn_mixer_kind kind;
    int n_taps, n_channels; /* of the causal convolution before the state; rwkv7: 2 and n_embd, its token shifts */
    int n_heads;            /* states; 0: the convolution is all */
    int n_k_heads;          /* heads of q and k (delta), groups of B and C (mamba2) */
    int k_dim, v_dim;
    bool tiled;            /* head h goes with key head h % n_k_heads; else neighbours share one */
    bool decays_channels;  /* each key channel has a decay of its own */
    mn_gate gate;          /* of the gate on the output */
    bool gates_after_norm; /* the gate multiplies what was normalised; else what is to be */
} mn_mixer_config;

/* How the states of a text's tokens become one vector: as the file's pooling_type numbers them. */
typedef enum mn_state_pooling {
    MN_STATES_NONE,
    MN_STATES_MEAN,
    MN_STATES_FIRST,
    MN_STATES_LAST,
    MN_STATES_RANK
} mn_state_pooling;

/* What may differ from layer to layer: the file has a list for it, or one value for all. */
typedef struct mn_layer_shape {
    int n_heads, n_kv_heads, head_dim_k, head_dim_v;
    int n_ff;       /* of the dense MLP */
    int n_ff_small; /* of the one beside it for easy tokens (mlp/easy.h), 0 = there is none */
    int64_t window; /* sliding window, 0 = the layer sees all */
    int64_t chunk;  /* tokens see only their chunk of so many, 0 = all */
    mn_layer_rope rope;
    int ratio;          /* tokens whose keys become one compressed key, which stays in sight; 0 = there are none */
    bool overlaps;      /* a compressed key is of the tokens before its own, too */
    bool is_hashed;     /* a table says which experts a token goes to (mlp/hash_layer.h) */
    bool has_indexer;   /* it chooses keys for itself and for the layers behind it that have none */
    bool is_moe;        /* routed experts in the place of the dense MLP */
    bool is_tempered;   /* q is multiplied by mn_config.temper */
    bool norms_rotated; /* q and k of each head are normalised, without weights, after the rotation */
    int kv_layer;       /* whose KV cache it attends to; another's: it has no keys and values (Gemma 4) */
    float limit_dense, limit_experts; /* of the activation in the dense or shared MLP, in experts; 0 = none */
    bool has_mixer;                   /* config->mixer; n_heads 0: in the place of attention */
    int mixer;                        /* such layers before this one */
} mn_layer_shape;

typedef struct mn_config {
    char arch[MN_ARCH_BYTES];
    int n_layers, n_embd, n_vocab;
    int n_heads, n_kv_heads, head_dim_k, head_dim_v, n_ff; /* the most that any layer has */
    mn_layer_shape layers[MN_MAX_LAYERS];                  /* [n_layers] */
    bool ends_in_embd_norm;                                /* the last norm is the tensor token_embd_norm (LFM2) */
    bool has_empty_layers; /* layers may have no heads or no MLP; else the reader refuses them */
    int64_t n_ctx_train;
    mn_norm_kind norm;
    float norm_eps;
    mn_activation activation;
    bool parallel;            /* x += attention(h) + mlp(h), h = norm(x), in the place of one by one */
    bool is_encoder;          /* a token sees those behind it too: a text is one slice, and its states are the result */
    bool norms_sums;          /* post norms are of the residual stream after the sum, not of what is added */
    mn_state_pooling pooling; /* what vectors of texts were trained with; NONE = the file does not say */
    bool norms_whole_qk;      /* q_norm and k_norm are over all heads together */
    bool norms_v;             /* v of each head is normalised, without weights */
    bool shares_k_v;          /* keys are the values too, rotation and all, which is taken back from what they give */
    int rates[MN_MAX_RATES];
    mn_out_groups out_groups;
    mn_hyper_config hyper;
    int n_embd_layer;          /* width of the embedding that each layer has of a token, 0 = none (Gemma 3n) */
    float embedding_scale;     /* multiplies token embeddings */
    float residual_scale;      /* multiplies what attention and MLP add */
    float attention_out_scale; /* multiplies what attention adds */
    float logit_scale;         /* multiplies logits */
    float attention_scale;     /* multiplies q.k */
    float attention_softcap, final_softcap; /* 0 = none */
    float clamp_qkv;                        /* 0 = none; values beyond are cut (MPT) */
    mn_rope_style rope_style;
    mn_rope_spec rope;       /* the file's; factor arrays are set when weights are bound */
    mn_rope_spec rope_local; /* of the local layers, whatever a session asks for; freq_base 0 = there are none */
    mn_temper temper;
    double yarn_log_multiplier; /* DeepSeek: YaRN's temperature goes into the attention scale */
    double max_alibi_bias;      /* 0 = no ALiBi */
    int64_t window;             /* sliding window of the windowed layers, 0 = none; `layers` tells which these are */
    int n_conv_taps;            /* 0 = no convolution on q and k */
    mn_moe_config moe;
    float easy_threshold; /* of the routers to small MLPs, unless a session asks for another */
    mn_mla_config mla;
    bool temperature_in_scores; /* YaRN's temperature multiplies scores, not cos and sin (DeepSeek V2, V3) */
    mn_indexer_config indexer;
    mn_infini_config infini;
    mn_mixer_config mixer;
} mn_config;

/* The most keys that a token of a layer can see, 0 = all. */
static inline int64_t mn_config_sight(const mn_config *config, int layer) {
    const mn_layer_shape *l = &config->layers[layer];
    return l->window == 0 || (l->chunk > 0 && l->chunk < l->window) ? l->chunk : l->window;
}

/* Whether positions turn queries and keys: only then is there a scaling of positions. n_rot is of the file, which may
 * name dimensions that nothing turns. */
static inline bool mn_config_rotates(const mn_config *config) { return config->rope_style != MN_ROPE_STYLE_NONE; }

/* Whether distances in a layer grow with the text: rotated, and neither a window nor a chunk bounds them. */
static inline bool mn_config_is_unbounded(const mn_config *config, int layer) {
    return mn_config_sight(config, layer) == 0 && config->layers[layer].rope != MN_LAYER_NOPE;
}

/* Whether layers leave compressed keys behind. */
static inline bool mn_config_compresses(const mn_config *config) { return config->rates[0] > 0; }

/* The index in config->rates of a layer that does. */
static inline int mn_config_rate(const mn_config *config, int layer) {
    return config->rates[0] == config->layers[layer].ratio ? 0 : 1;
}

/* Whether a layer makes keys and values, for its own cache. */
static inline bool mn_config_has_kv(const mn_config *config, int layer) {
    return config->layers[layer].n_kv_heads > 0 && config->layers[layer].kv_layer == layer;
}

/* Keys shared by all families, then the family's own. Errors name the key and what would be right. */
mn_status mn_config_read(const mn_gguf *gguf, mn_config *out, mn_error *err);

/* Sliding window of a layer, 0 = it sees all. */
static inline int64_t mn_config_window(const mn_config *config, int layer) { return config->layers[layer].window; }

/* Whether a layer attends to keys of earlier tokens. */
static inline bool mn_config_attends(const mn_config *config, int layer) { return config->layers[layer].n_heads > 0; }

/* Layers that keep a recurrent state of the model's own. */
static inline int mn_config_n_mixers(const mn_config *config) {
    const mn_layer_shape *last = &config->layers[config->n_layers - 1];
    return last->mixer + last->has_mixer;
}

static inline bool mn_config_is_moe(const mn_config *config, int layer) { return config->layers[layer].is_moe; }

/* Whether any layer has a small MLP for easy tokens. */
static inline bool mn_config_has_easy(const mn_config *config) {
    for (int i = 0; i < config->n_layers; i++)
        if (config->layers[i].n_ff_small) return true;
    return false;
}

/* Typed reads of "ARCH.SUFFIX" for the families (config_get.c). Spellings of several converters stand side by side,
 * "rope.freq_base|rope.global.freq_base", and the first that is there counts. A missing key leaves *out as it is;
 * `need` makes it an error. Values outside lo..hi are errors; floats are from 0 up. */
mn_status mn_config_int(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, int64_t lo, int64_t hi,
                        int *out, mn_error *err);
mn_status mn_config_i64(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, int64_t lo, int64_t hi,
                        int64_t *out, mn_error *err);
mn_status mn_config_float(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, float *out,
                          mn_error *err);
mn_status mn_config_bool(const mn_gguf *gguf, const char *arch, const char *suffix, bool *out, mn_error *err);
bool mn_config_has(const mn_gguf *gguf, const char *arch, const char *suffix);
/* A number that may be below 0. */
mn_status mn_config_number(const mn_gguf *gguf, const char *arch, const char *suffix, double lo, double hi, double *out,
                           bool *found, mn_error *err);
/* A number of tokens from lo up, at most MN_MAX_CTX_TOKENS. */
mn_status mn_config_tokens(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, int64_t lo,
                           int64_t *out, mn_error *err);
/* A text, cut to fit. */
mn_status mn_config_text(const mn_gguf *gguf, const char *arch, const char *suffix, char *out, size_t out_bytes,
                         bool *found, mn_error *err);
/* A number for each of config->n_layers layers: a list of so many, or one for all. */
mn_status mn_config_ints(const mn_gguf *gguf, const mn_config *config, const char *suffix, bool need, int64_t lo,
                         int64_t hi, int *out, mn_error *err);
/* Fills the windows of all layers from attention.sliding_window (missing: `window`) and its pattern, which is a list of
 * the windowed layers or a period: layer i is windowed unless i % period == period - 1; 0: all are. */
mn_status mn_config_windows(const mn_gguf *gguf, mn_config *config, int64_t window, int period, mn_error *err);
/* Experts are where a layer's router is in the file, whatever else is known. */
void mn_config_find_moe(const mn_gguf *gguf, mn_config *config);
/* A number for each layer, from 0 up: a list, or one for all; *out stays where the key is missing. */
mn_status mn_config_floats(const mn_gguf *gguf, const mn_config *config, const char *suffix, float *out, mn_error *err);
/* Leaves out the last nextn_predict_layers blocks, which guess further tokens. After all lists were read. */
mn_status mn_config_drop_nextn(const mn_gguf *gguf, mn_config *config, mn_error *err);
/* rope.scaling.yarn_log_multiplier, times `unit` = m: cos and sin are multiplied by (1 + 0.1 ln s) / (1 + 0.1 m ln s).
 */
mn_status mn_config_yarn_magnitude(const mn_gguf *gguf, mn_config *config, double unit, mn_error *err);
/* The width of the expert that always runs: expert_shared_feed_forward_length, or as many times n_ff as
 * expert_shared_count says; `count` of them where the file says neither. */
mn_status mn_config_shared_expert(const mn_gguf *gguf, mn_config *config, int count, mn_error *err);
/* expert_count and its kin; all layers but leading_dense_block_count have experts. The key expert_gating_func, where
 * the file has it, counts more than `gating`. */
mn_status mn_config_moe(const mn_gguf *gguf, mn_config *config, mn_gating gating, mn_error *err);
/* Latent attention: config->mla and the heads of layers that attend, from attention.kv_lora_rank and its kin
 * (deepseek2.c). */
mn_status mn_config_mla(const mn_gguf *gguf, mn_config *config, mn_error *err);
/* config->indexer from attention.indexer.head_count, .key_length and .top_k (deepseek32.c). */
mn_status mn_config_indexer(const mn_gguf *gguf, mn_config *config, mn_error *err);
/* The limits of activations in each layer, from swiglu_clamp_exp and swiglu_clamp_shexp (step35.c). */
mn_status mn_config_limits(const mn_gguf *gguf, mn_config *config, mn_error *err);
/* config->mixer from ssm.conv_kernel, .state_size, .group_count, .time_step_rank and .inner_size (config_mixer.c):
 * heads, groups and taps; n_channels is left to the kind. */
mn_status mn_config_ssm(const mn_gguf *gguf, mn_config *config, mn_error *err);
/* The same for Mamba-2, with its channels. */
mn_status mn_config_mamba2(const mn_gguf *gguf, mn_config *config, mn_error *err);
/* Layers without key heads have the mixer in the place of attention (attention.head_count_kv). */
void mn_config_mix_headless(mn_config *config);
/* All layers have it, and none attends, whatever heads the file names. */
void mn_config_mix_only(mn_config *config);
/* The windowed layers get frequencies of their own: those of base, or of rope.freq_base_swa where the file has it,
 * without scaling; 0 and no key: they have none. */
mn_status mn_config_local_rope(const mn_gguf *gguf, mn_config *config, double base, mn_error *err);

#endif
