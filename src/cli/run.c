/* mnemo run: answer about a text. */
#include "base/clock.h"
#include "base/file.h"
#include "cli/progress.h"
#include "base/strbuf.h"
#include "cli/human.h"
#include "cli/model_options.h"
#include "cli/sample_options.h"
#include "cli/verbs.h"
#include "session/compose.h"
#include "session/generate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TEXT_BYTES = 1 << 30, MIN_TOKENS_FOR_ENDS = 1 << 15, LINE_TOKENS = 256 };

static mn_text_list files;
static const char *prompt, *system_prompt, *session_path;
static bool raw, quiet;

static const mn_option options[] = {
    MN_OPTION_TEXTS("f file", &files, "FILE", "a text to read; may be repeated; - is standard input"),
    MN_OPTION_TEXT("p prompt", &prompt, "TEXT", NULL, "what to ask about it, or to continue"),
    MN_OPTION_TEXT("sys system-prompt", &system_prompt, "TEXT", NULL,
                   "system message, for models with a chat template"),
    MN_OPTION_FLAG("raw", &raw, "join files and prompt as they are, without any template"),
    MN_OPTION_TEXT("session", &session_path, "FILE", NULL,
                   "start from this saved session if it is there, and save to it"),
    MN_OPTION_FLAG("q quiet", &quiet, "no line of figures"),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTION_GROUP(mn_sample_option_rows),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "run",
    .synopsis = "[MODEL] [-f FILE]... [PROMPT] [options]",
    .about = "Reads the files, then answers the prompt. They are joined by the model's chat template, else by its ask "
             "template, else as text, newline, prompt. The answer goes to standard output, figures to standard error.",
    .example = "mnemo run -m models/default.gguf -f book.txt -p 'What is the secret number of Boston?'",
    .options = options,
    .words = "model prompt",
};

typedef struct job {
    mn_engine *engine;
    mn_session *session;
    mn_sampler *sampler;
    mn_strbuf document;
    mn_tokens tokens;
    mn_progress progress;
    int64_t n_reused;
    double read_started, read_seconds, answer_seconds;
    /* The first tenth of the reading, and the rest without the last tenth: where a long text becomes slow shows. */
    int64_t n_first, n_before_last;
    double first_seconds, before_last_seconds;
    mn_generated answer;
} job;

static mn_status read_files(mn_strbuf *document, mn_error *err) {
    for (int i = 0; i < files.n; i++) {
        char *text;
        size_t bytes;
        MN_TRY(mn_file_read(files.items[i], MAX_TEXT_BYTES, &text, &bytes, err));
        if (i > 0) mn_strbuf_putc(document, '\n');
        bool has_nul = memchr(text, 0, bytes) != NULL;
        mn_strbuf_put(document, text, bytes);
        free(text);
        if (has_nul) return mn_fail(err, MN_ERR_FORMAT, "%s: holds zero bytes, so it is no text.", files.items[i]);
    }
    return document->failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for the texts.") : MN_OK;
}

static mn_status compose(job *j, mn_error *err) {
    if (!prompt && files.n == 0)
        return mn_fail(err, MN_ERR_ARGUMENT, "nothing to read: give -f FILE, -p PROMPT or both.");
    MN_TRY(read_files(&j->document, err));
    return mn_compose_ask(j->engine, system_prompt, files.n ? j->document.data : NULL, prompt, raw, &j->tokens, err);
}

static bool show_progress(void *arg, int64_t done, int64_t total) {
    job *j = arg;
    double seconds = mn_clock_seconds() - j->read_started;
    if (j->n_first == 0 && done >= total / 10) {
        j->n_first = done;
        j->first_seconds = seconds;
    }
    if (j->n_before_last == 0 && done >= total - total / 10) {
        j->n_before_last = done;
        j->before_last_seconds = seconds;
    }
    mn_progress_at(&j->progress, done);
    return true;
}

static mn_status read_prompt(job *j, mn_error *err) {
    if (session_path && access(session_path, F_OK) == 0) MN_TRY(mn_session_restore(j->session, session_path, err));
    j->read_started = mn_clock_seconds();
    mn_progress_begin(&j->progress, "reading", "tokens", (int64_t)j->tokens.n);
    mn_status status =
        mn_session_sync(j->session, j->tokens.data, (int64_t)j->tokens.n, show_progress, j, &j->n_reused, err);
    mn_progress_end(&j->progress);
    j->read_seconds = mn_clock_seconds() - j->read_started;
    MN_TRY(status);
    return session_path ? mn_session_save(j->session, session_path, err) : MN_OK;
}

static bool print_text(void *arg, const char *text, size_t bytes) {
    (void)arg;
    return fwrite(text, 1, bytes, stdout) == bytes && fflush(stdout) == 0;
}

