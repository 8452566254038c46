/* mnemo chat: talk. */
#include "base/file.h"
#include "cli/progress.h"
#include "cli/conversation.h"
#include "cli/model_options.h"
#include "cli/remedy.h"
#include "cli/sample_options.h"
#include "cli/verbs.h"
#include "session/compose.h"
#include "session/generate.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef MNEMO_HAVE_LIBEDIT
#include <editline/readline.h>
#endif

enum { MAX_TEXT_BYTES = 1 << 30 };

static mn_text_list files;
static const char *system_prompt;

static const mn_option options[] = {
    MN_OPTION_TEXTS("f file", &files, "FILE", "a text to talk about; may be repeated, as /read"),
    MN_OPTION_TEXT("sys system-prompt", &system_prompt, "TEXT", NULL,
                   "system message, for models with a chat template"),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTION_GROUP(mn_sample_option_rows),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "chat",
    .synopsis = "[MODEL] [-f FILE]... [options]",
    .about =
        "A conversation, with the model's chat template, or, for models without one, questions about what was read. "
        "Lines that begin with / are commands; /help lists them. Ctrl-C stops an answer.",
    .example = "mnemo chat -m models/default.gguf -f book.txt",
    .options = options,
    .words = "model",
};

typedef struct chat {
    mn_engine *engine;
    mn_session *session;
    mn_sampler *sampler;
    mn_conversation talk;
    mn_strbuf answer;
    mn_progress progress;
    bool done;
} chat;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

static bool has_template(const chat *c) { return mn_engine_chat_template(c->engine) != NULL; }

/* ---- answering ---- */

static bool take_text(void *arg, const char *text, size_t bytes) {
    chat *c = arg;
    mn_strbuf_put(&c->answer, text, bytes);
    fwrite(text, 1, bytes, stdout);
    fflush(stdout);
    return !interrupted;
}

static bool show_progress(void *arg, int64_t done, int64_t total) {
    (void)total;
    mn_progress_at(&((chat *)arg)->progress, done);
    return !interrupted;
}

/* The tokens of the conversation so far; a model without template sees the document and the last question. */
static mn_status compose(const chat *c, mn_tokens *out, mn_error *err) {
    if (has_template(c)) return mn_compose_chat(c->engine, c->talk.messages, c->talk.n, out, err);
    const char *question = c->talk.messages[c->talk.n - 1].content;
    return mn_compose_ask(c->engine, NULL, c->talk.document.bytes ? c->talk.document.data : NULL, question, false, out,
                          err);
}

static mn_status read_and_write(chat *c, const mn_tokens *tokens, mn_error *err) {
    const char *stops[sizeof mn_given_sampling.stops.items / sizeof *mn_given_sampling.stops.items + 2] = {0};
    int64_t n_predict = mn_given_sampling.n_predict == MN_NO_LIMIT_GIVEN ? -1 : mn_given_sampling.n_predict;
    mn_generate_params params = {.n_predict = n_predict, .stops = stops};
    mn_generated generated;
    int n_stops = 0;
    if (!has_template(c)) stops[n_stops++] = "\n";
    for (int i = 0; i < mn_given_sampling.stops.n; i++) stops[n_stops++] = mn_given_sampling.stops.items[i];
    mn_progress_begin(&c->progress, "reading", "tokens", (int64_t)tokens->n);
    mn_status status = mn_session_sync(c->session, tokens->data, (int64_t)tokens->n, show_progress, c, NULL, err);
    mn_progress_end(&c->progress);
    MN_TRY(status);
    for (size_t i = 0; i < tokens->n; i++) mn_sampler_accept(c->sampler, tokens->data[i]);
    MN_TRY(mn_generate(c->session, c->sampler, &params, take_text, c, &generated, err));
    putchar('\n');
    if (generated.finish == MN_FINISH_WINDOW) puts("(the window is full; /clear starts anew)");
    return MN_OK;
}

/* Answers the last message, a user's, and keeps the answer. */
static mn_status answer(chat *c, mn_error *err) {
    mn_tokens tokens;
    mn_strbuf_reset(&c->answer);
    interrupted = 0;
    MN_TRY(compose(c, &tokens, err));
    mn_status status = read_and_write(c, &tokens, err);
    free(tokens.data);
    MN_TRY(status);
    const char *text = c->answer.data + strspn(c->answer.data, " \n");
    return mn_conversation_add(&c->talk, "assistant", text, err);
}

