/* Score by length, one line a setting: what each of several techniques leaves of a text. */
#include "cli/eval.h"

#include "base/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The mean over all tasks that have results at this length; NAN without any. */
static double mean_score(const mn_eval_grid *g, const mn_results *r, const char *setting, int64_t length) {
    double sum = 0;
    int n = 0;
    for (int t = 0; t < g->n_tasks; t++) {
        mn_cell c = mn_results_cell(r, g->tasks[t]->name, setting, length, -1);
        if (!isfinite(c.mean)) continue;
        sum += c.mean;
        n++;
    }
    return n ? sum / n : NAN;
}

static void draw_setting(const mn_eval_grid *g, const mn_results *r, int setting, mn_svg *svg) {
    double x[MN_MAX_LENGTHS], y[MN_MAX_LENGTHS];
    size_t n = 0;
    for (int l = 0; l < g->n_lengths; l++) {
        double score = mean_score(g, r, g->settings[setting], g->lengths[l]);
        if (!isfinite(score)) continue;
        x[n] = (double)g->lengths[l];
        y[n++] = score;
    }
    const char *label = *g->settings[setting] ? g->settings[setting] : "as the model is";
    if (n) mn_svg_line(svg, setting, label, x, y, n);
    if (n) mn_svg_points(svg, setting, NULL, x, y, n);
}

mn_status mn_eval_draw_curves(const mn_eval_grid *g, const mn_results *r, const char *path, mn_error *err) {
    char title[512], subtitle[128];
    size_t used = (size_t)snprintf(title, sizeof title, "Share of right answers by length:");
    for (int t = 0; t < g->n_tasks && used + 40 < sizeof title; t++)
        used += (size_t)snprintf(title + used, sizeof title - used, "%s %.32s", t ? "," : "", g->tasks[t]->name);
    snprintf(subtitle, sizeof subtitle, "%lld samples of each task and length", (long long)g->n_samples);
    mn_svg svg;
    mn_svg_begin(&svg, title,
                 (mn_svg_axis){"context (tokens)", (double)g->lengths[0], (double)g->lengths[g->n_lengths - 1],
                               .log = g->n_lengths > 1},
                 (mn_svg_axis){"share of right answers", 0, 1, .log = false});
    svg.subtitle = subtitle;
    for (int s = 0; s < g->n_settings; s++) draw_setting(g, r, s, &svg);
    return mn_svg_write(&svg, path, err);
}