static mn_status answer(job *j, mn_error *err) {
    const char *stops[sizeof mn_given_sampling.stops.items / sizeof *mn_given_sampling.stops.items + 2] = {0};
    int n_stops = 0;
    bool one_line = mn_answers_in_one_line(j->engine, files.n ? j->document.data : NULL, raw) && prompt;
    if (one_line) stops[n_stops++] = "\n";
    /* A model whose window never fills could go on with its line for ever. */
    if (mn_given_sampling.n_predict == MN_NO_LIMIT_GIVEN) mn_given_sampling.n_predict = one_line ? LINE_TOKENS : -1;
    for (int i = 0; i < mn_given_sampling.stops.n; i++) stops[n_stops++] = mn_given_sampling.stops.items[i];
    mn_generate_params params = {.n_predict = mn_given_sampling.n_predict, .stops = stops};
    for (size_t i = 0; i < j->tokens.n; i++) mn_sampler_accept(j->sampler, j->tokens.data[i]);
    double started = mn_clock_seconds();
    mn_status status = mn_generate(j->session, j->sampler, &params, print_text, j, &j->answer, err);
    j->answer_seconds = mn_clock_seconds() - started;
    MN_TRY(status);
    putchar('\n');
    if (fflush(stdout) || ferror(stdout))
        return mn_fail(err, MN_ERR_IO, "the answer could not be written to standard output.");
    return MN_OK;
}

static double rate(double n, double seconds) { return seconds > 0 ? n / seconds : 0; }

/* Speed at both ends of a text that took enough steps to tell. */
static void print_ends(const job *j, int64_t n_read) {
    if (n_read < MIN_TOKENS_FOR_ENDS) return;
    fprintf(stderr, "reading: %.1f tokens/s in the first tenth, %.1f in the last\n",
            rate((double)j->n_first, j->first_seconds),
            rate((double)(n_read - j->n_before_last), j->read_seconds - j->before_last_seconds));
}

static void print_disk(const mn_disk_figures *d) {
    mn_human read, written;
    fprintf(stderr, "disk: %s read, %.2f GB/s; %s written\n", mn_human_bytes(read, d->read_bytes),
            rate((double)d->read_bytes / 1e9, d->read_seconds), mn_human_bytes(written, d->written_bytes));
}

static void print_figures(const job *j) {
    mn_disk_figures disk = mn_session_disk(j->session);
    int64_t n_read = (int64_t)j->tokens.n - j->n_reused;
    fprintf(
        stderr,
        "prompt %zu tokens (%lld reused), %.1f tokens/s; answer %lld tokens, %.1f tokens/s; KV %.2f MiB; window %lld\n",
        j->tokens.n, (long long)j->n_reused, rate((double)n_read, j->read_seconds), (long long)j->answer.n_tokens,
        rate((double)j->answer.n_tokens, j->answer_seconds), (double)mn_session_kv_bytes(j->session) / 0x1p20,
        (long long)mn_session_n_ctx(j->session));
    print_ends(j, n_read);
    if (mn_given_model.kv_disk) print_disk(&disk);
    if (j->answer.finish == MN_FINISH_LENGTH)
        fprintf(stderr, "the answer was cut after %lld tokens; a larger -n lets it go on\n",
                (long long)j->answer.n_tokens);
    if (j->answer.finish == MN_FINISH_WINDOW)
        fprintf(stderr, "the answer was cut: the window of %lld tokens is full; a larger -c holds more\n",
                (long long)mn_session_n_ctx(j->session));
}

static mn_status run(job *j, mn_error *err) {
    MN_TRY(mn_model_options_engine(&mn_given_model, false, &j->engine, err));
    MN_TRY(compose(j, err));
    MN_TRY(mn_model_options_session(&mn_given_model, j->engine, &j->session, err));
    MN_TRY(mn_sample_options_create(&mn_given_sampling, files.n && prompt ? 0 : 0.8,
                                    mn_tokenizer_n_vocab(mn_engine_tokenizer(j->engine)), &j->sampler, err));
    MN_TRY(read_prompt(j, err));
    MN_TRY(answer(j, err));
    if (!quiet) print_figures(j);
    return MN_OK;
}

int cmd_run(int argc, char **argv) {
    mn_text_list positional;
    int code = mn_options_parse(&usage, argc, argv, &positional);
    if (code >= 0) return code;
    job j = {.document = MN_STRBUF_INIT};
    mn_error err;
    mn_status status = run(&j, &err);
    mn_sampler_destroy(j.sampler);
    mn_session_close(j.session);
    mn_engine_close(j.engine);
    mn_strbuf_release(&j.document);
    free(j.tokens.data);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("run", &err);
}
