/* Inside an agent: for agent.c, context.c, compact.c, functions*.c, automatic.c and sleep.c. */
#ifndef MN_MEMORY_AGENT_INSIDE_H
#define MN_MEMORY_AGENT_INSIDE_H

#include "memory/agent.h"
#include "memory/queue.h"
#include "memory/recall_index.h"

#include <jansson.h>

enum { MN_CALLS_AT_ONCE = 4 }; /* of one answer that are executed; the rest is dropped */

struct mn_agent {
    mn_store *store;
    mn_llm *llm;
    mn_agent_params params; /* complete */
    mn_agent_row row;
    mn_block_list blocks;
    mn_queue queue;
    mn_recall_index *index; /* NULL until something is looked up */
    char *summary;
    int64_t summary_id;
    char *tools;              /* JSON of the functions; NULL = none */
    char *system;             /* the prompt's first message */
    bool system_is_old;       /* to be made anew before the next turn, or when messages leave: not in the middle of one,
                               * so that the session of the model keeps what it has computed */
    bool is_stale;            /* a failure may have left it different from the store: to be read again */
    bool is_rehearsal;        /* edits of blocks stay in `blocks`, for whoever commits them (sleep.c) */
    mn_agent_context context; /* tokens of the parts of `system` and of tools */
};

/* ---- context.c ---- */

/* Makes the first message anew and counts its parts. */
mn_status mn_agent_make_system(mn_agent *a, mn_error *err);
/* The messages of the next prompt; freed by the caller, borrowing the agent's texts. */
mn_llm_message *mn_agent_messages(const mn_agent *a, size_t *n);
/* Tokens of the whole prompt, as the model's template makes it. */
mn_status mn_agent_count(mn_agent *a, int64_t *n_tokens, mn_error *err);
/* window - reserve. */
int64_t mn_agent_budget(const mn_agent *a);
/* What messages may take: the budget without everything else, the longest summary included. */
int64_t mn_agent_queue_room(const mn_agent *a);
/* The longest summary. */
int64_t mn_agent_summary_room(const mn_agent *a);
/* Whether these blocks would leave messages too little room. */
bool mn_agent_blocks_fit(mn_agent *a, const char *label, const char *value);

/* ---- compact.c ---- */

/* Before the model is asked: warns of a window that fills, and lets messages leave when it is full. */
mn_status mn_agent_make_room(mn_agent *a, mn_error *err);
/* The lines of a summary so far and of new texts that tell most (numbers, names, what "I" and "my" are about), in their
 * order, within max_tokens. Freed by the caller; NULL when memory ends. */
char *mn_extract(const mn_llm *llm, const char *summary, char *const *texts, size_t n, int64_t max_tokens);

/* ---- functions.c ---- */

/* What a function found; a failure that the model is told of is an error of its own (MN_ERR_ARGUMENT, _FORMAT, _LIMIT),
 * after which nothing of it is in the store. */
typedef struct mn_function_result {
    mn_strbuf text;    /* the message of the result */
    char *said;        /* to be said to the user; NULL = nothing */
    bool is_finished;  /* memory_finish_edits */
    bool edits_blocks; /* a block has another value */
} mn_function_result;

typedef mn_status mn_function_fn(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err);

/* Who calls: agents of the two styles, consolidation. */
typedef enum mn_function_set {
    MN_FOR_MEMGPT = 1,
    MN_FOR_PLAIN = 2,
    MN_FOR_TALK = MN_FOR_MEMGPT | MN_FOR_PLAIN,
    MN_FOR_SLEEP = 4
} mn_function_set;

typedef struct mn_function {
    const char *name, *about;
    const char *properties; /* JSON schema of the properties, without request_heartbeat */
    const char *required;   /* JSON list */
    unsigned sets;          /* who may call it */
    mn_function_fn *run;
} mn_function;

extern const mn_function mn_core_functions[], mn_search_functions[]; /* end with a NULL name */
const mn_function *mn_function_find(const char *name, mn_function_set set);
/* All functions of a set as OpenAI's list of tools; with_heartbeat: each with request_heartbeat. Freed by the caller.
 */
char *mn_functions_json(mn_function_set set, bool with_heartbeat);
/* Calls a function inside the store's transaction: its result as JSON text {"status", "message", "time"} into *result.
 * *failed: the model is told of a failure. Other failures are returned. */
mn_status mn_function_call(mn_agent *a, mn_function_set set, const char *name, const char *arguments,
                           mn_function_result *out, char **result, bool *failed, mn_error *err);
/* Texts and numbers among arguments. */
mn_status mn_argument_text(const json_t *arguments, const char *name, const char **out, mn_error *err);
int64_t mn_argument_int(const json_t *arguments, const char *name, int64_t min, int64_t max, int64_t otherwise);
/* "2023-05-08", or with a time; 0 = none given. MN_ERR_ARGUMENT for what is no date. end: the day's last second. */
mn_status mn_argument_time(const json_t *arguments, const char *name, bool end, int64_t *out, mn_error *err);

/* ---- agent.c ---- */

/* Reads from the store what another program, or a failure, may have changed. */
mn_status mn_agent_reload(mn_agent *a, mn_error *err);
/* The last assistant's message, where nothing but its results follows; -1 = none. *n_results: how many do. */
int64_t mn_agent_open_unit(const mn_agent *a, size_t *n_results);
/* Appends a message to recall and queue, and counts it. */
mn_status mn_agent_push(mn_agent *a, const mn_message *m, mn_error *err);
/* A row of the journal: a call of the model, in the transaction that is open. */
mn_status mn_agent_keep_step(mn_agent *a, const char *kind, const mn_llm_reply *reply, const char *outcome,
                             mn_error *err);
/* Puts a text into the outbox, in the transaction that is open. */
mn_status mn_agent_post(mn_agent *a, int64_t message, const char *text, mn_error *err);

/* Searches recall: as conversations (recall_index.h), and between dates by the store's full text. limit is given. */
mn_status mn_agent_find_messages(mn_agent *a, const mn_recall_query *query, mn_recall_hit *hits, uint32_t *n_hits,
                                 int64_t *n_all, mn_error *err);
/* Brings the index up to date, before a transaction in which it is searched, and could not be kept. */
mn_status mn_agent_prepare_search(mn_agent *a, mn_error *err);

/* ---- turn.c ---- */

/* Asks the model, and keeps what it answers. */
mn_status mn_agent_answer(mn_agent *a, mn_error *err);
/* Whether the user, where it was the user who spoke last from outside, has had an answer. */
bool mn_agent_was_answered(const mn_agent *a);
/* Executes a call of the assistant's message at `unit` of the queue, and keeps its result with its effects. refusal:
 * why the user did not allow it; NULL = he did, or was not to be asked. */
mn_status mn_agent_execute(mn_agent *a, size_t unit, size_t index, const char *refusal, mn_error *err);

/* ---- consent.c ---- */

bool mn_agent_needs_consent(const mn_agent *a, const char *name);
bool mn_agent_is_waiting(const mn_agent *a);
/* MN_ERR_ARGUMENT while a call waits. */
mn_status mn_agent_refuse_input(const mn_agent *a, mn_error *err);

/* ---- automatic.c ---- */

/* The step of an agent whose model cannot call functions. */
mn_status mn_agent_automatic_step(mn_agent *a, mn_error *err);

/* A copy with U+FFFD for each byte that is no UTF-8, and a blank for zero bytes. NULL when memory ends. */
char *mn_clean_text(const char *text, size_t bytes);

#endif
