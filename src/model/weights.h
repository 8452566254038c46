/* The tensors of a model, found by name and checked by shape once, when the model is opened. */
#ifndef MN_MODEL_WEIGHTS_H
#define MN_MODEL_WEIGHTS_H

#include "attention/compressor.h"
#include "attention/types.h"
#include "base/arena.h"
#include "model/config.h"

/* A normalisation: weights and, for LayerNorm, shifts; w NULL = there is none. */
typedef struct mn_norm {
    const float *w, *b;
    float eps;    /* 0: the model's */
    bool by_head; /* weights of its own for each head, one after another; else all share them */
} mn_norm;

/* A low-rank addition to a matrix (Hu et al. 2021, arXiv:2106.09685): W + scale B A. */
typedef struct mn_lora {
    mn_tensor a; /* [rank, n_in] */
    mn_tensor b; /* [n_out, rank] */
    float scale;
    const struct mn_lora *next; /* of another adapter, or NULL */
} mn_lora;

/* out = W x + b (+ scale B A x of each adapter); a missing one has w.data NULL, b may be NULL. */
typedef struct mn_projection {
    mn_tensor w; /* [n_out, n_in] */
    const float *b;
    const mn_lora *lora; /* attached by mn_adapter_open; NULL: none */
} mn_projection;

/* Filters as the file holds them, [n_channels][n_taps], the last tap the row itself: columns [first, first +
 * n_channels) of a mixer's taps. */
typedef struct mn_taps_part {
    const float *w;
    int64_t first, n_channels;
} mn_taps_part;

/* What makes a recurrent mixer's inputs and outputs (config->mixer). */
typedef struct mn_mixer_weights {
    mn_projection in[3];            /* that make the channels of the convolution, one part after another */
    mn_projection gate, gate_out;   /* of the output: gate, or gate_out after a narrow gate */
    mn_projection decay, decay_out; /* the same, of d_t */
    mn_projection beta, beta_out, out;
    mn_projection beta_decay;       /* of each group of heads betas, then decays, in the place of the two */
    mn_projection v_mix, v_mix_out; /* rwkv7: the first layer's share in v */
    const float *mixes[2];          /* shares of the token before, [n][n_embd]: before the state; before the MLP */
    const float *k_k, *k_a, *r_k;   /* see recurrent/rwkv7.h */
    const float *taps, *taps_bias;  /* [n_taps][n_channels], tap 0 = the row itself: a copy of taps_parts */
    mn_taps_part taps_parts[3];
    int n_taps_parts;
    const float *a, *dt_bias, *d;     /* see recurrent/gated_delta.h, mamba2.h */
    mn_norm q_norm, k_norm, out_norm; /* out_norm by head or group */
} mn_mixer_weights;

/* What makes the numbers that a block's hyper-connections are made of, and what scales and shifts these. */
typedef struct mn_hyper_weights {
    mn_projection mixes; /* [mn_hyper_mixes, n_streams * n_embd]; of the model's end [n_streams, ..] */
    const float *scale, *base;
} mn_hyper_weights;

/* What makes compressed keys (attention/compressor.h). */
typedef struct mn_compressor_weights {
    mn_projection u, s; /* [width, n_embd]; missing: there are none */
    const float *ape;   /* [ratio, width] */
    mn_norm norm;
} mn_compressor_weights;

