/* The results of a grid as tables, JSON, a heat map and a page. */
#include "base/checked.h"
#include "base/file.h"
#include "base/human.h"
#include "base/svg.h"
#include "base/xml_text.h"
#include "cli/eval.h"
#include "cli/json_text.h"
#include "cli/table.h"
#include "cli/terminal.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Average from which RULER calls a length effective: Llama-2-7B chat at 4k. */
static const double effective_share = 0.856;

static const char *length_text(int64_t n, char buf[24]) {
    if (n % 1048576 == 0)
        snprintf(buf, 24, "%lldM", (long long)(n / 1048576));
    else if (n % 1024 == 0)
        snprintf(buf, 24, "%lldk", (long long)(n / 1024));
    else
        snprintf(buf, 24, "%lld", (long long)n);
    return buf;
}

/* A share with its interval, and its n where that is not the one below the table. */
static void add_cell(mn_table *table, const mn_cell *c, int64_t n_wanted) {
    long long n = (long long)(c->n - c->n_failed);
    if (n == 0)
        mn_table_add(table, "-");
    else if (n == n_wanted)
        mn_table_add(table, "%.2f [%.2f, %.2f]", c->mean, c->interval.low, c->interval.high);
    else
        mn_table_add(table, "%.2f [%.2f, %.2f] (n = %lld)", c->mean, c->interval.low, c->interval.high, n);
}

static int64_t samples_of_length(const mn_eval_grid *g) { return g->n_samples * MN_MAX(g->n_depths, 1); }

/* A table of one column for each length. */
static void begin_lengths(mn_table *table, const mn_eval_grid *g, const char *label) {
    static char texts[MN_MAX_LENGTHS][24];
    const char *titles[MN_MAX_LENGTHS + 2] = {label};
    for (int l = 0; l < g->n_lengths; l++) titles[l + 1] = length_text(g->lengths[l], texts[l]);
    putchar('\n');
    mn_table_begin(table, titles, 1);
}

/* Mean over tasks of a length; NAN when one of them has no result. */
static double average(const mn_eval_grid *g, const mn_results *r, const char *setting, int64_t length) {
    double sum = 0;
    for (int t = 0; t < g->n_tasks; t++) sum += mn_results_cell(r, g->tasks[t]->name, setting, length, -1).mean;
    return sum / g->n_tasks;
}

/* Weighted by 1, 2, ... or ..., 2, 1 over the lengths (RULER's wAvg). */
static double weighted(const mn_eval_grid *g, const mn_results *r, const char *setting, bool rising) {
    double sum = 0, weights = 0;
    for (int l = 0; l < g->n_lengths; l++) {
        double w = rising ? l + 1 : g->n_lengths - l;
        sum += w * average(g, r, setting, g->lengths[l]);
        weights += w;
    }
    return sum / weights;
}

/* The largest length whose average reaches the share; 0: none. */
static int64_t effective_length(const mn_eval_grid *g, const mn_results *r, const char *setting) {
    int64_t best = 0;
    for (int l = 0; l < g->n_lengths; l++)
        if (average(g, r, setting, g->lengths[l]) >= effective_share) best = MN_MAX(best, g->lengths[l]);
    return best;
}

static void print_weighted(const mn_eval_grid *g, const mn_results *r, const char *setting) {
    char text[24];
    int64_t effective = effective_length(g, r, setting);
    mn_print_line(stdout, 2,
                  "weighted by length, rising %.3f, falling %.3f; effective length (average of %.1f %% and more): %s",
                  weighted(g, r, setting, true), weighted(g, r, setting, false), 100 * effective_share,
                  effective ? length_text(effective, text) : "none");
}

static void print_tasks(const mn_eval_grid *g, const mn_results *r, const char *setting) {
    mn_table table;
    begin_lengths(&table, g, *setting ? setting : "task");
    for (int t = 0; t < g->n_tasks; t++) {
        mn_table_add(&table, "%s", g->tasks[t]->name);
        for (int l = 0; l < g->n_lengths; l++) {
            mn_cell c = mn_results_cell(r, g->tasks[t]->name, setting, g->lengths[l], -1);
            add_cell(&table, &c, samples_of_length(g));
        }
    }
    if (g->n_tasks > 1) mn_table_add(&table, "average");
    for (int l = 0; l < g->n_lengths && g->n_tasks > 1; l++)
        mn_table_add(&table, "%.3f", average(g, r, setting, g->lengths[l]));
    mn_table_end(&table, stdout);
}

