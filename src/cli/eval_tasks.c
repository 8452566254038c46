/* mnemo eval needle, ruler, compare, ...: samples of tasks over a grid of lengths, depths and settings. */
#include "base/checked.h"
#include "base/file.h"
#include "base/safe_text.h"
#include "cli/terminal.h"
#include "cli/eval.h"
#include "cli/model_file.h"
#include "cli/numbers.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "eval/qa_set.h"
#include "eval/sample_file.h"
#include "eval/wording.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *lengths_text, *tasks_text, *svg_path, *html_path, *results_path, *dump_path, *from_path,
    *templates_path;
static mn_text_list haystacks, qa_files, settings;
static int64_t n_samples, n_depths, seed;
static bool as_json;

static const mn_option options[] = {
    MN_OPTION_TEXT("lengths", &lengths_text, "N,...", "1k,2k,4k", "tokens of a sample, its answer included"),
    MN_OPTION_INT("depths", &n_depths, "N", "0", 0, 101, "places of the needle, 0 to 100 %; 0: drawn for each sample"),
    MN_OPTION_INT("n samples", &n_samples, "N", "20", 1, 1000000, "samples of each cell"),
    MN_OPTION_TEXT("tasks", &tasks_text, "NAME,...", NULL, "tasks, instead of the verb's own (mnemo eval tasks)"),
    MN_OPTION_TEXTS("settings", &settings, "SETTING",
                    "one of several ways to open the session: attn=quest:16,512; may be repeated"),
    MN_OPTION_TEXTS("haystack", &haystacks, "PATH", "texts that needles are hidden in (the novel that ships)"),
    MN_OPTION_TEXTS("qa", &qa_files, "FILE", "questions as JSON Lines: question, answers, passages, others"),
    MN_OPTION_INT("s seed", &seed, "N", "42", 0, 9e18, "of the samples"),
    MN_OPTION_WRITTEN("o output", &results_path, "FILE", "append results as JSON Lines, and go on where they stop"),
    MN_OPTION_WRITTEN("dump", &dump_path, "FILE", "write the samples as JSON Lines and ask nothing"),
    MN_OPTION_TEXT("from", &from_path, "FILE", NULL, "ask the samples that --dump wrote, instead of making some"),
    MN_OPTION_TEXT("templates", &templates_path, "FILE", NULL,
                   "other words for tasks, as JSON: task, prompt with {context} and {query}, answer_prefix"),
    MN_OPTION_FLAG("json", &as_json, "print one JSON object"),
    MN_OPTION_WRITTEN("svg", &svg_path, "FILE",
                      "draw the heat map of the first task; of several settings score by length"),
    MN_OPTION_WRITTEN("html", &html_path, "FILE", "one page with all maps and tables"),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTION_GROUP(mn_position_option_rows),
    MN_OPTIONS_END,
};

typedef struct job {
    mn_eval_grid grid;
    mn_results results;
    mn_strbuf origin; /* of the results */
    mn_corpus corpus;
    mn_qa_set qa[2];
    mn_wordings wordings;
    mn_saved_sample *saved; /* of --from */
    int64_t n_saved;
    mn_engine *engine;
    mn_session *session;
    mn_progress progress;
    int64_t done;
    mn_writer dump;
} job;

static mn_status parse_tasks(mn_eval_grid *g, const char *names, mn_error *err) {
    for (const char *p = names; *p;) {
        char name[64];
        size_t n = strcspn(p, ", ");
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        const mn_task *task = mn_task_find(name);
        if (n && !task)
            return mn_fail(err, MN_ERR_ARGUMENT, "there is no task \"%s\"; mnemo eval tasks lists them.", name);
        if (task && g->n_tasks < MN_MAX_CELLS_TASKS) g->tasks[g->n_tasks++] = task;
        p += n + (p[n] != 0);
    }
    return g->n_tasks ? MN_OK : mn_fail(err, MN_ERR_ARGUMENT, "--tasks names no task; mnemo eval tasks lists them.");
}

/* The tasks that need questions are left out without them, and said. */
static void drop_tasks_without_data(mn_eval_grid *g) {
    int n = 0;
    for (int i = 0; i < g->n_tasks; i++) {
        int set = !strcmp(g->tasks[i]->name, "qa_1") ? 1 : !strcmp(g->tasks[i]->name, "qa_2") ? 2 : 0;
        if (set <= qa_files.n)
            g->tasks[n++] = g->tasks[i];
        else
            mn_say("mnemo eval: %s is left out: it needs %s--qa FILE.", g->tasks[i]->name, set == 2 ? "a second " : "");
    }
    g->n_tasks = n;
}

