/* mnemo agent: talking, looking at what is kept, and taking an edit back. */
#include "cli/agent.h"

#ifdef MNEMO_HAVE_GRAPH
#include "cli/remedy.h"
#include "cli/signals.h"
#include "cli/terminal.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- talking ---- */

static mn_status consolidate(mn_agent *agent, mn_error *err) {
    int n_edits;
    MN_TRY(mn_agent_sleep(agent, (int)agent_given.max_steps, &n_edits, err));
    mn_say("mnemo agent: %d edits of core memory", n_edits);
    return MN_OK;
}

/* Says what waits for consent, if a call does. */
static mn_status tell_waiting(mn_agent *agent, bool *waits, mn_error *err) {
    mn_llm_reply call;
    MN_TRY(mn_agent_waits(agent, waits, &call, err));
    if (*waits && agent_given.json) {
        json_t *object = json_pack("{s:s, s:s}", "waits", call.calls[0].name, "arguments", call.calls[0].arguments);
        json_dumpf(object, stdout, JSON_COMPACT);
        json_decref(object);
        putchar('\n');
    } else if (*waits) {
        mn_say("mnemo agent: %s wants your consent, with %.400s: yes, or why not?", call.calls[0].name,
               call.calls[0].arguments);
    }
    mn_llm_reply_release(&call);
    return MN_OK;
}

/* "yes", "y": allowed; all else is a refusal, and its reason. */
static mn_status decide(mn_agent *agent, const char *text, mn_error *err) {
    bool allowed = !strcasecmp(text, "yes") || !strcasecmp(text, "y");
    return mn_agent_decide(agent, allowed, text, err);
}

/* A message of the user; a line of a talk may be the decision that a call waits for. */
static mn_status take(mn_agent *agent, const char *text, bool may_decide, mn_error *err) {
    static int64_t n_taken;
    bool waits;
    mn_llm_reply call;
    MN_TRY(mn_agent_waits(agent, &waits, &call, err));
    mn_llm_reply_release(&call);
    waits = waits && may_decide;
    if (!waits && !text[strspn(text, " \t")]) return MN_OK;
    MN_TRY(waits ? decide(agent, text, err) : mn_agent_say(agent, text, NULL, err));
    MN_TRY(mn_agent_run(agent, err));
    MN_TRY(tell_waiting(agent, &waits, err));
    if (waits) return MN_OK;
    return agent_given.sleep_every && ++n_taken % agent_given.sleep_every == 0 ? consolidate(agent, err) : MN_OK;
}

/* The next line without its end; false at the end of input. */
static bool next_line(bool terminal, char **line, size_t *capacity) {
    if (terminal) fputs("> ", stdout);
    fflush(stdout);
    ssize_t n = getline(line, capacity, stdin);
    if (n < 0) return false;
    while (n > 0 && ((*line)[n - 1] == '\n' || (*line)[n - 1] == '\r')) (*line)[--n] = '\0';
    return true;
}

/* A line that fails is told of, and the next one is taken; in a pipe the first failure is the exit code in the end. */
static mn_status talk(mn_agent *agent, mn_error *err) {
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    char *line = NULL;
    size_t capacity = 0;
    mn_status first = MN_OK;
    while (!mn_signals_interrupted() && next_line(terminal, &line, &capacity)) {
        mn_error why;
        mn_sentence sentence;
        mn_status status = take(agent, line, true, &why);
        if (status == MN_OK) continue;
        if (terminal) mn_say("mnemo agent: %s", mn_cli_sentence(sentence, &why));
        if (first == MN_OK) {
            first = status;
            *err = why;
        }
        if (!terminal && status != MN_ERR_FORMAT) break;
    }
    free(line);
    return terminal ? MN_OK : first;
}

mn_status agent_talk(mn_store *store, const mn_text_list *words, mn_error *err) {
    (void)words;
    opened_agent o;
    MN_TRY(agent_open(store, &o, err));
    mn_signals_catch_interrupt();
    bool waits;
    mn_status status = mn_agent_run(o.agent, err); /* what was left */
    if (status == MN_OK) status = tell_waiting(o.agent, &waits, err);
    for (int i = 0; status == MN_OK && i < agent_given.messages.n; i++)
        status = take(o.agent, agent_given.messages.items[i], false, err);
    if (status == MN_OK && !agent_given.messages.n) status = talk(o.agent, err);
    mn_signals_release_interrupt();
    agent_close(&o);
    return status;
}

/* The decision, and the turn to its end, or to the next call that waits. */
static mn_status decide_later(mn_store *store, const char *text, mn_error *err) {
    opened_agent o;
    bool waits;
    if (!agent_given.consent) agent_given.consent = "*"; /* whatever waits was made to */
    MN_TRY(agent_open(store, &o, err));
    mn_signals_catch_interrupt();
    mn_status status = decide(o.agent, text, err);
    if (status == MN_OK) status = mn_agent_run(o.agent, err);
    if (status == MN_OK) status = tell_waiting(o.agent, &waits, err);
    mn_signals_release_interrupt();
    agent_close(&o);
    return status;
}