/* How many samples could not be asked, and why the first could not. */
static void print_failures(const mn_results *r, const char *setting, int64_t n) {
    const mn_result *x = r->items;
    while (!*x->failure || strcmp(x->setting, setting)) x++;
    mn_print_line(stdout, 2, "%lld %s could not be asked and %s in no mean; of %s at %lld, sample %lld: %s",
                  (long long)n, n == 1 ? "sample" : "samples", n == 1 ? "counts" : "count", x->task,
                  (long long)x->length, (long long)x->sample, x->failure);
}

static void print_setting(const mn_eval_grid *g, const mn_results *r, const char *setting) {
    mn_cell all = mn_results_cell(r, NULL, setting, -1, -1);
    mn_human bytes;
    print_tasks(g, r, setting);
    if (g->n_tasks > 1) print_weighted(g, r, setting);
    mn_print_line(stdout, 2, "n = %lld a cell; prefill %.0f, decode %.0f tokens/s; KV %s",
                  (long long)samples_of_length(g), all.prefill_tokens_per_s, all.decode_tokens_per_s,
                  mn_human_bytes(bytes, (size_t)all.kv_bytes));
    if (all.n_failed) print_failures(r, setting, all.n_failed);
}

static void print_depths(const mn_eval_grid *g, const mn_results *r, const char *task, const char *setting) {
    char label[64];
    mn_table table;
    snprintf(label, sizeof label, "%s, depth", task);
    begin_lengths(&table, g, label);
    for (int d = 0; d < g->n_depths; d++) {
        mn_table_add(&table, "%.0f %%", 100 * mn_eval_depth(g, d));
        for (int l = 0; l < g->n_lengths; l++) {
            mn_cell c = mn_results_cell(r, task, setting, g->lengths[l], mn_eval_depth(g, d));
            add_cell(&table, &c, g->n_samples);
        }
    }
    mn_table_end(&table, stdout);
}

typedef void difference_fn(void *arg, const char *setting, const char *task, int64_t length, const mn_difference *d);

/* The paired differences to the first setting. */
static void each_difference(const mn_eval_grid *g, const mn_results *r, difference_fn *fn, void *arg) {
    for (int s = 1; s < g->n_settings; s++)
        for (int t = 0; t < g->n_tasks; t++)
            for (int l = 0; l < g->n_lengths; l++) {
                const char *task = g->tasks[t]->name;
                mn_difference d = mn_results_difference(r, task, g->lengths[l], g->settings[s], g->settings[0]);
                if (d.n) fn(arg, g->settings[s], task, g->lengths[l], &d);
            }
}

static void add_difference(void *arg, const char *setting, const char *task, int64_t length, const mn_difference *d) {
    mn_table *table = arg;
    char text[24];
    mn_table_add(table, "%s", setting);
    mn_table_add(table, "%s", task);
    mn_table_add(table, "%s", length_text(length, text));
    mn_table_add(table, "%+.3f [%+.3f, %+.3f]", d->mean, d->interval.low, d->interval.high);
    mn_table_add(table, "n = %lld", (long long)d->n);
}

static void print_differences(const mn_eval_grid *g, const mn_results *r) {
    static const char *const titles[] = {"setting", "task", "length", "difference", "", NULL};
    mn_table table;
    putchar('\n');
    mn_table_begin(&table, titles, 3);
    each_difference(g, r, add_difference, &table);
    mn_table_end(&table, stdout);
    mn_print_line(stdout, 2, "difference: score less that of the first setting, with the interval of 95 %%");
}

void mn_eval_print(const mn_eval_grid *g, const mn_results *r) {
    for (int s = 0; s < g->n_settings; s++) {
        print_setting(g, r, g->settings[s]);
        for (int t = 0; t < g->n_tasks && g->n_depths > 1; t++) print_depths(g, r, g->tasks[t]->name, g->settings[s]);
    }
    if (g->n_settings > 1) print_differences(g, r);
}

