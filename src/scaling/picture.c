/* Pictures of a law: lines of equal loss with the line of best splits, and the residuals of a fit. */
#include <mnemo/scaling.h>

#include "base/checked.h"
#include "base/status.h"
#include "base/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SAMPLES = 240, N_GROUPS = 3 };

/* Losses worth a line, as a reader would choose them. */
static const double levels[] = {1.6, 1.7, 1.75, 1.8, 1.85, 1.9, 2, 2.1, 2.2, 2.3, 2.4, 2.6,
                                2.8, 3,   3.5,  4,   4.5,  5,   6, 7,   8,   10,  12,  15};

/* A line of equal loss, walked by the share s that the size has in what lies above the floor: A / N^alpha = s r and
 * B / D^beta = (1 - s) r. This follows the line as far towards one asymptote as towards the other. */
static void equal_loss(const mn_scaling_law *law, double loss, double *params, double *tokens) {
    double above_floor = pow(loss, 1 / law->gamma) - law->E;
    for (int i = 0; i < N_SAMPLES; i++) {
        double odds = exp(24.0 * i / (N_SAMPLES - 1) - 12), share = odds / (1 + odds);
        params[i] = pow(law->A / (above_floor * share), 1 / law->alpha);
        tokens[i] = pow(law->B / (above_floor * (1 - share)), 1 / law->beta);
    }
}

static void draw_level(mn_svg *svg, const mn_scaling_law *law, double loss) {
    double params[N_SAMPLES], tokens[N_SAMPLES], at_edge;
    char text[32];
    equal_loss(law, loss, params, tokens);
    mn_svg_line(svg, 0, NULL, params, tokens, N_SAMPLES);
    if (mn_scaling_tokens(law, svg->x.max, loss, &at_edge, NULL)) return;
    snprintf(text, sizeof text, "%.4g", loss);
    mn_svg_note(svg, MN_SVG_END, svg->x.max * 0.97, at_edge, text);
}

/* Draws the levels whose best splits lie in the picture, leaving out those too close to the last one drawn. */
static void draw_levels(mn_svg *svg, const mn_scaling_law *law) {
    double last = INFINITY, range = log(svg->x.max / svg->x.min) + log(svg->y.max / svg->y.min);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        mn_scaling_point best;
        if (mn_scaling_cheapest(law, levels[i], &best, NULL)) continue;
        if (best.params < svg->x.min || best.tokens > svg->y.max || log(last / best.flops) < 0.06 * range) continue;
        draw_level(svg, law, levels[i]);
        last = best.flops;
    }
}

static void draw_best_splits(mn_svg *svg, const mn_scaling_law *law) {
    double params[N_SAMPLES], tokens[N_SAMPLES];
    for (int i = 0; i < N_SAMPLES; i++) {
        mn_scaling_point best;
        mn_scaling_optimal(law, pow(10, 12 + 24.0 * i / (N_SAMPLES - 1)), &best);
        params[i] = best.params;
        tokens[i] = best.tokens;
    }
    mn_svg_dashes(svg, 1, "best split of a budget", params, tokens, N_SAMPLES);
}

/* value as a chart prints it, rounded to so many digits. */
static void round_number(double value, int digits, char text[32]) {
    snprintf(text, 32, "%.*g", digits, value);
    mn_svg_number(strtod(text, NULL), text);
}

/* The line of equal loss through a point; not for Kaplan's best splits, which stop before L(N, D) is reached. */
static void draw_line_through(mn_svg *svg, const mn_scaling_law *law, const mn_scaling_point *point, int color) {
    double params[N_SAMPLES], tokens[N_SAMPLES], loss = mn_scaling_loss(law, point->params, point->tokens);
    if (fabs(loss - point->loss) > 1e-6 * loss) return;
    equal_loss(law, loss, params, tokens);
    mn_svg_dashes(svg, color, NULL, params, tokens, N_SAMPLES);
}

static void draw_point(mn_svg *svg, const mn_scaling_point *point, int color) {
    char size[32], text[32], label[128];
    round_number(point->params, 3, size);
    round_number(point->tokens, 3, text);
    snprintf(label, sizeof label, "%s, %s tokens: %.4g", size, text, point->loss);
    mn_svg_marker(svg, color, label, point->params, point->tokens);
}

/* Widens an axis by whole decades until the points lie well inside. */
static void make_room(mn_svg_axis *axis, double value) {
    while (value < axis->min * 3 && axis->min > 1e-30) axis->min /= 10;
    while (value > axis->max / 3 && axis->max < 1e60) axis->max *= 10;
}

mn_status mn_scaling_draw(const mn_scaling_law *law, const mn_scaling_point *points, size_t n_points, const char *path,
                          mn_error *err) {
    char x_label[128], title[128];
    snprintf(x_label, sizeof x_label, "size N (%s)", law->counts);
    snprintf(title, sizeof title, "Loss by size and training text: %s", law->name);
    mn_svg_axis x = {x_label, 1e8, 1e12, .log = true}, y = {"training text D (tokens)", 1e9, 1e14, .log = true};
    for (size_t i = 0; i < n_points; i++) {
        make_room(&x, points[i].params);
        make_room(&y, points[i].tokens);
    }
    mn_svg svg;
    mn_svg_begin(&svg, title, x, y);
    svg.height = 420;
    svg.subtitle = law->family == MN_SCALING_KAPLAN
                       ? "each blue line: one L(N, D), nats per token, trained to the end; the best split stops before"
                       : "each blue line: one loss, nats per token";
    draw_best_splits(&svg, law);
    for (size_t i = 0; i < n_points; i++) draw_line_through(&svg, law, &points[i], 2 + (int)(i % 6));
    draw_levels(&svg, law);
    for (size_t i = 0; i < n_points; i++) draw_point(&svg, &points[i], 2 + (int)(i % 6));
    return mn_svg_write(&svg, path, err);
}

