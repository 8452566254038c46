/* mnemo run: answer about a text. */
#include "base/clock.h"
#include "cli/terminal.h"
#include "cli/answer.h"
#include "cli/answer_grammar.h"
#include "cli/answer_text.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/prompt_options.h"
#include "cli/run_report.h"
#include "cli/saved_session.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "cli/texts.h"
#include "cli/verbs.h"
#include "cli/window.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static mn_text_list files;
static const char *prompt, *system_prompt;
static mn_saved_session saved;
static bool raw, quiet, verbose, as_json, escape, no_escape, profiles, cpu_time;
static const char *svg_path;

static const mn_option options[] = {
    MN_OPTION_TEXTS("f file", &files, "FILE", "a text to read; may be repeated; - is standard input"),
    MN_OPTION_TEXT("p prompt", &prompt, "TEXT", NULL, "what to ask about it, or to continue"),
    MN_OPTION_TEXT("sys system-prompt", &system_prompt, "TEXT", NULL,
                   "system message, for models with a chat template"),
    MN_OPTION_FLAG("raw", &raw, "join files and prompt as they are, without any template"),
    MN_OPTION_FLAG("e escape", &escape, "read \\n, \\t, \\\\, \\x41 ... in prompt, system message and -r"),
    MN_OPTION_FLAG("no-escape", &no_escape, "leave them as they are, which is what happens without -e"),
    MN_OPTION_TEXT("session", &saved.path, "FILE", NULL,
                   "start from this saved session if it is there, and save to it"),
    MN_OPTION_FLAG("session-replace", &saved.replace, "save to it also where it holds another text"),
    MN_OPTION_FLAG("json", &as_json, "print one JSON object: answer, why it ended, figures, ids"),
    MN_OPTION_FLAG("profile", &profiles, "say where the time went: by operation and layers"),
    MN_OPTION_FLAG("cpu-time", &cpu_time, "let --profile count CPU time, which other programs do not disturb (-t 1)"),
    MN_OPTION_WRITTEN("svg", &svg_path, "FILE", "draw what --profile says"),
    MN_OPTION_FLAG("q quiet", &quiet, "no line of figures"),
    MN_OPTION_FLAG("v verbose", &verbose, "say what was chosen: the seed"),
    MN_OPTION_GROUP(mn_prompt_option_rows),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTION_GROUP(mn_position_option_rows),
    MN_OPTION_GROUP(mn_sample_option_rows),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "run",
    .synopsis = "[MODEL] [-f FILE]... [PROMPT] [options]",
    .about = "Reads the files, or without any what is piped into standard input, then answers the prompt. They are "
             "joined by the model's chat template, else by its ask template, else as text, newline, prompt. The "
             "answer goes to standard output, figures to standard error.",
    .example = "mnemo run -m models/default.gguf -f book.txt -p 'What is the secret number of Boston?'",
    .options = options,
    .words = "model prompt",
};

typedef struct job {
    mn_engine *engine;
    mn_session *session;
    mn_strbuf document, answer;
    int n_texts;
    mn_tokens tokens;
    mn_progress progress;
    double started;
    mn_run_figures figures;
} job;

static const char *document_of(const job *j) { return j->n_texts ? j->document.data : NULL; }

static mn_status compose(job *j, mn_error *err) {
    MN_TRY(mn_texts_read(&files, raw, prompt, quiet, &j->document, &j->n_texts, err));
    if (!prompt && j->n_texts == 0)
        return mn_fail(err, MN_ERR_ARGUMENT, "nothing to read: give -f FILE, -p PROMPT or both.");
    return mn_cli_past_usage(mn_compose_ask(j->engine, system_prompt, document_of(j), prompt, raw, &j->tokens, err),
                             err);
}

static bool show_progress(void *arg, int64_t done, int64_t total) {
    job *j = arg;
    mn_run_figures *f = &j->figures;
    double seconds = mn_clock_seconds() - j->started;
    if (f->n_first == 0 && done >= total / 10) {
        f->n_first = done;
        f->first_s = seconds;
    }
    if (f->n_before_last == 0 && done >= total - total / 10) {
        f->n_before_last = done;
        f->before_last_s = seconds;
    }
    mn_progress_at(&j->progress, done);
    return !mn_signals_interrupted();
}

/* What was read before Ctrl-C is not read again by the next run. */
static mn_status say_stopped(mn_error *err) {
    if (!saved.is_kept && saved.failure.status == MN_OK)
        mn_fail(err, MN_ERR_CANCELLED, "%s It is saved: the same command goes on from there.", err->text);
    return MN_ERR_CANCELLED;
}

static mn_status prefill(job *j, mn_error *err) {
    mn_run_figures *f = &j->figures;
    f->n_prompt = (int64_t)j->tokens.n;
    MN_TRY(mn_saved_session_begin(&saved, j->session, j->tokens.data, f->n_prompt, err));
    if (saved.path) mn_signals_catch_interrupt();
    j->started = mn_clock_seconds();
    mn_progress_begin(&j->progress, "prefill", "tokens", f->n_prompt);
    mn_engine_profile(j->engine, f->profiles[0]);
    mn_status status = mn_session_sync(j->session, j->tokens.data, f->n_prompt, show_progress, j, &f->n_reused, err);
    mn_engine_profile(j->engine, NULL);
    f->keys[0] = mn_session_keys(j->session);
    mn_progress_end(&j->progress);
    f->prefill_s = mn_clock_seconds() - j->started;
    mn_signals_release_interrupt();
    if (status == MN_OK || status == MN_ERR_CANCELLED) mn_saved_session_save(&saved, j->session);
    return status == MN_ERR_CANCELLED ? say_stopped(err) : status;
}