static json_t *cell_json(const mn_cell *c) {
    json_t *o = json_pack("{s:I, s:I}", "n", (json_int_t)c->n, "failed", (json_int_t)c->n_failed);
    if (isfinite(c->mean)) json_object_set_new(o, "score", json_real(c->mean));
    json_object_set_new(o, "low", json_real(c->interval.low));
    json_object_set_new(o, "high", json_real(c->interval.high));
    json_object_set_new(o, "prefill_tokens_per_s", json_real(c->prefill_tokens_per_s));
    json_object_set_new(o, "decode_tokens_per_s", json_real(c->decode_tokens_per_s));
    json_object_set_new(o, "kv_bytes", json_real(c->kv_bytes));
    return o;
}

static void append_difference(void *arg, const char *setting, const char *task, int64_t length,
                              const mn_difference *d) {
    json_t *list = arg;
    json_array_append_new(list, json_pack("{s:o, s:s, s:I, s:I, s:f, s:f, s:f}", "setting", mn_json_name(setting),
                                          "task", task, "length", (json_int_t)length, "n", (json_int_t)d->n, "mean",
                                          d->mean, "low", d->interval.low, "high", d->interval.high));
}

static json_t *differences_json(const mn_eval_grid *g, const mn_results *r) {
    json_t *list = json_array();
    each_difference(g, r, append_difference, list);
    return list;
}

static json_t *effective_json(const mn_eval_grid *g, const mn_results *r) {
    json_t *list = json_array();
    for (int s = 0; s < g->n_settings; s++)
        json_array_append_new(list, json_integer(effective_length(g, r, g->settings[s])));
    return list;
}