static mn_status say(chat *c, const char *line, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    if (has_template(c) && c->talk.document.bytes) {
        mn_strbuf_put(&text, c->talk.document.data, c->talk.document.bytes);
        mn_strbuf_puts(&text, "\n\n");
    }
    mn_strbuf_puts(&text, line);
    mn_status status = text.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for the message.")
                                   : mn_conversation_add(&c->talk, "user", text.data, err);
    mn_strbuf_release(&text);
    MN_TRY(status);
    status = answer(c, err);
    if (status != MN_OK)
        mn_conversation_drop(&c->talk); /* what could not be answered was not said */
    else if (has_template(c))
        mn_strbuf_reset(&c->talk.document);
    return status;
}

/* ---- commands ---- */

static mn_status read_text(chat *c, const char *path, mn_error *err) {
    char *text;
    size_t bytes, n;
    int32_t *ids;
    MN_TRY(mn_file_read(path, MAX_TEXT_BYTES, &text, &bytes, err));
    mn_status status =
        strlen(text) == bytes ? MN_OK : mn_fail(err, MN_ERR_FORMAT, "%s: holds zero bytes, so it is no text.", path);
    if (status == MN_OK) status = mn_tokenize(mn_engine_tokenizer(c->engine), text, bytes, false, false, &ids, &n, err);
    if (status == MN_OK) {
        if (c->talk.document.bytes) mn_strbuf_putc(&c->talk.document, '\n');
        mn_strbuf_put(&c->talk.document, text, bytes);
        printf("%s: %zu tokens of a window of %lld\n", path, n, (long long)mn_session_n_ctx(c->session));
        free(ids);
    }
    free(text);
    return status;
}

/* The cached rows lie beside the conversation, so that loading it reads nothing again. */
static void rows_path(const char *path, char out[4096]) { snprintf(out, 4096, "%s.session", path); }

static mn_status command_save(chat *c, const char *path, mn_error *err) {
    char rows[4096];
    rows_path(path, rows);
    MN_TRY(mn_conversation_save(&c->talk, path, err));
    MN_TRY(mn_session_save(c->session, rows, err));
    printf("saved %zu messages to %s\n", c->talk.n, path);
    return MN_OK;
}

static mn_status command_load(chat *c, const char *path, mn_error *err) {
    char rows[4096];
    mn_error note;
    mn_sentence sentence;
    rows_path(path, rows);
    MN_TRY(mn_conversation_load(&c->talk, path, err));
    if (access(rows, R_OK) == 0 && mn_session_restore(c->session, rows, &note) != MN_OK)
        printf("the text will be read again: %s\n", mn_cli_sentence(sentence, &note));
    printf("loaded %zu messages\n", c->talk.n);
    return MN_OK;
}

static mn_status command_regen(chat *c, const char *argument, mn_error *err) {
    (void)argument;
    if (c->talk.n == 0 || strcmp(c->talk.messages[c->talk.n - 1].role, "assistant"))
        return mn_fail(err, MN_ERR_ARGUMENT, "there is no answer to make again.");
    mn_conversation_drop(&c->talk);
    return answer(c, err);
}

static mn_status command_ctx(chat *c, const char *argument, mn_error *err) {
    (void)argument, (void)err;
    int64_t used = mn_session_n_tokens(c->session), n_ctx = mn_session_n_ctx(c->session);
    printf("%lld of %lld tokens (%.0f%%), made for %lld; cached rows %.1f MiB; %zu messages\n", (long long)used,
           (long long)n_ctx, 100.0 * (double)used / (double)n_ctx, (long long)mn_engine_info(c->engine).n_ctx_train,
           (double)mn_session_kv_bytes(c->session) / 0x1p20, c->talk.n);
    return MN_OK;
}

static mn_status start_talk(chat *c, mn_error *err) {
    mn_conversation_release(&c->talk);
    return system_prompt ? mn_conversation_add(&c->talk, "system", system_prompt, err) : MN_OK;
}

static mn_status command_clear(chat *c, const char *argument, mn_error *err) {
    (void)argument;
    return start_talk(c, err);
}

static mn_status command_exit(chat *c, const char *argument, mn_error *err) {
    (void)argument, (void)err;
    c->done = true;
    return MN_OK;
}

