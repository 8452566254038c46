/* mnemo eval: how much of a long text a model really uses. */
#include "cli/eval.h"

#include "base/nearest.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "eval/tasks.h"

#include <stdio.h>
#include <string.h>

static int list_tasks(const mn_eval_verb *verb, int argc, char **argv) {
    static const mn_option options[] = {MN_OPTIONS_END};
    static const char *const titles[] = {"", "", NULL};
    const mn_usage usage = {.verb = "eval tasks",
                            .synopsis = "",
                            .about = "Lists the tasks that mnemo eval knows.",
                            .example = "mnemo eval tasks",
                            .options = options};
    mn_text_list none;
    mn_table table;
    (void)verb;
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    mn_table_begin(&table, titles, 3);
    for (const mn_task *const *t = mn_tasks; *t; t++) {
        mn_table_add(&table, "%s", (*t)->name);
        mn_table_add(&table, "%s", (*t)->about);
    }
    mn_table_end(&table, stdout);
    return MN_EXIT_DONE;
}

static const mn_eval_verb verbs[] = {
    {"ppl", "loss and bits per byte of texts, overall and by position", NULL, mn_eval_ppl},
    {"needle", "one fact in prose, by depth and length: a heat map", "needle", mn_eval_tasks},
    {"passkey", "a pass key in prose, by depth and length", "passkey", mn_eval_tasks},
    {"ours", "the needle tasks that our own models are trained for", "needle keys chain values json passkey",
     mn_eval_tasks},
    {"ruler", "the 13 tasks of RULER, their average and the effective length",
     "niah_single_1 niah_single_2 niah_single_3 niah_multikey_1 niah_multikey_2 niah_multikey_3 niah_multivalue "
     "niah_multiquery vt cwe fwe qa_1 qa_2",
     mn_eval_tasks},
    {"graphwalks", "nodes that a walk through a graph reaches", "graphwalks", mn_eval_tasks},
    {"mrcr", "one of several texts asked for in the same words", "mrcr_2 mrcr_4 mrcr_8", mn_eval_tasks},
    {"kv", "the value of a key among many, by depth", "kv", mn_eval_tasks},
    {"qa", "questions among shuffled documents (--qa FILE)", "qa_1", mn_eval_tasks},
    {"routers", "who chooses the tokens for small MLPs: routers, chance, position, an oracle", NULL, mn_eval_routers},
    {"compare", "the same samples under several settings (--tasks, --settings)", NULL, mn_eval_tasks},
    {"report", "one page of several results", NULL, mn_eval_report},
    {"chart", "a picture of a table of figures", NULL, mn_eval_chart},
    {"tasks", "list the tasks", NULL, list_tasks},
    {NULL, NULL, NULL, NULL},
};

static void print_help(FILE *out) {
    int columns = mn_terminal_columns(out);
    mn_print_line(out, 2, "usage: mnemo eval WHAT [-m MODEL] [options]\n");
    mn_print_line(out, 0, "Measures how much of a long text a model really uses.\n");
    for (const mn_eval_verb *v = verbs; v->name; v++) {
        fprintf(out, "  %-12s ", v->name);
        mn_print_folded(out, v->about, 15, 15, columns);
        fputc('\n', out);
    }
    mn_print_line(out, 0, "\nmnemo eval WHAT --help tells more.\n\nexample:");
    mn_print_line(out, 4, "  mnemo eval needle -m model.gguf --lengths 1k,2k,4k --depths 11 -n 5 --svg map.svg");
}

static int no_such(const char *what) {
    mn_nearest nearest = {.given = what};
    for (const mn_eval_verb *v = verbs; v->name; v++) mn_nearest_try(&nearest, v->name);
    if (nearest.best)
        mn_say("mnemo eval: there is no \"%s\" to evaluate; is %s meant?", what, nearest.best);
    else
        mn_say("mnemo eval: there is no \"%s\" to evaluate; mnemo eval --help lists what there is.", what);
    return MN_EXIT_USAGE;
}

int cmd_eval(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : NULL;
    if (what && (!strcmp(what, "--help") || !strcmp(what, "-h"))) {
        print_help(stdout);
        return MN_EXIT_DONE;
    }
    for (const mn_eval_verb *v = verbs; what && v->name; v++)
        if (!strcmp(what, v->name)) return v->run(v, argc - 1, argv + 1);
    if (what) return no_such(what);
    print_help(stderr);
    return MN_EXIT_USAGE;
}