static mn_status open_data(job *j, mn_error *err) {
    char shipped[PATH_MAX];
    const char *paths[] = {shipped};
    if (templates_path) MN_TRY(mn_wordings_read(templates_path, &j->wordings, err));
    for (int i = 0; i < qa_files.n && i < 2; i++) MN_TRY(mn_qa_set_read(qa_files.items[i], &j->qa[i], err));
    if (haystacks.n) return mn_corpus_open(haystacks.items, haystacks.n, 4096, &j->corpus, err);
    if (!mn_shipped_file_find("demo/pride-and-prejudice.txt", shipped))
        return mn_fail(err, MN_ERR_ARGUMENT, "no text to hide needles in is here; use --haystack FILE.");
    return mn_corpus_open(paths, 1, 4096, &j->corpus, err);
}

static bool report_progress(void *arg, int64_t done, int64_t total) {
    (void)arg, (void)done, (void)total;
    return !mn_signals_interrupted();
}

/* A session for samples of this length under a setting. */
static mn_status open_session(job *j, const char *setting, int64_t length, mn_error *err) {
    mn_model_options o = mn_given_model;
    mn_session_close(j->session);
    j->session = NULL;
    o.beyond = true; /* to measure what happens there */
    MN_TRY(mn_eval_apply_setting(&o, setting, err));
    if (o.n_ctx == 0) o.n_ctx = length;
    return mn_model_options_session(&o, j->engine, &j->session, err);
}

static uint64_t seed_of(const mn_eval_grid *g, int64_t sample) {
    return (uint64_t)g->seed * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)sample;
}

static mn_status make_sample(job *j, const mn_task *task, int64_t length, double depth, int64_t sample,
                             mn_task_sample *out, mn_error *err) {
    int64_t n;
    bool second = !strcmp(task->name, "qa_2");
    mn_task_world world = {.corpus = &j->corpus,
                           .qa = &j->qa[second],
                           .length = length,
                           .depth = depth,
                           .wording = mn_wordings_find(&j->wordings, task->name)};
    mn_task_sample_init(out);
    return mn_task_fit(task, &world, seed_of(&j->grid, sample), mn_ask_count, j->engine, out, &n, err);
}

/* Asks a sample, or takes down why it could not be made. What cannot be asked is a result too, and counted. */
static mn_status ask(job *j, mn_result *r, const mn_task *task, const mn_task_sample *s, mn_status made,
                     mn_error *err) {
    mn_asked asked = {.answer = MN_STRBUF_INIT};
    mn_status status = made;
    if (status == MN_OK) status = mn_ask(j->engine, j->session, task, s, report_progress, NULL, &asked, err);
    if (status == MN_OK) {
        r->score = asked.score;
        r->n_prompt = asked.n_prompt;
        r->n_reused = asked.n_reused;
        r->n_answer = asked.n_answer;
        r->prefill_s = asked.prefill_s;
        r->decode_s = asked.decode_s;
        r->kv_bytes = (double)asked.kv_bytes;
    } else if (status == MN_ERR_LIMIT) {
        snprintf(r->failure, sizeof r->failure, "%.250s", err->text);
        mn_text_make_utf8(r->failure, strlen(r->failure)); /* it was cut */
        status = MN_OK;
    }
    if (status == MN_OK) status = mn_results_add(&j->results, r, s, *r->failure ? NULL : &asked, err);
    mn_strbuf_release(&asked.answer);
    return status;
}

/* Opens a result; false when it is there already. */
static bool begin_result(const job *j, const mn_task *task, const char *setting, int64_t length, double depth,
                         int64_t sample, mn_result *r) {
    *r = (mn_result){.length = length, .sample = sample, .depth = depth, .score = NAN};
    snprintf(r->task, sizeof r->task, "%s", task->name);
    snprintf(r->setting, sizeof r->setting, "%s", setting);
    return !mn_results_find(&j->results, task->name, setting, length, depth, sample);
}

static mn_status end_sample(job *j, mn_error *err) {
    mn_progress_at(&j->progress, ++j->done);
    return mn_signals_interrupted() ? mn_fail(err, MN_ERR_CANCELLED, "stopped.") : MN_OK;
}

/* In the place of what a step says that was stopped. */
static mn_status say_stopped(const job *j, mn_error *err) {
    return mn_fail(err, MN_ERR_CANCELLED,
                   results_path ? "stopped after %lld samples; the same command goes on there."
                                : "stopped after %lld samples; -o FILE keeps what was measured.",
                   (long long)j->done);
}

/* One sample at each depth, the deepest first: the text before a needle is the same at every depth, and the session
 * keeps it. */
