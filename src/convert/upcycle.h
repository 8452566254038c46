/* A dense model turned into one with experts (sparse upcycling, Komatsuzaki et al. 2022, arXiv:2212.05055): each MLP is
 * copied to N experts, each with noise of its own, and a router that begins at random chooses K of them for a token.
 *
 *   expert_e = w + noise rms(row of w) n,   n normal        router: normal of deviation 0.02
 *
 * The weights of the K chosen are made to sum to 1, so that without noise the model computes what it computed before,
 * whatever the router says; noise and training make the experts differ. The gate is a softmax, as in Mixtral, or
 * DeepSeek-V3's sigmoid with a bias for each expert in the choice alone, which a rule moves in training
 * (mlp/router_backward.h).
 *
 * llama stays llama, and qwen3 becomes qwen3moe, which other engines read; mnemo stays mnemo, which they do not. In the
 * other architectures a file with experts means something else, or nothing.
 */
#ifndef MN_CONVERT_UPCYCLE_H
#define MN_CONVERT_UPCYCLE_H

#include "base/technique.h"
#include "model/model.h"

typedef struct mn_upcycle_wish {
    int n_experts, n_used;
    bool biased; /* DeepSeek-V3's gate */
    double noise;
    uint64_t seed;
    mn_dtype type; /* of the weights written; MN_DTYPE_COUNT: as they are */
} mn_upcycle_wish;

/* "8,2", or "8,2,bias": n_experts, n_used and biased alone. MN_ERR_ARGUMENT. */
mn_status mn_upcycle_parse(const char *text, mn_upcycle_wish *out, mn_error *err);

/* Writes the model to `path`. Holds one stack of experts in memory. The same seed gives the same file. Errors: an
 * architecture or MLPs that cannot have experts, with the reason. */
mn_status mn_upcycle_write(const mn_model *model, const mn_upcycle_wish *wish, const char *path, mn_error *err);

extern const mn_technique mn_upcycle_about;

#endif
