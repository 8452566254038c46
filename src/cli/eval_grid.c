/* The grid of cells that samples or results lie in, found from these alone. */
#include "base/checked.h"
#include "cli/eval.h"

#include <math.h>
#include <string.h>

static bool add_task(mn_eval_grid *g, const mn_task *task) {
    for (int i = 0; i < g->n_tasks; i++)
        if (g->tasks[i] == task) return true;
    if (g->n_tasks == MN_MAX_CELLS_TASKS) return false;
    g->tasks[g->n_tasks++] = task;
    return true;
}

/* In their order. */
static bool add_length(mn_eval_grid *g, int64_t length) {
    int at = 0;
    while (at < g->n_lengths && g->lengths[at] < length) at++;
    if (at < g->n_lengths && g->lengths[at] == length) return true;
    if (g->n_lengths == MN_MAX_LENGTHS) return false;
    memmove(g->lengths + at + 1, g->lengths + at, (size_t)(g->n_lengths - at) * sizeof *g->lengths);
    g->lengths[at] = length;
    g->n_lengths++;
    return true;
}

bool mn_eval_grid_add(mn_eval_grid *g, const mn_task *task, int64_t length, double depth, int64_t sample) {
    g->n_samples = MN_MAX(g->n_samples, sample + 1);
    /* depths are even ones: the least above the first tells how many there are */
    if (depth >= 0) g->n_depths = MN_MAX(g->n_depths, depth > 0.01 ? (int)lround(1 / depth) + 1 : 1);
    return add_task(g, task) && add_length(g, length);
}
