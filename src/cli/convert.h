/* What mnemo convert has in files of its own. */
#ifndef MN_CLI_CONVERT_H
#define MN_CLI_CONVERT_H

#include "base/status.h"
#include "tensor/dtype.h"

/* --mlp-router, --calibrate, --calibrate-tokens, --router-share */
typedef struct mn_small_options {
    const char *wish, *text; /* text NULL: none */
    int64_t n_tokens;
    double share;
} mn_small_options;

/* Small MLPs for easy tokens (convert/small_mlp.h), and a line on what came of it. */
mn_status mn_convert_small(const char *in, const char *out, const mn_small_options *options, int n_threads,
                           mn_error *err);

/* --experts, --expert-noise */
typedef struct mn_expert_options {
    const char *wish;
    double noise;
    int64_t seed;
} mn_expert_options;

/* Experts made of dense MLPs (convert/upcycle.h), and a line on what came of it. type: of the weights; MN_DTYPE_COUNT:
 * as they are. */
mn_status mn_convert_experts(const char *in, const char *out, const mn_expert_options *options, mn_dtype type,
                             mn_error *err);

#endif
