/* mnemo chat: talk. */
#include "base/file.h"
#include "cli/terminal.h"
#include "cli/chat.h"
#include "cli/answer.h"
#include "cli/prompt_options.h"
#include "cli/answer_text.h"
#include "cli/remedy.h"
#include "cli/streams.h"
#include "cli/answer_grammar.h"
#include "cli/verbs.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef MNEMO_HAVE_LIBEDIT
#include <editline/readline.h>
#endif

static mn_text_list files;
static const char *system_prompt;
static bool verbose, raw;

static const mn_option options[] = {
    MN_OPTION_TEXTS("f file", &files, "FILE", "a text to talk about; may be repeated, as /read"),
    MN_OPTION_TEXT("sys system-prompt", &system_prompt, "TEXT", NULL,
                   "system message, for models with a chat template"),
    MN_OPTION_FLAG("v verbose", &verbose, "say what was chosen: the seed"),
    MN_OPTION_FLAG("raw", &raw,
                   "no template: the model goes on with all that was read, typed and answered, line by line"),
    MN_OPTION_GROUP(mn_prompt_option_rows),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTION_GROUP(mn_position_option_rows),
    MN_OPTION_GROUP(mn_sample_option_rows),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "chat",
    .synopsis = "[MODEL] [-f FILE]... [options]",
    .about = "A conversation, with the model's chat template, or, for models without one, questions about what was "
             "read. Lines that begin with / are commands; /help lists them. Ctrl-C stops an answer, and twice leaves. "
             "Questions may come through a pipe, a line each; an error is then exit code 1 at the end.",
    .example = "mnemo chat -m models/default.gguf -f book.txt",
    .options = options,
    .words = "model",
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    if (interrupted) {
        mn_writer_remove_all();
        _exit(128 + signal_number);
    }
    interrupted = 1;
}

bool chat_has_template(const chat *c) { return !c->raw && mn_engine_chat_template(c->engine); }

/* ---- answering ---- */

static bool take_text(void *arg, const char *text, size_t bytes) {
    chat *c = arg;
    mn_strbuf_put(&c->answer, text, bytes);
    return mn_answer_write(text, bytes) && !interrupted;
}

static bool show_progress(void *arg, int64_t done, int64_t total) {
    (void)total;
    mn_progress_at(&((chat *)arg)->progress, done);
    return !interrupted;
}

static bool was_anything_read(const chat *c) {
    for (size_t i = 0; i < c->talk.n; i++)
        if (c->talk.entries[i].kind == MN_ENTRY_TEXT) return true;
    return false;
}

static mn_status prefill(chat *c, const mn_tokens *tokens, mn_error *err) {
    mn_progress_begin(&c->progress, "prefill", "tokens", (int64_t)tokens->n);
    mn_status status = mn_session_sync(c->session, tokens->data, (int64_t)tokens->n, show_progress, c, NULL, err);
    mn_progress_end(&c->progress);
    return status;
}

static void print_ending(const chat *c, const mn_generated *generated) {
    mn_ending_text buf;
    const char *ending = mn_answer_ending(generated, mn_session_n_ctx(c->session), buf);
    if (ending) mn_say("mnemo: %s", ending);
    if (generated->finish == MN_FINISH_WINDOW) mn_say("mnemo: /ctx lists what fills it, /drop and /undo make room");
}

static mn_status generate(chat *c, const mn_tokens *tokens, mn_error *err) {
    mn_answer_request request = {.engine = c->engine,
                                 .session = c->session,
                                 .prompt = tokens,
                                 .one_line = !c->raw && !chat_has_template(c),
                                 .has_turns = chat_has_template(c),
                                 .about_text = was_anything_read(c),
                                 .seed = c->seed + (uint64_t)c->n_answers++};
    mn_generated generated;
    errno = 0;
    MN_TRY(mn_answer(&request, &mn_given_sampling, take_text, c, &generated, err));
    if (ferror(stdout) || putchar('\n') == EOF || fflush(stdout)) {
        c->done = true;
        return mn_streams_failed(err);
    }
    print_ending(c, &generated);
    return MN_OK;
}

