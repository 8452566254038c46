/* MemGPT's memory: what an agent keeps outside of its context.
 *
 * After Packer et al. 2023, "MemGPT: Towards LLMs as Operating Systems" (arXiv:2310.08560). Three tiers: core memory
 * (core.h), blocks of text that stand in every prompt; recall (recall.h), all messages ever said, of which the newest
 * are in the queue that the prompt shows; and archival memory (archival.h), texts that were put away. All of it is
 * rows of a store, so that nothing said is lost with the process.
 *
 * Functions that write take part in the transaction that is open, and are one of their own where none is.
 *
 * Threads: as the store.
 */
#ifndef MN_MEMORY_MEMORY_H
#define MN_MEMORY_MEMORY_H

#include "store/store.h"

/* Makes the tables, or brings them up to date. To be called before anything else. */
mn_status mn_memory_migrate(mn_store *store, mn_error *err);

/* An agent: a name, and what it is told. */
typedef struct mn_agent_row {
    int64_t id;
    char *name, *system; /* owned */
    char *archive;       /* the archive its passages stand in; agents may share one */
    int64_t n_messages;  /* in recall */
    int64_t edited;      /* seconds since 1970, of the last change to its core memory; 0 = never */
    int64_t slept_to;    /* the last message that sleep-time consolidation has seen */
    int64_t paused_to;   /* heartbeats are paused until then, seconds since 1970 */
    bool warned;         /* of a full window, since the last flush */
} mn_agent_row;

/* By name; *found false where there is none. The caller releases *out. */
mn_status mn_agent_find(mn_store *store, const char *name, mn_agent_row *out, bool *found, mn_error *err);
/* A new agent; a name that is taken is MN_ERR_ARGUMENT. system may be "". */
mn_status mn_agent_add(mn_store *store, const char *name, const char *system, int64_t *id, mn_error *err);
void mn_agent_row_release(mn_agent_row *row);
/* The names of all agents, in the order they were made, handed to fn. */
mn_status mn_agent_list(mn_store *store, void (*fn)(void *arg, const char *name), void *arg, mn_error *err);

/* Seconds since 1970; what tests set instead of the clock's (0 = the clock's again). */
int64_t mn_memory_now(void);
void mn_memory_set_now(int64_t now);
/* "2023-05-08 13:56" in UTC; "" where the time is unknown (< 0). */
typedef char mn_memory_date[24];
const char *mn_memory_date_text(mn_memory_date buf, int64_t time);

#endif
