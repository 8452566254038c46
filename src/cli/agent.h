/* mnemo agent: what its files share. */
#ifndef MN_CLI_AGENT_H
#define MN_CLI_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef MNEMO_HAVE_GRAPH
#include "cli/options.h"
#include "memory/agent.h"

typedef struct agent_settings {
    const char *store, *name, *endpoint, *endpoint_model, *style, *consent;
    mn_text_list messages;
    int64_t window, max_steps, max_calls, max_tokens, sleep_every;
    double temperature;
    bool json, shows_facts;
} agent_settings;
extern agent_settings agent_given;

/* A word of the verb: mnemo agent WORD ... */
typedef struct agent_word {
    const char *name, *arguments; /* what it takes, for the sentence about wrong use */
    int min, max;                 /* arguments */
    bool creates;                 /* makes a store where there is none */
    bool takes_any;               /* works on a store of any tables; else memory's are made first */
    mn_status (*run)(mn_store *store, const mn_text_list *words, mn_error *err);
} agent_word;

/* An agent with the model that the options name; without one, words alone. */
typedef struct opened_agent {
    mn_engine *engine; /* NULL: an endpoint, or none */
    mn_llm *llm;
    mn_agent *agent;
} opened_agent;
mn_status agent_open(mn_store *store, opened_agent *out, mn_error *err);
void agent_close(opened_agent *opened);

mn_status agent_talk(mn_store *store, const mn_text_list *words, mn_error *err);
mn_status agent_allow(mn_store *store, const mn_text_list *words, mn_error *err);
mn_status agent_refuse(mn_store *store, const mn_text_list *words, mn_error *err);
mn_status agent_show(mn_store *store, const mn_text_list *words, mn_error *err);
mn_status agent_sleep(mn_store *store, const mn_text_list *words, mn_error *err);
mn_status agent_save(mn_store *store, const mn_text_list *words, mn_error *err);
mn_status agent_load(mn_store *store, const mn_text_list *words, mn_error *err);
mn_status agent_export(mn_store *store, const mn_text_list *words, mn_error *err);
mn_status agent_restore(mn_store *store, const mn_text_list *words, mn_error *err);
mn_status agent_undo(mn_store *store, const mn_text_list *words, mn_error *err);
#endif

#endif
