/* Rankings joined: reciprocal rank fusion (Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion outperforms
 * Condorcet and individual Rank Learning Methods", SIGIR):
 *     score(d) = sum over lists of weight_l / (60 + rank of d in list l),  ranks from 1
 */
#ifndef MN_STORE_FUSION_H
#define MN_STORE_FUSION_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct mn_ranking {
    const uint32_t *ids; /* [n], best first, each once */
    uint32_t n;
    float weight;
} mn_ranking;

typedef struct mn_fused {
    uint32_t id;
    float score;
} mn_fused;

/* The k best of all lists together, best first, of equal ones the smaller id. out [k]. Cost: n log n of all lists. */
mn_status mn_fuse_ranks(const mn_ranking *lists, int n_lists, uint32_t k, mn_fused *out, uint32_t *n_out,
                        mn_error *err);

#endif
