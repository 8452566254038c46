/* mnemo eval: how much of a long text a model really uses. */
#include "cli/eval.h"

#include "cli/verbs.h"
#include "eval/tasks.h"

#include <stdio.h>
#include <string.h>

static int list_tasks(const mn_eval_verb *verb, int argc, char **argv) {
    (void)verb, (void)argc, (void)argv;
    for (const mn_task *const *t = mn_tasks; *t; t++) printf("%-18s %s\n", (*t)->name, (*t)->about);
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
    {"compare", "the same samples under several settings (--tasks, --settings)", NULL, mn_eval_tasks},
    {"report", "one page of several results", NULL, mn_eval_report},
    {"tasks", "list the tasks", NULL, list_tasks},
    {NULL, NULL, NULL, NULL},
};

static void print_help(FILE *out) {
    fputs("usage: mnemo eval WHAT [-m MODEL] [options]\n\nMeasures how much of a long text a model really uses.\n\n",
          out);
    for (const mn_eval_verb *v = verbs; v->name; v++) fprintf(out, "  %-12s %s\n", v->name, v->about);
    fputs("\nmnemo eval WHAT --help tells more.\n\nexample:\n  mnemo eval needle -m model.gguf --lengths 1k,2k,4k "
          "--depths 11 "
          "-n 5 --svg map.svg\n",
          out);
}

int cmd_eval(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : NULL;
    if (what && (!strcmp(what, "--help") || !strcmp(what, "-h"))) {
        print_help(stdout);
        return MN_EXIT_DONE;
    }
    for (const mn_eval_verb *v = verbs; what && v->name; v++)
        if (!strcmp(what, v->name)) return v->run(v, argc - 1, argv + 1);
    if (what) fprintf(stderr, "mnemo eval: there is no \"%s\" to evaluate.\n", what);
    print_help(stderr);
    return MN_EXIT_USAGE;
}