mn_status agent_allow(mn_store *store, const mn_text_list *words, mn_error *err) {
    (void)words;
    return decide_later(store, "yes", err);
}

mn_status agent_refuse(mn_store *store, const mn_text_list *words, mn_error *err) {
    return decide_later(store, words->n > 1 ? words->items[1] : "", err);
}

mn_status agent_sleep(mn_store *store, const mn_text_list *words, mn_error *err) {
    (void)words;
    opened_agent o;
    MN_TRY(agent_open(store, &o, err));
    mn_status status = consolidate(o.agent, err);
    agent_close(&o);
    return status;
}

/* ---- looking ---- */

static json_t *blocks_json(const mn_block_list *blocks) {
    json_t *list = json_array();
    for (size_t i = 0; i < blocks->n; i++) {
        const mn_block *b = &blocks->items[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:b}", "label", b->label, "description",
                                              b->description, "value", b->value, "characters_limit",
                                              (json_int_t)b->limit_chars, "version", (json_int_t)b->version,
                                              "read_only", b->read_only));
    }
    return list;
}

static json_t *tokens_json(const mn_agent_context *c) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "instructions", (json_int_t)c->instructions,
                     "functions", (json_int_t)c->functions, "blocks", (json_int_t)c->blocks, "metadata",
                     (json_int_t)c->metadata, "summary", (json_int_t)c->summary, "messages", (json_int_t)c->messages,
                     "template", (json_int_t)c->template_, "all", (json_int_t)c->all, "window", (json_int_t)c->window,
                     "reserve", (json_int_t)c->reserve);
}

static void print_json(mn_agent *agent, const mn_agent_context *c) {
    json_t *object = json_pack("{s:s, s:o, s:s, s:o, s:I, s:I, s:I}", "name", agent_given.name, "blocks",
                               blocks_json(mn_agent_blocks(agent)), "summary", mn_agent_summary(agent), "tokens",
                               tokens_json(c), "messages", (json_int_t)c->n_messages, "messages_in_sight",
                               (json_int_t)c->n_queue, "archival", (json_int_t)c->n_archival);
    json_dumpf(object, stdout, 0);
    putchar('\n');
    json_decref(object);
}

static void print_text(mn_agent *agent, const mn_agent_context *c) {
    const mn_block_list *blocks = mn_agent_blocks(agent);
    for (size_t i = 0; i < blocks->n; i++)
        mn_print_line(stdout, 2, "%s (%lld of %lld characters, version %lld): %s", blocks->items[i].label,
                      (long long)mn_text_chars(blocks->items[i].value), (long long)blocks->items[i].limit_chars,
                      (long long)blocks->items[i].version, blocks->items[i].value);
    mn_print_line(stdout, 2, "%lld messages, %lld of them in sight; %lld texts in archival memory",
                  (long long)c->n_messages, (long long)c->n_queue, (long long)c->n_archival);
    if (*mn_agent_summary(agent)) mn_print_line(stdout, 2, "summary of the others:\n%s", mn_agent_summary(agent));
    mn_print_line(stdout, 2,
                  "tokens: instructions %lld, functions %lld, blocks %lld, metadata %lld, summary %lld, messages %lld, "
                  "template %lld: %lld of %lld, %lld kept for the answer",
                  (long long)c->instructions, (long long)c->functions, (long long)c->blocks, (long long)c->metadata,
                  (long long)c->summary, (long long)c->messages, (long long)c->template_, (long long)c->all,
                  (long long)c->window, (long long)c->reserve);
}

mn_status agent_show(mn_store *store, const mn_text_list *words, mn_error *err) {
    (void)words;
    opened_agent o;
    mn_agent_context context;
    MN_TRY(agent_open(store, &o, err));
    mn_status status = mn_agent_look(o.agent, &context, err);
    if (status == MN_OK && agent_given.json)
        print_json(o.agent, &context);
    else if (status == MN_OK)
        print_text(o.agent, &context);
    agent_close(&o);
    return status;
}

/* ---- taking back ---- */

mn_status agent_undo(mn_store *store, const mn_text_list *words, mn_error *err) {
    mn_agent_row row;
    mn_block_list blocks = {0};
    bool found;
    MN_TRY(mn_agent_find(store, agent_given.name, &row, &found, err));
    if (!found) return mn_fail(err, MN_ERR_ARGUMENT, "There is no agent \"%.100s\" in the store.", agent_given.name);
    mn_status status = mn_core_list(store, row.id, &blocks, err);
    mn_block *block = status == MN_OK ? mn_block_find(&blocks, words->items[1]) : NULL;
    if (status == MN_OK && !block)
        status = mn_fail(err, MN_ERR_ARGUMENT, "The agent has no block \"%.60s\".", words->items[1]);
    if (status == MN_OK) status = mn_core_undo(store, row.id, block, err);
    if (status == MN_OK) mn_print_line(stdout, 2, "%s: %s", block->label, block->value);
    mn_block_list_release(&blocks);
    mn_agent_row_release(&row);
    return status;
}
#endif
