#include "cli/profile.h"

#include "base/checked.h"
#include "base/svg.h"
#include "bench/peak.h"
#include "cli/table.h"
#include "cli/terminal.h"

#include <stdlib.h>

enum { PEAK_BUFFER_BYTES = 256 << 20, MAX_RUNS_NAMED = 4 };

mn_status mn_cli_profile_create(const mn_engine *engine, const mn_peaks *peaks, bool cpu_time, mn_profile **out,
                                mn_error *err) {
    int n_threads = mn_pool_threads(engine->pool);
    if (cpu_time && n_threads > 1)
        return mn_fail(err, MN_ERR_ARGUMENT, "--cpu-time counts what one thread computes, and there are %d; use -t 1.",
                       n_threads);
    MN_TRY(mn_profile_create(engine->model.config.n_layers, peaks, out, err));
    (*out)->cpu_time = cpu_time;
    return MN_OK;
}

mn_status mn_cli_profile_peaks(const mn_engine *engine, mn_peaks *out, mn_error *err) {
    return mn_peaks_measure_within(engine->compute.kernels->level, engine->pool, 0.5, PEAK_BUFFER_BYTES, out, err);
}

static int n_places(const mn_profile *p) { return p->n_layers + 2; }

static void add_cost(mn_op_cost *sum, const mn_op_cost *x) {
    sum->seconds += x->seconds;
    sum->flops += x->flops;
    sum->bytes += x->bytes;
    sum->floor_s += x->floor_s;
}

static mn_op_cost total_of(const mn_profile *p) {
    mn_op_cost sum = {0};
    for (int i = 0; i < n_places(p) * MN_OP_COUNT; i++) add_cost(&sum, &p->costs[i]);
    return sum;
}

/* Layers that do the same: the same kinds, and about as much attention. */
static bool are_alike(const mn_profile *p, int a, int b) {
    if (a == 0 || b == 0 || a > p->n_layers || b > p->n_layers) return a == b;
    for (int kind = 1; kind < MN_OP_COUNT; kind++)
        if ((mn_profile_at(p, a, kind)->seconds > 0) != (mn_profile_at(p, b, kind)->seconds > 0)) return false;
    double x = mn_profile_at(p, a, MN_OP_ATTENTION)->flops, y = mn_profile_at(p, b, MN_OP_ATTENTION)->flops;
    return x <= 2 * y && y <= 2 * x;
}

/* What stands for the place's group: the first place that is like it and stands for its own. Being alike is not handed
 * on: of three layers the second may be like both others, and these not like each other. */
static int group_of(const mn_profile *p, int place) {
    for (int i = 0; i < place; i++)
        if (are_alike(p, i, place) && group_of(p, i) == i) return i;
    return place;
}

/* "0-1", "2-15", "0-4 6-10 ...", "input" or "output" */
static void name_group(const mn_profile *p, int group, char *text, size_t bytes) {
    int n_runs = 0, n = 0;
    if (group == 0 || group > p->n_layers) {
        snprintf(text, bytes, group == 0 ? "input" : "output");
        return;
    }
    for (int begin = group; begin <= p->n_layers && (size_t)n < bytes; begin++) {
        if (group_of(p, begin) != group) continue;
        int end = begin;
        while (end < p->n_layers && group_of(p, end + 1) == group) end++;
        if (n_runs++ == MAX_RUNS_NAMED) {
            snprintf(text + n, bytes - (size_t)n, " ...");
            return;
        }
        n += snprintf(text + n, bytes - (size_t)n, end > begin ? "%s%d-%d" : "%s%d", n ? " " : "", begin - 1, end - 1);
        begin = end;
    }
}

/* One line of a report: a kind of operation in a group of layers. */
typedef struct line {
    char layers[48];
    mn_op_kind kind;
    mn_op_cost cost;
} line;

static int slowest_first(const void *a, const void *b) {
    double x = ((const line *)a)->cost.seconds, y = ((const line *)b)->cost.seconds;
    return (x < y) - (x > y);
}

/* The lines of a group, the slowest first. Returns how many. */
static int lines_of(const mn_profile *p, int group, line *lines) {
    int n = 0;
    for (int kind = MN_OP_OTHER + 1; kind < MN_OP_COUNT; kind++) {
        line *at = &lines[n];
        *at = (line){.kind = (mn_op_kind)kind};
        for (int place = group; place < n_places(p); place++)
            if (group_of(p, place) == group) add_cost(&at->cost, mn_profile_at(p, place, (mn_op_kind)kind));
        if (at->cost.seconds == 0) continue;
        name_group(p, group, at->layers, sizeof at->layers);
        n++;
    }
    qsort(lines, (size_t)n, sizeof *lines, slowest_first);
    return n;
}

/* What ran between operations, wherever. */
static line other_line(const mn_profile *p) {
    line other = {.layers = "all", .kind = MN_OP_OTHER};
    for (int place = 0; place < n_places(p); place++) add_cost(&other.cost, mn_profile_at(p, place, MN_OP_OTHER));
    return other;
}

/* Calls fn for each line of a report. */
static void each_line(const mn_profile *p, void (*fn)(void *arg, const line *l), void *arg) {
    line lines[MN_OP_COUNT];
    for (int group = 0; group < n_places(p); group++) {
        if (group_of(p, group) != group) continue;
        int n = lines_of(p, group, lines);
        for (int i = 0; i < n; i++) fn(arg, &lines[i]);
    }
    line other = other_line(p);
    fn(arg, &other);
}

static double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

static void add_figure(mn_table *table, double value) {
    if (value > 0)
        mn_table_add(table, value < 10 ? "%.3f" : "%.1f", value);
    else
        mn_table_add(table, "-");
}