static mn_status run_sample(job *j, const mn_task *task, const char *setting, int64_t length, int64_t i,
                            mn_error *err) {
    const mn_eval_grid *g = &j->grid;
    for (int d = MN_MAX(g->n_depths, 1) - 1; d >= 0; d--) {
        double depth = mn_eval_depth(g, d);
        mn_result r;
        if (begin_result(j, task, setting, length, depth, i, &r)) {
            mn_task_sample s;
            if (!j->session) MN_TRY(open_session(j, setting, length, err));
            mn_status status = make_sample(j, task, length, depth, i, &s, err);
            status = ask(j, &r, task, &s, status, err);
            mn_task_sample_release(&s);
            MN_TRY(status);
        }
        MN_TRY(end_sample(j, err));
    }
    return MN_OK;
}

/* The samples of --from under each setting, in the order of the file. */
static mn_status run_saved(job *j, mn_error *err) {
    const mn_eval_grid *g = &j->grid;
    mn_progress_begin(&j->progress, "evaluating", "samples", g->n_settings * j->n_saved);
    for (int k = 0; k < g->n_settings; k++) {
        int64_t length = 0;
        for (const mn_saved_sample *x = j->saved; x < j->saved + j->n_saved; x++) {
            mn_result r;
            if (begin_result(j, x->task, g->settings[k], x->length, x->depth, x->sample, &r)) {
                if (x->length != length) MN_TRY(open_session(j, g->settings[k], x->length, err));
                length = x->length;
                MN_TRY(ask(j, &r, x->task, &x->s, MN_OK, err));
            }
            MN_TRY(end_sample(j, err));
        }
    }
    return MN_OK;
}

static mn_status run_grid(job *j, mn_error *err) {
    const mn_eval_grid *g = &j->grid;
    mn_progress_begin(&j->progress, "evaluating", "samples",
                      (int64_t)g->n_settings * g->n_lengths * g->n_tasks * MN_MAX(g->n_depths, 1) * g->n_samples);
    for (int s = 0; s < g->n_settings; s++)
        for (int l = 0; l < g->n_lengths; l++) {
            mn_session_close(j->session);
            j->session = NULL;
            for (int t = 0; t < g->n_tasks; t++)
                for (int64_t i = 0; i < g->n_samples; i++)
                    MN_TRY(run_sample(j, g->tasks[t], g->settings[s], g->lengths[l], i, err));
        }
    return MN_OK;
}

static mn_status dump_sample(job *j, const mn_task *task, int64_t length, double depth, int64_t i, mn_error *err) {
    mn_saved_sample x = {.task = task, .length = length, .sample = i, .depth = depth};
    mn_status status = make_sample(j, task, length, depth, i, &x.s, err);
    if (status == MN_OK) status = mn_sample_write(j->dump.file, &x, err);
    mn_task_sample_release(&x.s);
    return status;
}

static mn_status dump_grid(job *j, mn_error *err) {
    const mn_eval_grid *g = &j->grid;
    for (int l = 0; l < g->n_lengths; l++)
        for (int t = 0; t < g->n_tasks; t++)
            for (int64_t i = 0; i < g->n_samples; i++)
                for (int d = MN_MAX(g->n_depths, 1) - 1; d >= 0; d--)
                    MN_TRY(dump_sample(j, g->tasks[t], g->lengths[l], mn_eval_depth(g, d), i, err));
    return mn_writer_commit(&j->dump, err);
}

/* The cells that saved samples lie in. */
static mn_status grid_of_saved(job *j, mn_error *err) {
    for (const mn_saved_sample *x = j->saved; x < j->saved + j->n_saved; x++)
        if (!mn_eval_grid_add(&j->grid, x->task, x->length, x->depth, x->sample))
            return mn_fail(err, MN_ERR_LIMIT, "%s: holds more than %d lengths or %d tasks.", from_path, MN_MAX_LENGTHS,
                           MN_MAX_CELLS_TASKS);
    return MN_OK;
}

/* A task that draws its places would ask the same sample at each depth. */
static mn_status check_depths(const mn_eval_grid *g, mn_error *err) {
    for (int t = 0; t < g->n_tasks && g->n_depths > 0; t++)
        if (!g->tasks[t]->by_depth)
            return mn_fail(err, MN_ERR_ARGUMENT,
                           "--depths places one needle, and %s has none or several; leave it out, or ask tasks such as "
                           "needle, niah_single_2 and kv alone (--tasks).",
                           g->tasks[t]->name);
    return MN_OK;
}

