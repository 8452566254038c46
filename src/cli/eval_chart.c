/* mnemo eval chart: the numbers of a table as a picture, a line for each name. */
#include "base/svg.h"
#include "cli/eval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SERIES = 8, MAX_POINTS = 64 }; /* as many as there are colours */

static const char *svg_path, *title, *x_label, *y_label;
static bool log_x;

static const mn_option options[] = {
    MN_OPTION_WRITTEN("svg", &svg_path, "FILE", "the picture to write"),
    MN_OPTION_TEXT("title", &title, "TEXT", "Figures", "above it"),
    MN_OPTION_TEXT("x", &x_label, "TEXT", "x", "what the second column is, with its unit"),
    MN_OPTION_TEXT("y", &y_label, "TEXT", "y", "what the third column is, with its unit"),
    MN_OPTION_FLAG("log-x", &log_x, "equal ratios of x are equal steps"),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "eval chart",
    .synopsis = "TABLE.tsv --svg FILE [--title TEXT] [--x TEXT] [--y TEXT]",
    .about = "Draws a table of three columns with tabs between: the name of a line, x, y. Lines that begin with # are "
             "left out; points of a name are joined in the order of the table.",
    .example = "mnemo eval chart heads.tsv --svg heads.svg --x 'bytes a token' --y score",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
};

typedef struct series {
    char name[64];
    double x[MAX_POINTS], y[MAX_POINTS];
    size_t n;
} series;

typedef struct chart {
    series list[MAX_SERIES];
    int n;
} chart;

static series *find(chart *c, const char *name, size_t bytes) {
    for (int i = 0; i < c->n; i++)
        if (strlen(c->list[i].name) == bytes && !memcmp(c->list[i].name, name, bytes)) return &c->list[i];
    if (c->n == MAX_SERIES || bytes >= sizeof c->list[0].name) return NULL;
    memcpy(c->list[c->n].name, name, bytes);
    return &c->list[c->n++];
}

/* One line of the table, number `row` of `path`. */
static mn_status add_line(chart *c, const char *path, int row, const char *line, mn_error *err) {
    size_t name = strcspn(line, "\t");
    char *after_x, *after_y;
    if (*line == '#' || !*line) return MN_OK;
    double x = line[name] ? strtod(line + name + 1, &after_x) : NAN;
    double y = line[name] && *after_x == '\t' ? strtod(after_x + 1, &after_y) : NAN;
    if (!isfinite(x) || !isfinite(y))
        return mn_fail(err, MN_ERR_FORMAT, "%s: line %d is no name, x and y with tabs between.", path, row);
    series *s = find(c, line, name);
    if (!s || s->n == MAX_POINTS)
        return mn_fail(err, MN_ERR_LIMIT, "%s: line %d: there is room for %d names of 63 bytes, %d points each.", path,
                       row, MAX_SERIES, MAX_POINTS);
    s->x[s->n] = x;
    s->y[s->n++] = y;
    return MN_OK;
}

static mn_status read_table(chart *c, const char *path, mn_error *err) {
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    mn_status status = MN_OK;
    if (!f) return mn_fail(err, MN_ERR_IO, "%s: cannot be read.", path);
    for (int row = 1; status == MN_OK && (bytes = getline(&line, &capacity, f)) >= 0; row++) {
        while (bytes > 0 && (line[bytes - 1] == '\n' || line[bytes - 1] == '\r')) line[--bytes] = 0;
        status = add_line(c, path, row, line, err);
    }
    free(line);
    fclose(f);
    if (status == MN_OK && c->n == 0) return mn_fail(err, MN_ERR_FORMAT, "%s: there is no point in it.", path);
    return status;
}

static mn_status draw(const chart *c, mn_error *err) {
    mn_svg svg;
    mn_svg_axis x = {.label = x_label, .log = log_x}, y = {.label = y_label};
    for (int i = 0; i < c->n; i++) {
        mn_svg_axis_include(&x, c->list[i].x, c->list[i].n);
        mn_svg_axis_include(&y, c->list[i].y, c->list[i].n);
    }
    mn_svg_axis_pad(&x, 0.04);
    mn_svg_axis_pad(&y, 0.04);
    mn_svg_begin(&svg, title, x, y);
    for (int i = 0; i < c->n; i++) {
        const series *s = &c->list[i];
        mn_svg_line(&svg, i, s->name, s->x, s->y, s->n);
        mn_svg_points(&svg, i, NULL, s->x, s->y, s->n);
    }
    return mn_svg_write(&svg, svg_path, err);
}

int mn_eval_chart(const mn_eval_verb *verb, int argc, char **argv) {
    static chart c;
    mn_text_list files;
    mn_error err;
    (void)verb;
    int code = mn_options_parse(&usage, argc, argv, &files);
    if (code >= 0) return code;
    if (!svg_path) return mn_cli_wrong(&usage, "needs --svg FILE, the picture to write.");
    mn_status status = read_table(&c, files.items[0], &err);
    if (status == MN_OK) status = draw(&c, &err);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("eval chart", &err);
}
