/* mnemo eval report: the results of several files as one page. */
#include "base/checked.h"
#include "cli/eval.h"
#include "eval/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *html_path;

static const mn_option options[] = {
    MN_OPTION_TEXT("html", &html_path, "FILE", NULL, "the page to write"),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "eval report",
    .synopsis = "RESULTS.jsonl... --html FILE",
    .about = "Makes one self-contained page with the tables and maps of the results that mnemo eval -o wrote.",
    .example = "mnemo eval report needle.jsonl ruler.jsonl --html report.html",
    .options = options,
    .min_positional = 1,
    .max_positional = 64,
};

static void add_task(mn_eval_grid *g, const char *name) {
    const mn_task *task = mn_task_find(name);
    for (int i = 0; i < g->n_tasks; i++)
        if (g->tasks[i] == task) return;
    if (task && g->n_tasks < MN_MAX_CELLS_TASKS) g->tasks[g->n_tasks++] = task;
}

static void add_setting(mn_eval_grid *g, const char *setting) {
    for (int i = 0; i < g->n_settings; i++)
        if (!strcmp(g->settings[i], setting)) return;
    if (g->n_settings < 16) g->settings[g->n_settings++] = setting;
}

static void add_length(mn_eval_grid *g, int64_t length) {
    int at = 0;
    while (at < g->n_lengths && g->lengths[at] < length) at++;
    if ((at < g->n_lengths && g->lengths[at] == length) || g->n_lengths == MN_MAX_LENGTHS) return;
    memmove(g->lengths + at + 1, g->lengths + at, (size_t)(g->n_lengths - at) * sizeof *g->lengths);
    g->lengths[at] = length;
    g->n_lengths++;
}

/* The grid that the results were made by, as far as they tell. */
static void find_grid(mn_eval_grid *g, const mn_results *r) {
    double step = 1;
    for (int64_t i = 0; i < r->n; i++) {
        const mn_result *x = &r->items[i];
        add_task(g, x->task);
        add_setting(g, x->setting);
        add_length(g, x->length);
        g->n_samples = MN_MAX(g->n_samples, x->sample + 1);
        if (x->depth > 0 && x->depth < step) step = x->depth;
        if (x->depth >= 0) g->n_depths = (int)(1 / step + 0.5) + 1;
    }
}

static mn_status run(const mn_text_list *files, mn_results *all, mn_error *err) {
    mn_eval_grid g = {.model = files->items[0], .seed = 0};
    for (int i = 0; i < files->n; i++) {
        mn_results one;
        MN_TRY(mn_results_open(files->items[i], &one, err));
        mn_status status = MN_OK;
        for (int64_t k = 0; k < one.n && status == MN_OK; k++)
            status = mn_results_add(all, &one.items[k], NULL, NULL, err);
        mn_results_close(&one);
        MN_TRY(status);
    }
    if (all->n == 0) return mn_fail(err, MN_ERR_FORMAT, "there is no result in %s.", files->items[0]);
    find_grid(&g, all);
    mn_eval_print(&g, all);
    return html_path ? mn_eval_page(&g, all, html_path, err) : MN_OK;
}

int mn_eval_report(const mn_eval_verb *verb, int argc, char **argv) {
    mn_text_list files;
    mn_results all = {0};
    mn_error err;
    (void)verb;
    int code = mn_options_parse(&usage, argc, argv, &files);
    if (code >= 0) return code;
    mn_status status = run(&files, &all, &err);
    mn_results_close(&all);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("eval report", &err);
}