static mn_status open_grid(job *j, const mn_eval_verb *verb, mn_error *err) {
    mn_eval_grid *g = &j->grid;
    const char *names = tasks_text ? tasks_text : verb->tasks;
    *g = (mn_eval_grid){.n_samples = n_samples, .seed = seed, .n_depths = (int)n_depths};
    MN_TRY(mn_eval_check_settings(&settings, err));
    for (int i = 0; i < settings.n; i++) g->settings[g->n_settings++] = settings.items[i];
    if (g->n_settings == 0) g->settings[g->n_settings++] = "";
    if (from_path) {
        g->n_samples = g->n_depths = 0;
        MN_TRY(mn_samples_read(from_path, &j->saved, &j->n_saved, err));
        return grid_of_saved(j, err);
    }
    if (!names) return mn_fail(err, MN_ERR_ARGUMENT, "needs --tasks NAME,...; mnemo eval tasks lists them.");
    MN_TRY(mn_numbers_read("--lengths", lengths_text, 16, INT64_C(1) << 32, g->lengths, MN_MAX_LENGTHS, &g->n_lengths,
                           err));
    MN_TRY(parse_tasks(g, names, err));
    drop_tasks_without_data(g);
    MN_TRY(check_depths(g, err));
    return g->n_tasks ? MN_OK : mn_fail(err, MN_ERR_ARGUMENT, "no task is left to ask; questions come from --qa FILE.");
}

static void put_files(mn_strbuf *out, const char *name, const mn_text_list *files) {
    for (int i = 0; i < files->n; i++) mn_strbuf_printf(out, " %s=%s", name, files->items[i]);
}

static mn_status open_results(job *j, mn_error *err) {
    mn_eval_put_origin(&j->origin, &j->grid);
    put_files(&j->origin, "haystack", &haystacks);
    put_files(&j->origin, "qa", &qa_files);
    if (templates_path) mn_strbuf_printf(&j->origin, " templates=%s", templates_path);
    if (from_path) mn_strbuf_printf(&j->origin, " from=%s", from_path);
    if (j->origin.failed) return mn_fail(err, MN_ERR_MEMORY, "no memory for the results.");
    mn_text_make_utf8(j->origin.data, j->origin.bytes);
    return mn_results_open(results_path, j->origin.data, &j->results, err);
}

static mn_status show(job *j, mn_error *err) {
    const mn_eval_grid *g = &j->grid;
    if (as_json)
        mn_eval_print_json(g, &j->results);
    else
        mn_eval_print(g, &j->results);
    if (svg_path && g->n_settings > 1)
        MN_TRY(mn_eval_draw_curves(g, &j->results, svg_path, err));
    else if (svg_path)
        MN_TRY(mn_eval_draw(g, &j->results, g->tasks[0]->name, g->settings[0], svg_path, err));
    return html_path ? mn_eval_page(g, &j->results, html_path, err) : MN_OK;
}

static mn_status run(job *j, const mn_eval_verb *verb, mn_error *err) {
    MN_TRY(open_grid(j, verb, err));
    if (!from_path) MN_TRY(open_data(j, err));
    MN_TRY(mn_model_options_engine(&mn_given_model, false, &j->engine, err));
    j->grid.model = mn_engine_info(j->engine).path;
    if (dump_path) {
        MN_TRY(mn_writer_open(dump_path, &j->dump, err));
        return dump_grid(j, err);
    }
    MN_TRY(open_results(j, err));
    mn_signals_catch_interrupt();
    mn_status status = from_path ? run_saved(j, err) : run_grid(j, err);
    mn_progress_end(&j->progress);
    if (status == MN_ERR_CANCELLED) return say_stopped(j, err);
    return status == MN_OK ? show(j, err) : status;
}

int mn_eval_tasks(const mn_eval_verb *verb, int argc, char **argv) {
    char name[32], about[256];
    const mn_usage usage = {.verb = name,
                            .synopsis = "[MODEL] [--lengths N,...] [-n N] [options]",
                            .about = about,
                            .example =
                                "mnemo eval needle -m model.gguf --lengths 1k,2k,4k --depths 11 -n 5 --svg map.svg",
                            .options = options,
                            .words = "model"};
    mn_text_list none;
    mn_error err;
    static job j;
    j.origin = (mn_strbuf)MN_STRBUF_INIT;
    snprintf(name, sizeof name, "eval %s", verb->name);
    snprintf(about, sizeof about, "Asks a model samples of several lengths and scores its answers. %s: %s.", verb->name,
             verb->about);
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    mn_status status = run(&j, verb, &err);
    mn_writer_abort(&j.dump);
    mn_results_close(&j.results);
    mn_strbuf_release(&j.origin);
    mn_session_close(j.session);
    mn_engine_close(j.engine);
    mn_corpus_close(&j.corpus);
    mn_qa_set_release(&j.qa[0]);
    mn_qa_set_release(&j.qa[1]);
    mn_wordings_release(&j.wordings);
    mn_samples_release(j.saved, j.n_saved);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail(name, &err);
}
