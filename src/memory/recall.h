/* Recall memory: every message of an agent, kept for good, in the order they were said.
 *
 * Each message holds the hash of itself and of the one before it, so that a row changed by hand is found
 * (mn_recall_check).
 */
#ifndef MN_MEMORY_RECALL_H
#define MN_MEMORY_RECALL_H

#include "memory/memory.h"

enum { MN_RECALL_NO_TIME = -1 };

typedef struct mn_message {
    int64_t id;          /* counts up; what is shown to models */
    const char *uid;     /* NULL = by the chain of hashes. One that is there already is not added again */
    const char *role;    /* "user", "assistant", "tool", "event", "system" */
    const char *name;    /* who speaks; of a tool's result the function, of an event its type; NULL = "" */
    const char *session; /* what belongs together; NULL = "" */
    int64_t time;        /* seconds since 1970, MN_RECALL_NO_TIME = unknown */
    const char *text;    /* valid UTF-8, no zero bytes */
    size_t bytes;
    const char *calls;   /* of an assistant: JSON list of calls as OpenAI writes it; NULL = "" */
    const char *call_id; /* of a tool's result: the call it belongs to; NULL = "" */
    bool goes_on;        /* the agent has something to do after it, when it is the newest in the queue */
} mn_message;

/* Appends a message of an agent; *id is 0 where its uid was there already. */
mn_status mn_recall_add(mn_store *store, int64_t agent, const mn_message *message, int64_t *id, mn_error *err);
/* The same, where the agent's messages are `expected` many still: another process that wrote meanwhile is MN_ERR_IO. */
mn_status mn_recall_add_after(mn_store *store, int64_t agent, int64_t expected, const mn_message *message, int64_t *id,
                              mn_error *err);

/* Many messages of an agent within one transaction of the caller's: its row, which keeps two writers in turn, is
 * written at both ends alone, so that a message costs one statement. */
typedef struct mn_recall_batch {
    mn_store *store;
    int64_t agent, n_new;
    char hash[MN_ID_BYTES]; /* of the last message */
} mn_recall_batch;
mn_status mn_recall_batch_begin(mn_recall_batch *batch, mn_store *store, int64_t agent, mn_error *err);
mn_status mn_recall_batch_add(mn_recall_batch *batch, const mn_message *message, int64_t *id, mn_error *err);
mn_status mn_recall_batch_end(mn_recall_batch *batch, mn_error *err);

/* A message with texts of its own; the caller releases it. *found false where the agent has no message of this id. */
typedef struct mn_message_copy {
    mn_message at;
    char *memory;
} mn_message_copy;
mn_status mn_recall_get(mn_store *store, int64_t agent, int64_t id, mn_message_copy *out, bool *found, mn_error *err);
void mn_message_release(mn_message_copy *message);
/* All columns of a message, for SELECTs whose rows mn_message_take takes. */
#define MN_MESSAGE_COLUMNS "m.id, m.uid, m.role, m.name, m.session, m.time, m.text, m.calls, m.call_id, m.goes_on"
mn_status mn_message_take(mn_rows *rows, mn_message_copy *out, mn_error *err);

/* Messages of an agent, oldest first, after the one of id `after`, handed to fn until it says false or fails; borrowed
 * during the call. */
typedef bool mn_message_fn(void *arg, const mn_message *message);
mn_status mn_recall_each(mn_store *store, int64_t agent, int64_t after, mn_message_fn *fn, void *arg, mn_error *err);

/* What a search looks for; zeroed: everything, newest first. */
typedef struct mn_recall_query {
    const char *words;    /* NULL or "" = all messages of the time asked for */
    const char *roles;    /* "user", "user,assistant"; NULL = user and assistant: results of functions and events repeat
                           * what is there */
    int64_t since, until; /* seconds since 1970, both included; 0 = no limit */
    int64_t before_id;    /* only messages older than this one; 0 = all */
    uint32_t limit, page; /* results a page (0 = 5), and which, from 0 */
} mn_recall_query;

typedef struct mn_recall_hit {
    int64_t message;
    double score; /* larger is better; 0 where no words were asked for */
} mn_recall_hit;

/* The hits of a page, best first (newest first without words), by the store's full text alone. hits [limit]. *n_all:
 * how many there are, counted up to 1000; NULL = not wanted. */
mn_status mn_recall_match(mn_store *store, int64_t agent, const mn_recall_query *query, mn_recall_hit *hits,
                          uint32_t *n_hits, int64_t *n_all, mn_error *err);

/* Computes the chain anew: MN_ERR_FORMAT names the first message that is not what was written. *n: how many stand. */
mn_status mn_recall_check(mn_store *store, int64_t agent, int64_t *n, mn_error *err);

#endif
