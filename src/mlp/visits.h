/* Inside mixture of experts: which rows each expert is visited by, for the forward and the backward. */
#ifndef MN_MLP_VISITS_H
#define MN_MLP_VISITS_H

#include "base/status.h"
#include "kernels/compute.h"

#include <stdint.h>

/* One (row, expert) pair. */
typedef struct mn_visit {
    int64_t row, index; /* of the row; of the pair in ids [n_rows, n_used] */
    float weight;
} mn_visit;

/* The visits sorted by expert, rows ascending within: those of expert e are visits[offsets[e]] to [offsets[e + 1]]. */
typedef struct mn_visits {
    int64_t *offsets; /* [n_experts + 1] */
    mn_visit *visits;
    int64_t most; /* of one expert */
} mn_visits;

/* From ids and weights [n_rows, n_used] as mn_route gives them, in c->scratch. MN_ERR_MEMORY when it ends. */
mn_status mn_visits_sort(const mn_compute *c, mn_visits *v, const int32_t *ids, const float *weights, int n_used,
                         int64_t n_rows, int64_t n_experts, mn_error *err);

#endif
