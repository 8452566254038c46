/* mnemo agent: a conversation that never runs out (MemGPT), and what is kept of it. */
#include "cli/agent.h"
#include "cli/agent_recall.h"

#include "cli/options.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <string.h>

#ifdef MNEMO_HAVE_GRAPH
#include "cli/model_options.h"
#include "cli/signals.h"
#include "cli/terminal.h"

#include "base/safe_text.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

agent_settings agent_given;

/* ---- the model ---- */

static mn_status no_model(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *err) {
    (void)arg, (void)request, (void)reply;
    return mn_fail(err, MN_ERR_ARGUMENT, "There is no model to ask: name one.");
}

static mn_status open_model(opened_agent *o, mn_error *err) {
    enum { WORDS_WINDOW = 8192 };
    if (agent_given.endpoint) {
        const mn_endpoint_params endpoint = {
            .url = agent_given.endpoint, .model = agent_given.endpoint_model, .n_ctx = agent_given.window};
        return mn_llm_open_endpoint(&endpoint, &o->llm, err);
    }
    if (!mn_given_model.model) return mn_llm_open_script("words", WORDS_WINDOW, no_model, NULL, &o->llm, err);
    MN_TRY(mn_model_options_engine(&mn_given_model, false, &o->engine, err));
    mn_session_params session = mn_model_options_params(&mn_given_model);
    return mn_llm_open_engine(o->engine, &session, &o->llm, err);
}

/* Whether functions reach the model: its chat template writes them into the prompt. */
static bool takes_functions(mn_llm *llm) {
    static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
                                "\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]";
    const mn_llm_message message = {.role = "user", .content = "x"};
    const mn_llm_request without = {.messages = &message, .n_messages = 1},
                         with = {.messages = &message, .n_messages = 1, .tools_json = tools};
    int64_t a, b;
    return mn_llm_count_request(llm, &without, &a, NULL) == MN_OK &&
           mn_llm_count_request(llm, &with, &b, NULL) == MN_OK && b > a;
}

static mn_agent_answers answers_of(const opened_agent *o) {
    if (agent_given.endpoint) return MN_ANSWERS_TALK;
    if (!o->engine) return MN_ANSWERS_MEMORY;
    return mn_engine_chat_template(o->engine) ? MN_ANSWERS_TALK : MN_ANSWERS_QUESTION;
}

static mn_status choose_style(const opened_agent *o, mn_agent_params *p, mn_error *err) {
    const char *style = agent_given.style;
    bool calls = agent_given.endpoint || (o->engine && mn_engine_chat_template(o->engine) && takes_functions(o->llm));
    p->answers = answers_of(o);
    if (!strcmp(style, "auto"))
        p->style = calls ? MN_AGENT_PLAIN : MN_AGENT_AUTOMATIC;
    else
        p->style = !strcmp(style, "memgpt")  ? MN_AGENT_MEMGPT
                   : !strcmp(style, "plain") ? MN_AGENT_PLAIN
                                             : MN_AGENT_AUTOMATIC;
    if (calls || p->style == MN_AGENT_AUTOMATIC) return MN_OK;
    return mn_fail(err, MN_ERR_UNSUPPORTED,
                   "The style %s needs a model whose chat template takes functions, or an endpoint.", style);
}

/* Says what a message may cost, and sets the budget. */
static void set_budget(const opened_agent *o, const mn_agent_params *p) {
    int64_t calls = p->style == MN_AGENT_AUTOMATIC ? 1 : 2 * p->max_steps;
    mn_llm_set_budget(o->llm, agent_given.max_calls, agent_given.max_tokens);
    if (p->answers == MN_ANSWERS_MEMORY) return;
    int64_t window =
        p->window_tokens > 0 && p->window_tokens < mn_llm_n_ctx(o->llm) ? p->window_tokens : mn_llm_n_ctx(o->llm);
    mn_print_line(stderr, 2,
                  "mnemo agent: %s may be asked %lld times for a message, with up to %lld tokens each, and once for "
                  "each summary",
                  mn_llm_name(o->llm), (long long)calls, (long long)window);
}

/* ---- what is printed ---- */

static bool print_said(void *arg, int64_t message, const char *text) {
    (void)arg;
    if (agent_given.json) {
        json_t *object = json_pack("{s:I, s:s}", "message", (json_int_t)message, "text", text);
        json_dumpf(object, stdout, JSON_COMPACT);
        json_decref(object);
    } else {
        char *safe = strdup(text);
        if (!safe) return false;
        mn_text_make_safe(safe, strlen(safe));
        mn_print_folded(stdout, safe, 0, 0, mn_terminal_columns(stdout));
        free(safe);
    }
    putchar('\n');
    return !fflush(stdout) && !ferror(stdout);
}

