/* mnemo eval report: the results of several files as one page. */
#include "base/checked.h"
#include "cli/eval.h"
#include "eval/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *html_path, *svg_path;

static const mn_option options[] = {
    MN_OPTION_WRITTEN("html", &html_path, "FILE", "the page to write"),
    MN_OPTION_WRITTEN("svg", &svg_path, "FILE", "draw score by length, a line for each file and setting"),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "eval report",
    .synopsis = "RESULTS.jsonl... [--html FILE] [--svg FILE]",
    .about =
        "Prints and draws the results that mnemo eval -o wrote; of several files the names go in front of settings.",
    .example = "mnemo eval report needle.jsonl ruler.jsonl --html report.html",
    .options = options,
    .min_positional = 1,
    .max_positional = 64,
};

static bool add_setting(mn_eval_grid *g, const char *setting) {
    for (int i = 0; i < g->n_settings; i++)
        if (!strcmp(g->settings[i], setting)) return true;
    if (g->n_settings == MN_MAX_SETTINGS) return false;
    g->settings[g->n_settings++] = setting;
    return true;
}

/* The grid that the results were made by, as far as they tell. */
static mn_status find_grid(mn_eval_grid *g, const mn_results *r, mn_error *err) {
    for (int64_t i = 0; i < r->n; i++) {
        const mn_result *x = &r->items[i];
        const mn_task *task = mn_task_find(x->task);
        if (task && !mn_eval_grid_add(g, task, x->length, x->depth, x->sample))
            return mn_fail(err, MN_ERR_LIMIT, "the results are of more than %d lengths or %d tasks.", MN_MAX_LENGTHS,
                           MN_MAX_CELLS_TASKS);
        if (task && !add_setting(g, x->setting))
            return mn_fail(err, MN_ERR_LIMIT, "the results are of more than %d settings and files.", MN_MAX_SETTINGS);
    }
    return MN_OK;
}

/* "nothing: attn=..." of the file nothing.jsonl, so that results of several models stay apart. */
static void name_file(mn_result *x, const char *path) {
    char setting[sizeof x->setting];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    snprintf(setting, sizeof setting, "%s", x->setting);
    snprintf(x->setting, sizeof x->setting, "%.*s%s%.140s", (int)MN_MIN(strcspn(name, "."), 40), name,
             *setting ? ": " : "", setting);
}

static mn_status add_file(const char *path, bool named, mn_results *all, mn_error *err) {
    mn_results one;
    MN_TRY(mn_results_read(path, &one, err));
    mn_status status = MN_OK;
    for (int64_t k = 0; k < one.n && status == MN_OK; k++) {
        if (named) name_file(&one.items[k], path);
        status = mn_results_add(all, &one.items[k], NULL, NULL, err);
    }
    mn_results_close(&one);
    return status;
}

static mn_status run(const mn_text_list *files, mn_results *all, mn_error *err) {
    mn_eval_grid g = {.model = files->items[0], .seed = 0};
    for (int i = 0; i < files->n; i++) MN_TRY(add_file(files->items[i], files->n > 1, all, err));
    if (all->n == 0) return mn_fail(err, MN_ERR_FORMAT, "there is no result in %s.", files->items[0]);
    MN_TRY(find_grid(&g, all, err));
    mn_eval_print(&g, all);
    if (svg_path) MN_TRY(mn_eval_draw_curves(&g, all, svg_path, err));
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