mn_status chat_answer(chat *c, mn_error *err) {
    mn_tokens tokens;
    mn_strbuf_reset(&c->answer);
    interrupted = 0;
    MN_TRY(chat_compose(c, &tokens, err));
    mn_status status = chat_check_window(c, (int64_t)tokens.n, err);
    if (status == MN_OK) mn_prompt_show(mn_engine_tokenizer(c->engine), tokens.data, tokens.n);
    if (status == MN_OK) status = prefill(c, &tokens, err);
    if (status == MN_OK) status = generate(c, &tokens, err);
    free(tokens.data);
    MN_TRY(status);
    const char *text = c->answer.data + (c->raw ? 0 : strspn(c->answer.data, " \n"));
    return mn_conversation_add(&c->talk, MN_ENTRY_ANSWER, NULL, text, err);
}

static mn_status ask(chat *c, const char *line, mn_error *err) {
    MN_TRY(mn_conversation_add(&c->talk, MN_ENTRY_QUESTION, NULL, line, err));
    mn_status status = chat_answer(c, err);
    if (status != MN_OK) mn_conversation_remove(&c->talk, c->talk.n - 1, 1); /* what was not answered was not said */
    return status;
}

/* ---- the loop ---- */

/* The next line without its end, NULL at the end of input; the caller frees it. *whole: no zero byte cuts it. */
static char *next_line(bool terminal, bool *whole) {
    *whole = true;
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
    *whole = strlen(line) == (size_t)n;
    if (n > 0 && line[n - 1] == '\n') line[--n] = 0;
    if (n > 0 && line[n - 1] == '\r') line[--n] = 0;
    return line;
}

static mn_status take_line(chat *c, const char *line, bool whole, mn_error *err) {
    const char *text = line + strspn(line, " \t");
    if (!whole) return mn_fail(err, MN_ERR_FORMAT, "a line with a zero byte in it is no question.");
    if (!*text) return MN_OK;
    return *text == '/' ? chat_command(c, text, err) : ask(c, text, err);
}

/* Whether all went well. */
static bool talk(chat *c) {
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO), whole, well = true;
    mn_error err;
    mn_sentence sentence;
    if (terminal) puts("/help lists the commands; Ctrl-D leaves.");
    for (char *line; !c->done && (line = next_line(terminal, &whole)); free(line)) {
        if (take_line(c, line, whole, &err) == MN_OK) continue;
        fflush(stdout);
        mn_say("mnemo chat: %s", mn_cli_sentence(sentence, &err));
        well = false;
    }
    return well || isatty(STDIN_FILENO);
}

static mn_status start(chat *c, mn_error *err) {
    c->system_prompt = system_prompt;
    c->raw = raw;
    c->seed = mn_sample_options_seed(&mn_given_sampling);
    MN_TRY(mn_sample_options_check(&mn_given_sampling, err));
    MN_TRY(mn_model_options_open(&mn_given_model, false, &c->engine, &c->session, err));
    if (system_prompt && !chat_has_template(c))
        return mn_fail(err, MN_ERR_UNSUPPORTED, "a system prompt needs a chat template, and %s.",
                       raw ? "--raw leaves it out" : "this model has none");
    MN_TRY(chat_start(c, err));
    for (int i = 0; i < files.n; i++) MN_TRY(mn_cli_past_usage(chat_read_text(c, files.items[i], stderr, err), err));
    if (verbose) mn_say("mnemo: seed %llu", (unsigned long long)c->seed);
    return MN_OK;
}

int cmd_chat(int argc, char **argv) {
    mn_text_list none;
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    for (int i = 0; i < files.n; i++)
        if (!strcmp(files.items[i], "-"))
            return mn_cli_wrong(&usage, "-f - cannot be read: standard input is where the questions come from.");
    chat c = {.answer = MN_STRBUF_INIT};
    mn_error err;
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    mn_status status = start(&c, &err);
    sigaction(SIGINT, &action, NULL);
    code = status != MN_OK ? mn_cli_fail("chat", &err) : talk(&c) ? MN_EXIT_DONE : MN_EXIT_FAILED;
    mn_conversation_release(&c.talk);
    mn_strbuf_release(&c.answer);
    free(c.kept_in);
    mn_answer_grammar_release();
    mn_session_close(c.session);
    mn_engine_close(c.engine);
    return code;
}
