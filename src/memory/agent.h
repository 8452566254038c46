/* An agent: a conversation that never runs out, and what it keeps of it.
 *
 *     MN_TRY(mn_agent_open(store, llm, "ann", &params, &agent, err));
 *     MN_TRY(mn_agent_say(agent, "My dog is called Rex.", NULL, err));
 *     MN_TRY(mn_agent_run(agent, err));     until it waits for the next message; params.said receives what it says
 *     mn_agent_close(agent);
 *
 * Everything is in the store before it has an effect: what the user said before the model is asked, what the model
 * wrote before its functions are executed, a function's effects together with its result. Whoever is killed at any
 * point opens the agent again and calls mn_agent_run: it goes on where it was, no effect is repeated, and what was said
 * but perhaps not handed over yet is handed over, with the number of its message, by which one that came twice is told.
 *
 * What a model writes is hostile: calls of functions that there are not, arguments that are no JSON, loops, rubbish
 * become results that say so, or the end of the turn, and nothing more.
 *
 * Threads: an agent, its store and its model are used by one thread at a time. Two programs may open one agent; the one
 * that finds the other's messages is told to open it again.
 */
#ifndef MN_MEMORY_AGENT_H
#define MN_MEMORY_AGENT_H

#include "llm/llm.h"
#include "memory/core.h"

typedef struct mn_agent mn_agent;

typedef enum mn_agent_style {
    MN_AGENT_MEMGPT,   /* what send_message says reaches the user; a step follows where a call asks for a heartbeat */
    MN_AGENT_PLAIN,    /* the model's text reaches the user; steps follow while it calls functions */
    MN_AGENT_AUTOMATIC /* for models that cannot call: what is remembered about a question is looked up for it */
} mn_agent_style;

/* Who answers in the automatic style. */
typedef enum mn_agent_answers {
    MN_ANSWERS_MEMORY,   /* nobody: what is remembered is the answer */
    MN_ANSWERS_QUESTION, /* a model without a chat template, that answers a question about a text */
    MN_ANSWERS_TALK      /* a model that talks */
} mn_agent_answers;

/* Receives what the agent says. message: its number in recall. False: it could not be handed over, and stays to be. */
typedef bool mn_agent_said_fn(void *arg, int64_t message, const char *text);

typedef struct mn_agent_params {
    mn_agent_style style;
    mn_agent_answers answers;
    int64_t window_tokens;  /* of a prompt and its answer; 0 = the model's */
    int64_t reserve_tokens; /* for the answer; 0 = a quarter of the window, 1024 at most */
    double warn, flush;     /* shares of window - reserve: where the agent is warned, and messages leave; 0 = 0.7, 1 */
    double keep;            /* what messages may take of their room after that; 0 = 0.5 */
    int keep_last;          /* messages that leave last; 0 = 3 */
    int max_steps;          /* of the model in one turn; 0 = 50 */
    int max_tries;          /* of an answer that is of no use; 0 = 3 */
    int recall_facts;       /* automatic: what is looked up for a question; 0 = 8 */
    const char *consent;    /* functions that the user has to allow each time: names with commas, "*" = all but
                             * send_message; NULL = none. Borrowed */
    double temperature;
    uint64_t seed;
    bool (*go_on)(void *arg); /* asked before each step; false ends with MN_ERR_CANCELLED, nothing lost; NULL = yes */
    mn_agent_said_fn *said;   /* NULL: what is said stays in the outbox */
    void (*found)(void *arg, const char *fact); /* told of what was looked up for an answer; NULL = no */
    void *arg;
} mn_agent_params;

/* Opens the agent of this name, or makes it with the blocks "persona" and "human". Store and model are borrowed.
 * MN_ERR_LIMIT where instructions, functions and blocks fill more than half of the window. */
mn_status mn_agent_open(mn_store *store, mn_llm *llm, const char *name, const mn_agent_params *params, mn_agent **out,
                        mn_error *err);
void mn_agent_close(mn_agent *agent);

/* What comes from outside, committed when it returns. name: who speaks, NULL = the user. Text that is no UTF-8 is
 * MN_ERR_FORMAT. */
mn_status mn_agent_say(mn_agent *agent, const char *text, const char *name, mn_error *err);
/* An event that wants a reaction: type "heartbeat", "login", "upload_done"; reason: a sentence. A heartbeat while they
 * are paused is nothing. */
mn_status mn_agent_event(mn_agent *agent, const char *type, const char *reason, mn_error *err);

/* Steps until the agent waits for the next message, or for consent. A turn that ends without an answer to the user, in
 * circles or after max_steps, is MN_ERR_LIMIT, and over. After any other failure all is as it was after the last step;
 * call again to go on. */
mn_status mn_agent_run(mn_agent *agent, mn_error *err);
/* Whether there is something to do, or to decide. */
bool mn_agent_goes_on(const mn_agent *agent);

/* ---- consent (consent.c) ---- */

/* Where a function is called that the user has to allow, mn_agent_run returns and nothing of the call is done. Whether
 * one waits, and which: into *call, as one call that the caller releases (mn_llm_reply_release). Meanwhile what comes
 * from outside is MN_ERR_ARGUMENT. It waits on when the agent is opened again. */
mn_status mn_agent_waits(const mn_agent *agent, bool *waits, mn_llm_reply *call, mn_error *err);
/* Executes the call that waits, or refuses it for a reason that the model is told (NULL = none); committed when it
 * returns, and mn_agent_run goes on. MN_ERR_ARGUMENT where none waits. */
mn_status mn_agent_decide(mn_agent *agent, bool allowed, const char *reason, mn_error *err);

/* Sleep-time consolidation: the model looks through what was said since the last time, and edits the blocks of core
 * memory with memory_* functions, at most max_calls times. *n_edits: what it changed. */
mn_status mn_agent_sleep(mn_agent *agent, int max_calls, int *n_edits, mn_error *err);

/* ---- what there is (context.c) ---- */

/* What fills the prompt, in tokens; `all` is the whole as the model's template makes it, and the parts add up to it. */
typedef struct mn_agent_context {
    int64_t instructions, functions, blocks, metadata, summary, messages, template_, all;
    int64_t window, reserve;
    int64_t n_queue, n_messages, n_archival; /* messages in the prompt, in recall; texts in the archive */
} mn_agent_context;
mn_status mn_agent_look(mn_agent *agent, mn_agent_context *out, mn_error *err);
const mn_block_list *mn_agent_blocks(const mn_agent *agent);
/* What stands for the messages that left; "" = none did. */
const char *mn_agent_summary(const mn_agent *agent);
int64_t mn_agent_id(const mn_agent *agent);
const char *mn_agent_archive(const mn_agent *agent);

#endif
