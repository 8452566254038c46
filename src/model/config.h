/* What a model is made of, read from its file's metadata: numbers only, no weights. */
#ifndef MN_MODEL_CONFIG_H
#define MN_MODEL_CONFIG_H

#include "recurrent/infini.h"
#include "mlp/router.h"
#include "model/gguf.h"
#include "position/position.h"

#include <stdbool.h>
#include <stdint.h>

enum { MN_ARCH_BYTES = 32, MN_MAX_LAYERS = 1024, MN_MAX_HEADS = 1024, MN_MAX_EXPERTS = 1024 };
/* No text is longer; windows beyond it are as good as it. */
#define MN_MAX_CTX_TOKENS (INT64_C(1) << 40)

typedef enum mn_norm_kind { MN_NORM_RMS, MN_NORM_LAYER } mn_norm_kind;
typedef enum mn_activation { MN_ACT_SILU, MN_ACT_GELU } mn_activation;
/* Which dimensions RoPE pairs: (2i, 2i+1), or (i, i + n_rot/2). */
typedef enum mn_rope_style { MN_ROPE_STYLE_NONE, MN_ROPE_INTERLEAVED, MN_ROPE_SPLIT } mn_rope_style;

/* Mixture of experts; router.n_experts 0 = dense. */
typedef struct mn_moe_config {
    mn_router router;   /* its selection_bias is the layer's, see mn_layer */
    int n_shared;       /* experts that always run */
    int n_ff;           /* of one expert */
    int n_dense_layers; /* leading layers that stay dense */
} mn_moe_config;

/* Multi-head latent attention (DeepSeek-V2); kv_rank 0 = the model has none. */
typedef struct mn_mla_config {
    int q_rank;               /* 0 = queries are not compressed */
    int kv_rank;              /* width of the cached latent */
    int n_nope, n_rot, v_dim; /* per head: unrotated and rotated part of a key, value */
} mn_mla_config;

/* Compressive memory of the `mnemo` architecture; segment 0 = none. */
typedef struct mn_infini_config {
    int64_t segment;
    mn_infini_rule rule;
    mn_infini_feature feature;
    float write_threshold;
} mn_infini_config;

/* What may differ from layer to layer: the file has a list for it, or one value for all. */
typedef struct mn_layer_shape {
    int n_heads, n_kv_heads, head_dim_k, head_dim_v;
    int n_ff;       /* of the dense MLP */
    int64_t window; /* sliding window, 0 = the layer sees all */
} mn_layer_shape;

typedef struct mn_config {
    char arch[MN_ARCH_BYTES];
    int n_layers, n_embd, n_vocab;
    int n_heads, n_kv_heads, head_dim_k, head_dim_v, n_ff; /* the most that any layer has */
    mn_layer_shape layers[MN_MAX_LAYERS];                  /* [n_layers] */
    bool has_empty_layers; /* layers may have no heads or no MLP; else the reader refuses them */
    int64_t n_ctx_train;
    mn_norm_kind norm;
    float norm_eps;
    mn_activation activation;
    float embedding_scale;                  /* multiplies token embeddings */
    float attention_scale;                  /* multiplies q.k */
    float attention_softcap, final_softcap; /* 0 = none */
    float clamp_qkv;                        /* 0 = none; values beyond are cut (MPT) */
    mn_rope_style rope_style;
    mn_rope_spec rope;          /* the file's; factor arrays are set when weights are bound */
    double rope_local_base;     /* 0, or the base of the windowed layers, which are never scaled (Gemma 3) */
    double yarn_log_multiplier; /* DeepSeek: YaRN's temperature goes into the attention scale */
    double max_alibi_bias;      /* 0 = no ALiBi */
    int64_t window;             /* sliding window of the windowed layers, 0 = none; `layers` tells which these are */
    int n_conv_taps;            /* 0 = no convolution on q and k */
    mn_moe_config moe;
    mn_mla_config mla;
    mn_infini_config infini;
} mn_config;

/* Keys shared by all families, then the family's own. Errors name the key and what would be right. */
mn_status mn_config_read(const mn_gguf *gguf, mn_config *out, mn_error *err);

/* Sliding window of a layer, 0 = it sees all. */
static inline int64_t mn_config_window(const mn_config *config, int layer) { return config->layers[layer].window; }

static inline bool mn_config_is_moe(const mn_config *config, int layer) {
    return config->moe.router.n_experts > 0 && layer >= config->moe.n_dense_layers;
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
/* expert_count and its kin. */
mn_status mn_config_moe(const mn_gguf *gguf, mn_config *config, mn_error *err);

#endif
