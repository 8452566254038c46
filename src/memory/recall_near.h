/* Recall by meaning: vectors of an agent's messages, made by a model (mnemo/embed.h), and their ranking joined with
 * that of words (recall_index.h) by reciprocal ranks (store/fusion.h), the 100 best of each. */
#ifndef MN_MEMORY_RECALL_NEAR_H
#define MN_MEMORY_RECALL_NEAR_H

#include "memory/recall_index.h"
#include "store/vectors.h"

#include <mnemo/embed.h>

typedef struct mn_recall_near mn_recall_near;

/* Opens the vectors of the agent's messages, kept in 8 bits. MN_ERR_ARGUMENT where the store has some by another model.
 * All are borrowed until mn_recall_near_close. */
mn_status mn_recall_near_open(mn_store *store, int64_t agent, mn_engine *engine, mn_recall_near **out, mn_error *err);
void mn_recall_near_close(mn_recall_near *near);
/* Makes the vectors that are missing, 64 a commit, so that a run which was ended goes on; of a message beyond the
 * model's window the beginning counts. *n: how many. progress may be NULL; false is MN_ERR_CANCELLED. */
mn_status mn_recall_near_fill(mn_recall_near *near, bool (*progress)(void *arg, int64_t done, int64_t all), void *arg,
                              int64_t *n, mn_error *err);
/* As mn_recall_index_search; scores are sums of 1 / (60 + rank). */
mn_status mn_recall_near_search(mn_recall_near *near, mn_recall_index *index, const char *question, uint32_t k,
                                mn_recall_hit *hits, uint32_t *n_hits, mn_error *err);

#endif
