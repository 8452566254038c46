/* What the sub-verbs of mnemo eval share. */
#ifndef MN_CLI_EVAL_H
#define MN_CLI_EVAL_H

#include "cli/model_options.h"
#include "eval/results.h"

enum { MN_MAX_LENGTHS = 32, MN_MAX_CELLS_TASKS = 32, MN_MAX_SETTINGS = 16 };

/* One kind of question that mnemo eval answers. */
typedef struct mn_eval_verb {
    const char *name, *about, *tasks; /* tasks it runs, with blanks between; NULL: none of its own */
    int (*run)(const struct mn_eval_verb *verb, int argc, char **argv);
} mn_eval_verb;

int mn_eval_tasks(const mn_eval_verb *verb, int argc, char **argv);   /* eval_tasks.c */
int mn_eval_ppl(const mn_eval_verb *verb, int argc, char **argv);     /* eval_ppl.c */
int mn_eval_routers(const mn_eval_verb *verb, int argc, char **argv); /* eval_routers.c */
int mn_eval_report(const mn_eval_verb *verb, int argc, char **argv);  /* eval_report.c */
int mn_eval_chart(const mn_eval_verb *verb, int argc, char **argv);   /* eval_chart.c */

/* What was asked for: the grid of samples. */
typedef struct mn_eval_grid {
    const mn_task *tasks[MN_MAX_CELLS_TASKS];
    int64_t lengths[MN_MAX_LENGTHS];
    const char *settings[MN_MAX_SETTINGS];        /* "" alone: as the options say */
    int n_tasks, n_lengths, n_settings, n_depths; /* depths 0: drawn */
    int64_t n_samples, seed;
    const char *model; /* for captions */
} mn_eval_grid;

static inline double mn_eval_depth(const mn_eval_grid *g, int i) {
    return g->n_depths == 0 ? -1 : g->n_depths == 1 ? 0.5 : (double)i / (g->n_depths - 1);
}

/* Makes room for a sample in the grid, which begins empty: its task, its length, in order, and so many depths that its
 * own is one of them. False when there are too many. */
bool mn_eval_grid_add(mn_eval_grid *g, const mn_task *task, int64_t length, double depth, int64_t sample);

/* Changes options as "attn=quest:16,512,ctk=q8_0" says: every flag that changes a session, without dashes. A comma
 * separates where a NAME= follows. text is borrowed. */
mn_status mn_eval_apply_setting(mn_model_options *o, const char *text, mn_error *err);

/* Whether all can be compared: what is wrong with the last is said before the first has run for hours. */
mn_status mn_eval_check_settings(const mn_text_list *settings, mn_error *err);

/* Appends what decides the results besides tasks, lengths and settings: "model=a.gguf seed=42 attn=...", of the flags
 * that were given. */
void mn_eval_put_origin(mn_strbuf *out, const mn_eval_grid *g);

/* Prints tables of what the grid's results are, and for several settings the paired differences to the first. */
void mn_eval_print(const mn_eval_grid *g, const mn_results *r);
void mn_eval_print_json(const mn_eval_grid *g, const mn_results *r);
/* The heat map of one task and setting, depth down, length across. */
mn_status mn_eval_draw(const mn_eval_grid *g, const mn_results *r, const char *task, const char *setting,
                       const char *path, mn_error *err);
/* Score by length, the mean over the tasks, a line for each setting. */
mn_status mn_eval_draw_curves(const mn_eval_grid *g, const mn_results *r, const char *path, mn_error *err);
/* One self-contained page with the maps and tables of a grid. */
mn_status mn_eval_page(const mn_eval_grid *g, const mn_results *r, const char *path, mn_error *err);

#endif