static bool take_text(void *arg, const char *text, size_t bytes) {
    job *j = arg;
    if (as_json) {
        mn_strbuf_put(&j->answer, text, bytes);
        return !j->answer.failed;
    }
    return mn_answer_write(text, bytes);
}

static mn_status answer(job *j, mn_error *err) {
    mn_run_figures *f = &j->figures;
    bool templated = !raw && mn_engine_chat_template(j->engine);
    mn_answer_request request = {.engine = j->engine,
                                 .session = j->session,
                                 .prompt = &j->tokens,
                                 .one_line = prompt && mn_answers_in_one_line(j->engine, document_of(j), raw),
                                 .has_turns = templated,
                                 .about_text = j->n_texts && prompt,
                                 .seed = f->seed};
    double started = mn_clock_seconds();
    errno = 0;
    mn_engine_profile(j->engine, f->profiles[1]);
    mn_status status = mn_answer(&request, &mn_given_sampling, take_text, j, &f->answer, err);
    mn_engine_profile(j->engine, NULL);
    f->keys[1] = mn_session_keys(j->session);
    f->decode_s = mn_clock_seconds() - started;
    MN_TRY(status);
    if (as_json) return mn_run_print_json(f, j->session, mn_given_model.model, j->answer.data, j->answer.bytes, err);
    if (ferror(stdout) || putchar('\n') == EOF || fflush(stdout)) return mn_streams_failed(err);
    return MN_OK;
}

static mn_status create_profiles(job *j, mn_error *err) {
    mn_peaks peaks;
    MN_TRY(mn_cli_profile_peaks(j->engine, &peaks, err));
    for (int i = 0; i < 2; i++)
        MN_TRY(mn_cli_profile_create(j->engine, &peaks, cpu_time, &j->figures.profiles[i], err));
    return MN_OK;
}

/* What depends on the flags. */
static mn_status set_up(job *j, mn_error *err) {
    if (escape && !no_escape) {
        prompt = mn_text_unescape(prompt);
        system_prompt = mn_text_unescape(system_prompt);
        mn_text_list *stops = &mn_given_sampling.stops;
        for (int i = 0; i < stops->n; i++) stops->items[i] = mn_text_unescape(stops->items[i]);
    }
    j->figures.seed = mn_sample_options_seed(&mn_given_sampling);
    j->figures.has_disk = mn_given_model.kv_disk;
    MN_TRY(mn_sample_options_check(&mn_given_sampling, err));
    MN_TRY(mn_model_options_engine(&mn_given_model, false, &j->engine, err));
    MN_TRY(compose(j, err));
    if (profiles) MN_TRY(create_profiles(j, err));
    return mn_model_options_session(&mn_given_model, j->engine, &j->session, err);
}

static mn_status work(job *j, mn_error *err) {
    int64_t room = mn_given_sampling.n_predict > 0 ? mn_given_sampling.n_predict : MN_ANSWER_TOKENS;
    MN_TRY(mn_window_check(&mn_given_model, j->engine, j->session, (int64_t)j->tokens.n, room, err));
    mn_prompt_show(mn_engine_tokenizer(j->engine), j->tokens.data, j->tokens.n);
    mn_text_note_fallback(mn_engine_tokenizer(j->engine), j->tokens.data, j->tokens.n);
    if (verbose) mn_say("mnemo: seed %llu", (unsigned long long)j->figures.seed);
    MN_TRY(prefill(j, err));
    MN_TRY(answer(j, err));
    if (!quiet) mn_run_print_figures(&j->figures, j->session);
    if (!as_json) mn_run_print_profiles(&j->figures);
    if (svg_path) MN_TRY(mn_run_draw_profiles(&j->figures, svg_path, err));
    if (saved.failure.status != MN_OK && err) *err = saved.failure;
    return saved.failure.status;
}

int cmd_run(int argc, char **argv) {
    mn_text_list none;
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    if (escape && no_escape) return mn_cli_wrong(&usage, "-e and --no-escape exclude each other.");
    if (svg_path && !profiles) return mn_cli_wrong(&usage, "--svg draws what --profile says: give both.");
    if (cpu_time && !profiles) return mn_cli_wrong(&usage, "--cpu-time is about what --profile says: give both.");
    job j = {.document = MN_STRBUF_INIT, .answer = MN_STRBUF_INIT};
    mn_error err;
    mn_status status = set_up(&j, &err);
    if (status == MN_OK) status = mn_cli_past_usage(work(&j, &err), &err);
    mn_answer_grammar_release();
    for (int i = 0; i < 2; i++) mn_profile_destroy(j.figures.profiles[i]);
    mn_session_close(j.session);
    mn_engine_close(j.engine);
    mn_strbuf_release(&j.document);
    mn_strbuf_release(&j.answer);
    free(j.tokens.data);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("run", &err);
}
