/* Hash layers (Roller et al. 2021, arXiv:2106.04426): a table says which experts a token goes to, by its id alone. What
 * they weigh the router says as ever (router.h). */
#ifndef MN_MLP_HASH_LAYER_H
#define MN_MLP_HASH_LAYER_H

#include "base/technique.h"
#include "mlp/router.h"

/* ids, weights [n_rows, n_used] as mn_route gives them, the experts of tokens[rows[r]] in the order of the table
 * [n_vocab, n_used], whose ids are in range and in a row distinct; rows NULL: of tokens[r]. logits
 * [n_rows, n_experts] are scratch afterwards. On a dry pool as mn_route does. */
void mn_route_by_hash(const mn_compute *c, const mn_router *router, const int32_t *table, const int32_t *tokens,
                      const int64_t *rows, int32_t *ids, float *weights, float *logits, int64_t n_rows);
extern const mn_technique mn_hash_layer_about;

#endif
