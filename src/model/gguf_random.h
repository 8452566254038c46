/* Random models: a file of the right shape with seeded random weights, where training, benches and tests start. */
#ifndef MN_MODEL_GGUF_RANDOM_H
#define MN_MODEL_GGUF_RANDOM_H

#include "model/gguf_precision.h"

enum { MN_RANDOM_MAX_LAYERS = 10000 };

typedef struct mn_random_model {
    const char *arch; /* one of mn_random_archs (random_family.h) */
    int64_t n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, n_ctx;
    int64_t n_experts, n_experts_used; /* 0 = dense */
    double rope_base;
    int64_t previous_token_heads; /* query heads of layer 0 that start as such (previous_token.h); llama, mnemo */
    bool sinks;                   /* attention sinks in every layer, which start at 0; mnemo */
    bool untied;                  /* an output matrix of its own; otherwise the token table serves as output too */
    uint64_t seed;
} mn_random_model;

typedef struct mn_random_summary {
    int64_t n_params, n_tensors;
    size_t bytes; /* of the tensors */
} mn_random_summary;

/* Writes the model to `path` with the tokenizer keys of `vocab`.
 *
 * Matrices [n_out, n_in] are drawn with mean 0 and standard deviation 1 / sqrt(n_in), so that every product of a normed
 * vector has variance 1; the two that write to the residual (attn_output, ffn_down) are divided by sqrt(2 n_layers)
 * more (Radford et al. 2019, section 2.3). Norms are 1, biases 0, mnemo's convolution taps pure delays. The draw is a
 * sum of four uniform numbers, which is bell-shaped and ends at 3.46 deviations. The same seed gives the same file on
 * any machine, at any number of threads; a tensor's values depend on its name and shape, not on the tensors beside it.
 * Holds one tensor in memory. Errors: shapes that do not divide, a vocab without tokens. */
mn_status mn_random_model_write(const mn_random_model *model, const mn_gguf *vocab, const char *path,
                                const mn_make_params *params, mn_random_summary *summary, mn_error *err);

#endif