void mn_eval_print_json(const mn_eval_grid *g, const mn_results *r) {
    json_t *cells = json_array();
    for (int s = 0; s < g->n_settings; s++)
        for (int t = 0; t < g->n_tasks; t++)
            for (int l = 0; l < g->n_lengths; l++)
                for (int d = 0; d < MN_MAX(g->n_depths, 1); d++) {
                    double depth = mn_eval_depth(g, d);
                    mn_cell c = mn_results_cell(r, g->tasks[t]->name, g->settings[s], g->lengths[l], depth);
                    json_t *o = cell_json(&c);
                    json_object_set_new(o, "task", json_string(g->tasks[t]->name));
                    json_object_set_new(o, "setting", mn_json_name(g->settings[s]));
                    json_object_set_new(o, "length", json_integer(g->lengths[l]));
                    if (depth >= 0) json_object_set_new(o, "depth", json_real(depth));
                    json_array_append_new(cells, o);
                }
    json_t *whole =
        json_pack("{s:o, s:I, s:o}", "model", mn_json_name(g->model), "seed", (json_int_t)g->seed, "cells", cells);
    if (g->n_tasks > 1)
        json_object_set_new(whole, "effective_length", json_integer(effective_length(g, r, g->settings[0])));
    if (g->n_tasks > 1 && g->n_settings > 1)
        json_object_set_new(whole, "effective_length_by_setting", effective_json(g, r));
    if (g->n_settings > 1) json_object_set_new(whole, "differences", differences_json(g, r));
    json_dumpf(whole, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(whole);
}

static void draw_cells(const mn_eval_grid *g, const mn_results *r, const char *task, const char *setting, mn_svg *svg) {
    int n_depths = MN_MAX(g->n_depths, 1);
    for (int l = 0; l < g->n_lengths; l++)
        for (int d = 0; d < n_depths; d++) {
            mn_cell c = mn_results_cell(r, task, setting, g->lengths[l], mn_eval_depth(g, d));
            char text[16];
            if (!isfinite(c.mean)) continue;
            double y0 = 100.0 * d / n_depths, y1 = 100.0 * (d + 1) / n_depths;
            mn_svg_cell(svg, 0, 0.08 + 0.92 * c.mean, l, y0, l + 1, y1);
            snprintf(text, sizeof text, "%.2f", c.mean);
            mn_svg_note(svg, MN_SVG_MIDDLE, l + 0.5, y0 + 0.62 * (y1 - y0), text);
        }
}

/* The heat map of one task and setting. */
static void put_map(mn_strbuf *out, const mn_eval_grid *g, const mn_results *r, const char *task, const char *setting) {
    char title[256], subtitle[256], lengths[160] = "length of context, left to right:", text[24];
    const char *name = strrchr(g->model, '/') ? strrchr(g->model, '/') + 1 : g->model;
    mn_svg svg;
    for (int l = 0; l < g->n_lengths; l++) {
        size_t used = strlen(lengths);
        snprintf(lengths + used, sizeof lengths - used, " %s", length_text(g->lengths[l], text));
    }
    snprintf(title, sizeof title, "%s: %s", name, task);
    snprintf(subtitle, sizeof subtitle, "share of right answers, %lld samples a cell, seed %lld%s%s",
             (long long)g->n_samples, (long long)g->seed, *setting ? ", " : "", setting);
    mn_svg_begin(&svg, title, (mn_svg_axis){lengths, 0, g->n_lengths, .log = false},
                 (mn_svg_axis){g->n_depths ? "depth of the needle (%)" : "any depth", 100, 0, .log = false});
    svg.width = MN_MAX(420, 110 * g->n_lengths);
    svg.height = MN_MAX(120, 34 * MN_MAX(g->n_depths, 1));
    svg.subtitle = subtitle;
    draw_cells(g, r, task, setting, &svg);
    mn_svg_put(&svg, out);
}

mn_status mn_eval_draw(const mn_eval_grid *g, const mn_results *r, const char *task, const char *setting,
                       const char *path, mn_error *err) {
    mn_strbuf out = MN_STRBUF_INIT;
    put_map(&out, g, r, task, setting);
    return mn_file_write(path, &out, err);
}

static void put_table(mn_strbuf *out, const mn_eval_grid *g, const mn_results *r, const char *setting) {
    char text[24];
    mn_strbuf_puts(out, "<table><tr><th>task</th>");
    for (int l = 0; l < g->n_lengths; l++) mn_strbuf_printf(out, "<th>%s</th>", length_text(g->lengths[l], text));
    mn_strbuf_puts(out, "</tr>\n");
    for (int t = 0; t < g->n_tasks; t++) {
        mn_strbuf_printf(out, "<tr><td>%s</td>", g->tasks[t]->name);
        for (int l = 0; l < g->n_lengths; l++) {
            mn_cell c = mn_results_cell(r, g->tasks[t]->name, setting, g->lengths[l], -1);
            if (isfinite(c.mean))
                mn_strbuf_printf(
                    out, "<td style=\"background:rgba(37,99,201,%.2f)\">%.2f <small>%.2f to %.2f, n %lld</small></td>",
                    0.6 * c.mean, c.mean, c.interval.low, c.interval.high, (long long)(c.n - c.n_failed));
            else
                mn_strbuf_puts(out, "<td>-</td>");
        }
        mn_strbuf_puts(out, "</tr>\n");
    }
    mn_strbuf_puts(out, "</table>\n");
}

mn_status mn_eval_page(const mn_eval_grid *g, const mn_results *r, const char *path, mn_error *err) {
    mn_strbuf out = MN_STRBUF_INIT;
    mn_strbuf_puts(
        &out,
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
        "<title>mnemo eval</title><style>body{font:15px/1.5 system-ui;max-width:70em;margin:2em auto;padding:0 1em;"
        "color-scheme:light dark}table{border-collapse:collapse}td,th{padding:.3em .7em;border:1px solid #8884;"
        "text-align:right}td:first-child{text-align:left}small{opacity:.7}svg{max-width:100%}</style>\n<h1>");
    mn_xml_text_put(&out, g->model, SIZE_MAX);
    mn_strbuf_printf(&out, "</h1><p>%lld samples a cell, seed %lld; intervals are Wilson's, 95 %%.</p>\n",
                     (long long)g->n_samples, (long long)g->seed);
    for (int s = 0; s < g->n_settings; s++) {
        mn_strbuf_puts(&out, "<h2>");
        mn_xml_text_put(&out, *g->settings[s] ? g->settings[s] : "as the model is", SIZE_MAX);
        mn_strbuf_puts(&out, "</h2>\n");
        put_table(&out, g, r, g->settings[s]);
        for (int t = 0; t < g->n_tasks && g->n_depths > 1; t++) put_map(&out, g, r, g->tasks[t]->name, g->settings[s]);
    }
    return mn_file_write(path, &out, err);
}
