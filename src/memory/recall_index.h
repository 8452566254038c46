/* Recall searched as a conversation: by windows of turns, speakers and dates (graph/turns.h), over all messages of an
 * agent but those of the system and of tools. A session is a conversation of its own; who takes part in it counts.
 *
 * Each search brings the index up to date first. Every 4096 messages and more that came are kept in the store
 * (graph/turns_saved.h), so that whoever opens it next reads 9 bytes for each message instead of its words; in memory
 * are 70 bytes for each message, and 30 for each word of the messages that are not kept: at most 65536, but for a
 * search within a transaction, which keeps nothing.
 *
 * Threads: as the store.
 */
#ifndef MN_MEMORY_RECALL_INDEX_H
#define MN_MEMORY_RECALL_INDEX_H

#include "memory/recall.h"

typedef struct mn_recall_index mn_recall_index;

/* Store and agent are borrowed until mn_recall_index_close. */
mn_status mn_recall_index_open(mn_store *store, int64_t agent, mn_recall_index **out, mn_error *err);
void mn_recall_index_close(mn_recall_index *index);
/* Takes in what came since; what mn_recall_index_search does first. */
mn_status mn_recall_index_update(mn_recall_index *index, mn_error *err);
/* The k best messages, best first, of equal ones the earlier; none where no word of the question is known. hits [k]. */
mn_status mn_recall_index_search(mn_recall_index *index, const char *question, uint32_t k, mn_recall_hit *hits,
                                 uint32_t *n_hits, mn_error *err);

#endif