/* ---- the best size of a budget, by every law ---- */

static void draw_sizes(mn_svg *svg, int color, const char *label, const mn_scaling_law *law, int approach) {
    double flops[N_SAMPLES], params[N_SAMPLES];
    for (int i = 0; i < N_SAMPLES; i++) {
        mn_scaling_point best;
        flops[i] = svg->x.min * pow(svg->x.max / svg->x.min, (double)i / (N_SAMPLES - 1));
        if (law)
            mn_scaling_optimal(law, flops[i], &best);
        else
            mn_chinchilla_approach(approach, flops[i], &best);
        params[i] = best.params;
    }
    (law ? mn_svg_line : mn_svg_dashes)(svg, color, label, flops, params, N_SAMPLES);
}

mn_status mn_scaling_draw_sizes(double flops, const char *path, mn_error *err) {
    mn_svg_axis x = {"budget C (FLOP of the whole training)", 1e18, 1e26, .log = true};
    mn_svg_axis y = {"best size N (parameters, counted as each law counts)", 1e8, 1e12, .log = true};
    make_room(&x, flops);
    mn_svg svg;
    mn_svg_begin(&svg, "The best size for a budget, law by law", x, y);
    svg.height = 420;
    for (int i = 0; mn_scaling_law_names[i]; i++) {
        mn_scaling_law law;
        if (mn_scaling_law_find(mn_scaling_law_names[i], &law, NULL)) continue;
        draw_sizes(&svg, i, law.name, &law, 0);
    }
    draw_sizes(&svg, 5, "chinchilla approach 1", NULL, 1);
    draw_sizes(&svg, 6, "chinchilla approach 2", NULL, 2);
    mn_svg_dashes(&svg, MN_SVG_INK, "the budget asked for", (double[]){flops, flops}, (double[]){y.min, y.max}, 2);
    return mn_svg_write(&svg, path, err);
}

/* ---- residuals ---- */

static int by_params(const void *a, const void *b) {
    double x = ((const mn_scaling_run *)a)->params, y = ((const mn_scaling_run *)b)->params;
    return (x > y) - (x < y);
}

/* residuals[i]: percent by which the measured loss lies above the predicted one. */
static void find_residuals(const mn_scaling_law *law, const mn_scaling_run *runs, size_t n, double *flops,
                           double *residuals) {
    for (size_t i = 0; i < n; i++) {
        flops[i] = 6 * runs[i].params * runs[i].tokens;
        residuals[i] = 100 * (runs[i].loss / mn_scaling_loss(law, runs[i].params, runs[i].tokens) - 1);
    }
}

static void draw_groups(mn_svg *svg, const mn_scaling_run *runs, size_t n, const double *flops,
                        const double *residuals) {
    for (size_t group = 0; group < N_GROUPS; group++) {
        size_t begin = n * group / N_GROUPS, end = n * (group + 1) / N_GROUPS;
        if (begin == end) continue;
        char low[32], high[32], label[80];
        round_number(runs[begin].params, 2, low);
        round_number(runs[end - 1].params, 2, high);
        snprintf(label, sizeof label, "%s to %s parameters", low, high);
        mn_svg_points(svg, (int)group, label, flops + begin, residuals + begin, end - begin);
    }
}

mn_status mn_scaling_draw_residuals(const mn_scaling_fit *fit, const mn_scaling_run *runs, const char *path,
                                    mn_error *err) {
    size_t n = fit->n_runs;
    mn_scaling_run *sorted = malloc(MN_MAX(n, (size_t)1) * sizeof *sorted);
    double *flops = calloc(MN_MAX(n, (size_t)1), 2 * sizeof *flops), *residuals = flops ? flops + n : NULL;
    mn_status status = MN_OK;
    if (sorted && flops) {
        memcpy(sorted, runs, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, by_params);
        find_residuals(&fit->law, sorted, n, flops, residuals);
        mn_svg_axis x = {"training FLOP (6 N D)", 0, 0, .log = true};
        mn_svg_axis y = {"measured above predicted loss (%)", -1, 1, .log = false};
        mn_svg_axis_include(&x, flops, n);
        mn_svg_axis_include(&y, residuals, n);
        mn_svg_axis_pad(&x, 0.03);
        mn_svg_axis_pad(&y, 0.03);
        mn_svg svg;
        mn_svg_begin(&svg, "What the fitted law leaves over", x, y);
        mn_svg_dashes(&svg, MN_SVG_INK, NULL, (double[]){x.min, x.max}, (double[]){0, 0}, 2);
        draw_groups(&svg, sorted, n, flops, residuals);
        status = mn_svg_write(&svg, path, err);
    } else {
        status = mn_fail(err, MN_ERR_MEMORY, "%s: no memory for %zu runs.", path, n);
    }
    free(sorted);
    free(flops);
    return status;
}