typedef struct mn_layer {
    mn_norm attn_norm, post_attn_norm, ffn_norm, post_ffn_norm; /* missing: there is none at that place */
    mn_projection q, k, v, o;
    mn_norm q_norm, k_norm; /* over head_dim, before rotation; or over all heads (norms_whole_qk) */
    mn_norm post_dense_norm, expert_norm, post_expert_norm; /* of experts beside a dense MLP; of their router's input */
    mn_norm router_norm;
    mn_projection layer_gate, layer_proj; /* of the layer's own embedding of the token */
    mn_norm layer_norm;
    float output_scale;      /* multiplies all that the layer gives; 1 = nothing */
    const float *sinks;      /* [n_heads]: a score that takes part in each head's softmax and has no value; or NULL */
    mn_projection attn_gate; /* [n_heads, n_embd]: its sigmoid multiplies each head's output */

    mn_projection gate, up, down;                   /* gate missing: an MLP without gate */
    mn_projection small_gate, small_up, small_down; /* the one for easy tokens */
    const float *easy, *easy_b;                     /* its router: [n_embd], [1] */
    mn_projection router;                           /* [n_experts, n_embd] */
    mn_projection latent_down, latent_up;           /* before and after experts that work on latents */
    mn_tensor expert_gate, expert_up, expert_down;  /* [n_experts][n_out][n_in] */
    const float *router_bias;                       /* [n_experts], for the choice only */
    const int32_t *experts_of_token;                /* [n_vocab, n_used] where the layer is hashed */
    const float *expert_gate_b, *expert_up_b, *expert_down_b, *expert_scale; /* see mn_experts */
    mn_projection shared_gate, shared_up, shared_down;                       /* experts that always run, as one MLP */
    mn_projection shared_router; /* [1, n_embd]: its output times the sigmoid of this */

    mn_projection q_a, q_b, kv_a; /* MLA: compression; without q_a, q makes the queries */
    mn_norm q_a_norm, kv_a_norm;
    mn_projection indexer_q, indexer_k, indexer_w; /* of q_a's latent; of the layer's input */
    mn_norm indexer_k_norm;                        /* a layer norm */
    mn_compressor_weights compressor, indexer_compressor;
    mn_projection *o_groups; /* [out_groups.n_groups], each [rank, its heads' outputs]; o projects all that they make */
    mn_hyper_weights hyper_attn, hyper_ffn;
    mn_tensor k_b, v_b; /* MLA: [n_heads][kv_rank][n_nope], [n_heads][v_dim][kv_rank] */

    bool gates_attention; /* q makes for each head a query and behind it a gate, whose sigmoid multiplies the output */
    mn_mixer_weights mixer;

    const float *q_conv, *k_conv; /* [channels][n_conv_taps] */
    const float *infini_gate;     /* [n_heads] */
    mn_projection infini_write;   /* [n_kv_heads, n_embd] */
    const float *infini_write_k;  /* [n_kv_heads][head_dim_k] */
} mn_layer;

/* What compresses a layer's keys, or those of its indexer. */
static inline mn_compressor mn_layer_compressor(const mn_config *c, const mn_layer *l, int layer, bool of_indexer) {
    const mn_layer_shape *shape = &c->layers[layer];
    return (mn_compressor){.ratio = shape->ratio,
                           .dim = of_indexer ? c->indexer.dim : shape->head_dim_k,
                           .overlaps = shape->overlaps,
                           .ape = l ? (of_indexer ? &l->indexer_compressor : &l->compressor)->ape : NULL};
}

static inline bool mn_layer_has_mlp(const mn_layer *l) { return l->up.w.data || l->expert_up.data; }

/* The up-projections of a layer with MLA. */
static inline mn_mla mn_layer_mla(const mn_config *c, const mn_layer *l) {
    return (mn_mla){l->k_b, l->v_b, c->mla.kv_rank, c->mla.n_nope, c->mla.n_rot, c->mla.v_dim};
}

typedef struct mn_weights {
    mn_tensor token_embd;     /* [n_vocab, n_embd] */
    mn_norm token_embd_norm;  /* Bloom */
    mn_tensor position_embd;  /* [n_ctx_train, n_embd], GPT-2 */
    const float *token_type;  /* [n_embd], added to every token's embedding, or NULL; BERT */
    mn_tensor layer_embd;     /* [n_vocab, n_layers * n_embd_layer]; Gemma 3n and 4 */
    mn_projection layer_proj; /* [n_layers * n_embd_layer, n_embd] */
    mn_norm layer_proj_norm;  /* over n_embd_layer */
    mn_norm output_norm;      /* encoders have none */
    mn_hyper_weights hyper;   /* the streams' sum before it */
    mn_projection output;     /* [n_vocab, n_embd]; the token table when the file has none */
    mn_layer *layers;
    bool *is_bound; /* [the file's tensors]: whether it stands anywhere here */
} mn_weights;

/* Looks up tensors. The first error stays, later calls do nothing: bind all, then look at `status`. */
typedef struct mn_binder {
    const mn_gguf *gguf;
    mn_arena *arena; /* vectors that the file holds in another type than f32, or unaligned, are copied here */
    bool *is_bound;  /* see mn_weights */
    int layer;       /* names get "blk.LAYER." before them; < 0 = as they are */
    mn_status status;
    mn_error *err;
    void (*list)(void *arg, const mn_tensor *shape, bool needed); /* lists tensors instead of finding them, or NULL */
    void *list_arg;
} mn_binder;