static void print_fact(void *arg, const char *fact) {
    (void)arg;
    mn_print_line(stderr, 4, "    remembered: %s", fact);
}

static bool go_on(void *arg) {
    (void)arg;
    return !mn_signals_interrupted();
}

/* ---- opening ---- */

mn_status agent_open(mn_store *store, opened_agent *o, mn_error *err) {
    mn_agent_params params = {.window_tokens = agent_given.window,
                              .temperature = agent_given.temperature,
                              .max_steps = (int)agent_given.max_steps,
                              .consent = agent_given.consent,
                              .said = print_said,
                              .go_on = go_on,
                              .found = agent_given.shows_facts ? print_fact : NULL};
    *o = (opened_agent){0};
    mn_status status = open_model(o, err);
    if (status == MN_OK) status = choose_style(o, &params, err);
    if (status == MN_OK) status = mn_agent_open(store, o->llm, agent_given.name, &params, &o->agent, err);
    if (status == MN_OK)
        set_budget(o, &params);
    else
        agent_close(o);
    return status;
}

void agent_close(opened_agent *o) {
    mn_agent_close(o->agent);
    mn_llm_close(o->llm);
    if (o->engine) mn_engine_close(o->engine);
    *o = (opened_agent){0};
}

/* ---- the verb ---- */

static const agent_word talk = {"talk", "", 0, 0, true, false, agent_talk};
static const agent_word agent_words[] = {
    {"allow", "", 0, 0, false, false, agent_allow},
    {"refuse", " [REASON]", 0, 1, false, false, agent_refuse},
    {"show", "", 0, 0, false, false, agent_show},
    {"sleep", "", 0, 0, false, false, agent_sleep},
    {"undo", " LABEL", 1, 1, false, false, agent_undo},
    {"save", " FILE.af", 1, 1, false, false, agent_save},
    {"load", " FILE.af [NAME]", 1, 2, true, false, agent_load},
    {"export", "", 0, 0, false, true, agent_export},
    {"restore", "", 0, 0, true, true, agent_restore},
};

static const agent_word *find_word(const mn_text_list *words) {
    if (!words->n) return &talk;
    for (size_t i = 0; i < sizeof agent_words / sizeof *agent_words; i++)
        if (!strcmp(agent_words[i].name, words->items[0])) return &agent_words[i];
    return NULL;
}

static const char *wrong_use(const agent_word *word, const mn_text_list *words) {
    static char sentence[400];
    static const char *const styles[] = {"auto", "memgpt", "plain", "automatic"};
    size_t used = 0, s = 0;
    if (!word) {
        used = (size_t)snprintf(sentence, sizeof sentence, "wanted: nothing, to talk, or import, search, ");
        for (size_t i = 0; i < sizeof agent_words / sizeof *agent_words && used < sizeof sentence; i++)
            used += (size_t)snprintf(sentence + used, sizeof sentence - used, "%s%s%s", i ? ", " : "",
                                     agent_words[i].name, agent_words[i].arguments);
        if (used < sizeof sentence) snprintf(sentence + used, sizeof sentence - used, ".");
        return sentence;
    }
    if (words->n && (words->n - 1 < word->min || words->n - 1 > word->max)) {
        snprintf(sentence, sizeof sentence, "this is written: agent %s%s.", word->name, word->arguments);
        return sentence;
    }
    while (s < 4 && strcmp(styles[s], agent_given.style) != 0) s++;
    if (s == 4) return "--style is auto, memgpt, plain or automatic.";
    if (agent_given.endpoint && mn_given_model.model) return "-m and --endpoint exclude each other.";
    return NULL;
}

static mn_status run(const agent_word *word, const mn_text_list *words, mn_error *err) {
    const mn_store_options options = {.must_exist = !word->creates, .durable = true};
    mn_store *store;
    MN_TRY(mn_store_open(agent_given.store, &options, &store, err));
    mn_status status = word->takes_any ? MN_OK : mn_memory_migrate(store, err);
    if (status == MN_OK) status = word->run(store, words, err);
    mn_store_close(store);
    return mn_cli_past_usage(status, err);
}

static const char about[] =
    "Talks, and remembers everything that was said (MemGPT): what the window no longer holds is found again.\n\n"
    "Messages are lines of standard input, or -p. A turn that was cut off at any point goes on when the agent is "
    "started again. Where a call waits for consent, the next line decides: yes, or why not; or allow and refuse, "
    "later.\n\n"
    "import takes messages from files, and search finds those that answer a question (mnemo agent import --help). show "
    "prints what the agent keeps in sight, and what fills its window; sleep lets the model put core memory in order by "
    "what was said since the last time; undo gives a block of core memory the value it had before. save and load write "
    "and read agents as Letta's agent files; export writes the whole store as JSON lines, and restore reads them into "
    "a new one.";