static mn_status command_help(chat *c, const char *argument, mn_error *err);

static const struct command {
    const char *name, *argument, *help;
    mn_status (*run)(chat *c, const char *argument, mn_error *err);
} commands[] = {
    {"/help", NULL, "this list", command_help},
    {"/read", "FILE", "read a text to talk about", read_text},
    {"/save", "FILE", "keep the conversation, and what was computed for it", command_save},
    {"/load", "FILE", "go on with a kept conversation", command_load},
    {"/regen", NULL, "answer the last message again", command_regen},
    {"/ctx", NULL, "how full the window is", command_ctx},
    {"/clear", NULL, "forget everything said and read", command_clear},
    {"/exit", NULL, "leave", command_exit},
};

static mn_status command_help(chat *c, const char *argument, mn_error *err) {
    (void)c, (void)argument, (void)err;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        printf("  %-6s %-5s %s\n", commands[i].name, commands[i].argument ? commands[i].argument : "",
               commands[i].help);
    return MN_OK;
}

static mn_status run_command(chat *c, const char *line, mn_error *err) {
    size_t name_bytes = strcspn(line, " \t");
    const char *argument = line + name_bytes + strspn(line + name_bytes, " \t");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strlen(commands[i].name) != name_bytes || strncmp(commands[i].name, line, name_bytes)) continue;
        if (commands[i].argument && !*argument)
            return mn_fail(err, MN_ERR_ARGUMENT, "%s needs a %s.", commands[i].name, commands[i].argument);
        return commands[i].run(c, argument, err);
    }
    return mn_fail(err, MN_ERR_ARGUMENT, "there is no command %.*s; /help lists them.", (int)name_bytes, line);
}

/* ---- the loop ---- */

/* The next line without its newline, NULL at the end of input; the caller frees it. */
static char *next_line(bool terminal) {
#ifdef MNEMO_HAVE_LIBEDIT
    if (terminal) {
        char *line = readline("> ");
        if (line && *line) add_history(line);
        return line;
    }
#endif
    char *line = NULL;
    size_t capacity = 0;
    if (terminal) fputs("> ", stdout);
    fflush(stdout);
    ssize_t n = getline(&line, &capacity, stdin);
    if (n < 0) {
        free(line);
        return NULL;
    }
    if (n > 0 && line[n - 1] == '\n') line[n - 1] = 0;
    return line;
}

static void talk(chat *c) {
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    mn_error err;
    mn_sentence sentence;
    if (terminal) puts("/help lists the commands; Ctrl-D leaves.");
    for (char *line; !c->done && (line = next_line(terminal)); free(line)) {
        const char *text = line + strspn(line, " \t");
        if (!*text) continue;
        if ((*text == '/' ? run_command(c, text, &err) : say(c, text, &err)) != MN_OK)
            printf("%s\n", mn_cli_sentence(sentence, &err));
    }
}

static mn_status start(chat *c, mn_error *err) {
    MN_TRY(mn_model_options_open(&mn_given_model, false, &c->engine, &c->session, err));
    MN_TRY(mn_sample_options_create(&mn_given_sampling, 0.8, mn_sample_options_seed(&mn_given_sampling),
                                    mn_tokenizer_n_vocab(mn_engine_tokenizer(c->engine)), &c->sampler, err));
    if (system_prompt && !has_template(c))
        return mn_fail(err, MN_ERR_UNSUPPORTED, "a system prompt needs a chat template, and this model has none.");
    MN_TRY(start_talk(c, err));
    for (int i = 0; i < files.n; i++) MN_TRY(read_text(c, files.items[i], err));
    return MN_OK;
}

int cmd_chat(int argc, char **argv) {
    mn_text_list positional;
    int code = mn_options_parse(&usage, argc, argv, &positional);
    if (code >= 0) return code;
    chat c = {.talk = MN_CONVERSATION_INIT, .answer = MN_STRBUF_INIT};
    mn_error err;
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    mn_status status = start(&c, &err);
    sigaction(SIGINT, &action, NULL);
    if (status == MN_OK) talk(&c);
    mn_conversation_release(&c.talk);
    mn_strbuf_release(&c.answer);
    mn_sampler_destroy(c.sampler);
    mn_session_close(c.session);
    mn_engine_close(c.engine);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("chat", &err);
}