/* A matrix [n_out, n_in] with its optional bias ("NAME.weight", "NAME.bias"). */
void mn_bind_projection(mn_binder *b, const char *name, int64_t n_in, int64_t n_out, mn_projection *out);
/* The same where a file may lack it: w.data NULL. */
void mn_bind_projection_if(mn_binder *b, const char *name, int64_t n_in, int64_t n_out, mn_projection *out);
/* A stack of n matrices. */
void mn_bind_stack(mn_binder *b, const char *name, int64_t n_in, int64_t n_out, int64_t n, mn_tensor *out);
/* "NAME.weight" and, if there, "NAME.bias", each n floats. */
void mn_bind_norm(mn_binder *b, const char *name, int64_t n, mn_norm *out);
void mn_bind_norm_if(mn_binder *b, const char *name, int64_t n, mn_norm *out);
/* n floats under exactly this name, NULL when missing and not needed. */
const float *mn_bind_vector(mn_binder *b, const char *name, int64_t n, bool need);
/* The same of n1 rows of n0 floats, whatever dimensions of 1 the file adds or leaves out. */
const float *mn_bind_values(mn_binder *b, const char *name, int64_t n0, int64_t n1, bool need);
/* A matrix "NAME.weight" [n_out][n_in] small enough to be used as f32, needed. */
const float *mn_bind_matrix(mn_binder *b, const char *name, int64_t n_in, int64_t n_out);
/* A table "NAME.weight" of whole numbers, needed: n_rows rows of n different ones in [0, n_ids), a copy. */
const int32_t *mn_bind_table(mn_binder *b, const char *name, int64_t n, int64_t n_rows, int64_t n_ids);
/* Cuts rows [first, first + n) out of a bound matrix and its bias: fused q, k, v, and fused gate and up. */
mn_projection mn_projection_rows(const mn_projection *whole, int64_t first, int64_t n);

/* Parts that families share: norms before attention and MLP; q, k, v, o, apart or with "attn_qkv" in the place of
 * three; always fused; norms of each head's q and k, or of all heads' together; SwiGLU; with gate and up in one matrix;
 * what the layer has of dense MLP and experts. */
void mn_bind_norms(mn_binder *b, const mn_config *c, mn_layer *l);
void mn_bind_qk_norms(mn_binder *b, const mn_config *c, mn_layer *l);
void mn_bind_fused_swiglu(mn_binder *b, const mn_config *c, mn_layer *l);
void mn_bind_mlp(mn_binder *b, const mn_config *c, mn_layer *l);
void mn_bind_attention(mn_binder *b, const mn_config *c, mn_layer *l);
void mn_bind_fused_attention(mn_binder *b, const mn_config *c, mn_layer *l);
void mn_bind_swiglu(mn_binder *b, const mn_config *c, mn_layer *l);
void mn_bind_mla(mn_binder *b, const mn_config *c, mn_layer *l);
void mn_bind_experts(mn_binder *b, const mn_config *c, mn_layer *l);
/* "NAME_fn", "NAME_base" and "NAME_scale" of hyper-connections; n_mixes numbers, n_scales scales. */
void mn_bind_hyper(mn_binder *b, const mn_config *c, const char *name, int64_t n_mixes, int64_t n_scales,
                   mn_hyper_weights *out);

/* Names and shapes of all tensors that a model of this configuration has or may have (`needed` false), without any
 * being there; scratch memory from the arena. */
mn_status mn_weights_list(const mn_gguf *gguf, mn_config *config, mn_arena *arena,
                          void (*list)(void *arg, const mn_tensor *shape, bool needed), void *arg, mn_error *err);
/* Rows of the matrix "NAME.weight", where its width is nowhere else; 0 when it is missing. Where tensors are
 * listed, 32. */
int64_t mn_bind_n_out(const mn_binder *b, const char *name);
/* Recurrent mixers (weights_mixer.c). n floats in the model's arena; NULL with b->status set when memory ends. */
float *mn_bind_floats(mn_binder *b, int64_t n);
/* The filters of a causal convolution "NAME.weight", n_taps of each channel, the last tap the row itself, into columns
 * [first, first + n_channels) of the layer's taps, which the first call makes. */
void mn_bind_taps(mn_binder *b, const mn_config *c, const char *name, int64_t first, int64_t n_channels, mn_layer *l);
/* taps [n_taps, n_channels] as the file's filters are now, which a training moves. */
void mn_mixer_copy_taps(const mn_config *c, const mn_mixer_weights *w, float *taps);
/* The norm that makes a vector of n numbers x length / sqrt(sum x^2 + eps), the model's eps. */
void mn_bind_unit_norm(mn_binder *b, const mn_config *c, int64_t n, float length, mn_norm *out);
/* Rows [first, first + n) of every `period` rows, copied. */
void mn_bind_picked_rows(mn_binder *b, const mn_projection *whole, int64_t first, int64_t n, int64_t period,
                         mn_projection *out);
/* A Mamba-2 mixer: "ssm_in", "ssm_conv1d", "ssm_dt", "ssm_a", "ssm_d", "ssm_norm" where the layer has one, "ssm_out".
 */
void mn_bind_mamba2(mn_binder *b, const mn_config *c, mn_layer *l);

/* Binds everything. config->rope gets its factor arrays. Arena owns the copies; tensors point into the mapping. */
mn_status mn_weights_bind(const mn_gguf *gguf, mn_config *config, mn_arena *arena, mn_weights *out, mn_error *err);

#endif