int cmd_agent(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "import")) return cmd_agent_import(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "search")) return cmd_agent_search(argc - 1, argv + 1);
    agent_given = (agent_settings){0};
    const mn_option options[] = {
        MN_OPTION_TEXT("store", &agent_given.store, "FILE", "agent.db", "where everything is kept"),
        MN_OPTION_TEXT("name", &agent_given.name, "NAME", "mnemo", "which agent of the store"),
        MN_OPTION_TEXTS("p prompt", &agent_given.messages, "TEXT", "a message, instead of lines; may be repeated"),
        MN_OPTION_FLAG("json", &agent_given.json, "print JSON: an object a line"),
        MN_OPTION_FLAG("facts", &agent_given.shows_facts, "print what was remembered on standard error"),
        MN_OPTION_HEADING("the model; without -m and --endpoint what is remembered is the answer"),
        MN_OPTION_TEXT("endpoint", &agent_given.endpoint, "URL", NULL,
                       "an OpenAI-compatible endpoint; its key stands in MNEMO_API_KEY"),
        MN_OPTION_TEXT("endpoint-model", &agent_given.endpoint_model, "NAME", NULL, "the model to ask there"),
        MN_OPTION_TEXT("style", &agent_given.style, "STYLE", "auto",
                       "memgpt (it speaks by a function), plain (by its text), automatic (it calls nothing; facts are "
                       "looked up for it); auto: plain where its chat template takes functions, else automatic"),
        MN_OPTION_INT("window", &agent_given.window, "N", "0", 0, 1 << 24,
                      "tokens of a prompt and its answer; 0 = all"),
        MN_OPTION_INT("max-steps", &agent_given.max_steps, "N", "50", 1, 10000, "of the model for one message"),
        MN_OPTION_TEXT("consent", &agent_given.consent, "NAMES", NULL,
                       "functions that wait until you allow each call: names with commas, * = all but send_message"),
        MN_OPTION_INT("sleep-every", &agent_given.sleep_every, "N", "0", 0, 1 << 24,
                      "consolidate core memory after each N messages; 0 = only by agent sleep"),
        MN_OPTION_INT("max-calls", &agent_given.max_calls, "N", "0", 0, 1 << 24, "of the model in all; 0 = no limit"),
        MN_OPTION_INT("max-tokens", &agent_given.max_tokens, "N", "0", 0, 1LL << 50, "tokens in all; 0 = no limit"),
        MN_OPTION_NUMBER("temp temperature", &agent_given.temperature, "X", "0", 0, 10, "of the model's draws"),
        MN_OPTION_TEXT("chat-template chat-template-file", &mn_given_model.chat_template, "NAME|FILE", NULL,
                       "in the place of the model's"),
        MN_OPTION_GROUP(mn_model_option_rows),
        MN_OPTION_GROUP(mn_position_option_rows),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "agent",
        .synopsis = "[-m MODEL | --endpoint URL] [-p TEXT]... | import | search | show | allow | refuse [REASON] | "
                    "sleep | undo LABEL | save FILE.af | load FILE.af [NAME] | export | restore [--store FILE]",
        .about = about,
        .example = "mnemo agent --store me.db -m models/default.gguf -p \"My dog is called Rex.\"",
        .options = options,
        .max_positional = MN_MAX_TEXTS,
    };
    mn_text_list words;
    mn_error err;
    int code = mn_options_parse(&usage, argc, argv, &words);
    if (code >= 0) return code;
    const agent_word *word = find_word(&words);
    const char *wrong = wrong_use(word, &words);
    if (wrong) return mn_cli_wrong(&usage, wrong);
    return run(word, &words, &err) == MN_OK ? MN_EXIT_DONE : mn_cli_fail("agent", &err);
}

#else

int cmd_agent(int argc, char **argv) {
    static const mn_option options[] = {MN_OPTIONS_END};
    static const mn_usage usage = {.verb = "agent",
                                   .synopsis = "",
                                   .about = "Talks, and remembers everything. This build cannot: install "
                                            "libsqlite3-dev and libstemmer-dev, and build again.",
                                   .example = "mnemo agent --help",
                                   .options = options,
                                   .max_positional = MN_MAX_TEXTS};
    mn_text_list words;
    int code = mn_options_parse(&usage, argc, argv, &words);
    if (code >= 0) return code;
    fputs("mnemo agent: this build has no memory: install libsqlite3-dev and libstemmer-dev, and build again.\n",
          stderr);
    return MN_EXIT_FAILED;
}
#endif
