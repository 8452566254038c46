/* What a model file says of itself, read leniently: a fact that is missing or of another type is just not there. */
#ifndef MN_CLI_MODEL_FACTS_H
#define MN_CLI_MODEL_FACTS_H

#include "model/gguf.h"

/* Integers: -1 = not stated. Strings: data NULL = not stated; they point into the file. */
typedef struct mn_model_facts {
    mn_gguf_string architecture, name, rope_scaling, tokenizer, tokenizer_pre;
    int64_t n_layers, n_embd, n_ff, n_heads, n_kv_heads, head_dim_k, head_dim_v, n_vocab, n_tokens, n_ctx;
    int64_t n_ctx_original, n_experts, n_experts_used, rope_dims;
    double rope_base, rope_factor; /* 0 = not stated */
    bool rope_factors;             /* frequency factors as a tensor (Llama 3, LongRoPE) */
    mn_gguf_string expert_load;    /* of the last step of the training, see train/trainer.c */
    bool learned_positions, alibi, chat_template, ask_template;
    bool no_positions; /* the architecture rotates nothing, whatever its keys say, and has no other positions */
    int64_t n_params, n_params_embedding; /* all; token table and output */
    int64_t n_params_active;              /* used for one token: all but the experts not chosen */
    int64_t n_tensors[MN_DTYPE_COUNT];
    size_t tensor_bytes[MN_DTYPE_COUNT];
} mn_model_facts;

/* Cost: the header. Strings are borrowed from the file. */
void mn_model_facts_read(const mn_gguf *gguf, mn_model_facts *out);

#endif
