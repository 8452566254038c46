/* Recall by meaning: vectors of an agent's messages, made by a model (mnemo/embed.h), and their ranking joined with
 * that of words (recall_index.h) by reciprocal ranks (store/fusion.h), the 100 best of each. */
#ifndef MN_MEMORY_RECALL_NEAR_H
#define MN_MEMORY_RECALL_NEAR_H

#include "memory/recall_index.h"
#include "store/text_vectors.h"

typedef struct mn_recall_near mn_recall_near;

/* Opens the vectors of the agent's messages, kept in 8 bits. MN_ERR_ARGUMENT where the store has some by another model.
 * All are borrowed until mn_recall_near_close. */
mn_status mn_recall_near_open(mn_store *store, int64_t agent, mn_engine *engine, mn_recall_near **out, mn_error *err);
void mn_recall_near_close(mn_recall_near *near);
/* As mn_text_vectors_fill. */
mn_status mn_recall_near_fill(mn_recall_near *near, mn_text_vectors_fn *progress, void *arg, int64_t *n, mn_error *err);
/* As mn_recall_index_search; scores are sums of 1 / (60 + rank). */
mn_status mn_recall_near_search(mn_recall_near *near, mn_recall_index *index, const char *question, uint32_t k,
                                mn_recall_hit *hits, uint32_t *n_hits, mn_error *err);

#endif
