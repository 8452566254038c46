/* The changes of a model that mnemo convert knows. */
#ifndef MN_CLI_CONVERT_H
#define MN_CLI_CONVERT_H

#include "cli/model_change.h"

/* --heads, --method, --regroup; see mn_heads_parse */
typedef struct mn_heads_options {
    const char *wish, *method;
    bool regroup;
} mn_heads_options;

/* --mlp-router, --calibrate-tokens, --router-share */
typedef struct mn_small_options {
    const char *wish;
    int64_t n_tokens;
    double share;
} mn_small_options;

/* --experts, --expert-noise, --expert-seed */
typedef struct mn_expert_options {
    const char *wish;
    double noise;
    int64_t seed;
} mn_expert_options;

/* Heads that cache less (convert/heads.h), small MLPs for easy tokens (convert/small_mlp.h), experts made of dense MLPs
 * (convert/upcycle.h), each as mn_change_run does it. */
mn_status mn_convert_heads(const mn_change_order *order, const mn_heads_options *options, mn_error *err);
mn_status mn_convert_small(const mn_change_order *order, mn_small_options *options, mn_error *err);
mn_status mn_convert_experts(const mn_change_order *order, const mn_expert_options *options, mn_error *err);

#endif