typedef struct report {
    mn_table table;
    json_t *rows;
    double seconds;
    bool above; /* a share of a floor above 100 % */
} report;

static void add_row(report *r, const char *layers, const char *operation, const mn_op_cost *cost) {
    double share = percent(cost->floor_s, cost->seconds);
    mn_table_add(&r->table, "%s", layers);
    mn_table_add(&r->table, "%s", operation);
    mn_table_add(&r->table, "%.1f", cost->seconds * 1e3);
    mn_table_add(&r->table, "%.1f%%", percent(cost->seconds, r->seconds));
    add_figure(&r->table, cost->flops / 1e9);
    add_figure(&r->table, cost->bytes / 1e6);
    if (cost->floor_s > 0)
        mn_table_add(&r->table, "%.0f%%%s", share, share > 100 ? "*" : "");
    else
        mn_table_add(&r->table, "-");
    r->above |= share > 100;
}

static void print_row(void *arg, const line *l) { add_row(arg, l->layers, mn_op_kind_name(l->kind), &l->cost); }

void mn_profile_print(FILE *out, const mn_profiled *part) {
    static const char *const titles[] = {"layers", "operation", "ms",           "of the time",
                                         "GFLOP",  "MB",        "of the floor", NULL};
    mn_op_cost total = total_of(part->profile);
    report r = {.seconds = total.seconds};
    mn_print_line(out, 2, "%s: %lld tokens in %.1f ms%s", part->title, (long long)part->n_tokens, total.seconds * 1e3,
                  part->profile->cpu_time ? " of CPU time" : "");
    mn_table_begin(&r.table, titles, 3);
    each_line(part->profile, print_row, &r);
    add_row(&r, "all", "all", &total);
    mn_table_end(&r.table, out);
    if (r.above)
        mn_print_line(out, 2,
                      "* above 100 %%: what is read stays in the processor's caches, which are faster than memory, or "
                      "the machine was busier while its peaks were measured");
    fputc('\n', out);
}

static void json_row(void *arg, const line *l) {
    report *r = arg;
    json_array_append_new(r->rows, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f}", "layers", l->layers, "operation",
                                             mn_op_kind_name(l->kind), "ms", l->cost.seconds * 1e3, "flops",
                                             l->cost.flops, "bytes", l->cost.bytes, "floor_ms", l->cost.floor_s * 1e3));
}

json_t *mn_profile_json(const mn_profiled *part) {
    report r = {.rows = json_array()};
    each_line(part->profile, json_row, &r);
    return json_pack("{s:I, s:f, s:o}", "tokens", (json_int_t)part->n_tokens, "seconds",
                     total_of(part->profile).seconds, "operations", r.rows);
}

/* The bar of a place: its kinds one after another. Each layer has a row, and each part a strip of it. */
static void draw_place(mn_svg *svg, const mn_profile *p, int place, double top, double height, double strength) {
    double at = 0, whole = total_of(p).seconds;
    for (int kind = 1; kind < MN_OP_COUNT; kind++) {
        double width = percent(mn_profile_at(p, place, (mn_op_kind)kind)->seconds, whole);
        if (width <= 0) continue;
        mn_svg_cell(svg, kind - 1, strength, at, top, at + width, top + height);
        at += width;
    }
}

static double longest_bar(const mn_profile *p) {
    double longest = 0, whole = total_of(p).seconds;
    for (int place = 0; place < n_places(p); place++) {
        double seconds = 0;
        for (int kind = 1; kind < MN_OP_COUNT; kind++) seconds += mn_profile_at(p, place, (mn_op_kind)kind)->seconds;
        longest = MN_MAX(longest, percent(seconds, whole));
    }
    return longest;
}

/* Which strip is which part. */
static void subtitle_of(const mn_profiled *parts, int n_parts, char *text, size_t bytes) {
    int n = 0;
    for (int i = 0; i < n_parts; i++)
        n += snprintf(text + n, bytes - (size_t)n, "%s%s%s: %lld tokens, %.3g s", i ? "; " : "", parts[i].title,
                      n_parts == 1 ? ""
                      : i          ? " (paler, below)"
                                   : " (above)",
                      (long long)parts[i].n_tokens, total_of(parts[i].profile).seconds);
}

mn_status mn_profile_draw(const mn_profiled *parts, int n_parts, const char *path, mn_error *err) {
    int places = n_places(parts[0].profile);
    double longest = 0, none = 0;
    char subtitle[200];
    for (int i = 0; i < n_parts; i++) longest = MN_MAX(longest, longest_bar(parts[i].profile));
    mn_svg_axis x = {.label = "share of the time, per cent", .min = 0, .max = MN_MAX(longest * 1.02, 1)};
    mn_svg_axis y = {.label = "layer (before the first: input; behind the last: output)", .min = places - 1, .max = -1};
    mn_svg svg;
    mn_svg_begin(&svg, "Where the time goes", x, y);
    subtitle_of(parts, n_parts, subtitle, sizeof subtitle);
    svg.subtitle = subtitle;
    for (int kind = 1; kind < MN_OP_COUNT; kind++)
        mn_svg_line(&svg, kind - 1, mn_op_kind_name((mn_op_kind)kind), &none, &none, 0);
    for (int i = 0; i < n_parts; i++)
        for (int place = 0; place < places; place++)
            draw_place(&svg, parts[i].profile, place, place - 1 + 0.1 + 0.8 * i / n_parts, 0.8 / n_parts,
                       i ? 0.55 : 0.9);
    return mn_svg_write(&svg, path, err);
}
