#include "train/run_log.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/svg.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_LOG_BYTES = 1 << 30, SMOOTHED_PARTS = 50 };

static const struct {
    const char *name;
    size_t offset;
    bool whole;
} fields[] = {
    {"step", offsetof(mn_run_line, step), true},
    {"tokens", offsetof(mn_run_line, n_tokens), true},
    {"loss", offsetof(mn_run_line, loss), false},
    {"gates", offsetof(mn_run_line, gates), false},
    {"easy", offsetof(mn_run_line, easy), false},
    {"busiest_expert", offsetof(mn_run_line, busiest), false},
    {"validation", offsetof(mn_run_line, validation), false},
    {"rate", offsetof(mn_run_line, rate), false},
    {"gradient_norm", offsetof(mn_run_line, norm), false},
    {"seconds", offsetof(mn_run_line, seconds), false},
    {"tokens_per_s", offsetof(mn_run_line, tokens_per_s), false},
    {"peak_share", offsetof(mn_run_line, peak_share), false},
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static const void *at(const mn_run_line *line, int i) { return (const char *)line + fields[i].offset; }

static void write_line(FILE *f, const mn_run_line *line) {
    const char *separator = "{";
    for (int i = 0; i < N_FIELDS; i++) {
        double value = fields[i].whole ? 0 : *(const double *)at(line, i);
        if (!isfinite(value)) continue;
        if (fields[i].whole)
            fprintf(f, "%s\"%s\": %lld", separator, fields[i].name, (long long)*(const int64_t *)at(line, i));
        else
            fprintf(f, "%s\"%s\": %.9g", separator, fields[i].name, value);
        separator = ", ";
    }
    fputs("}\n", f);
}

static bool read_line(const char *text, size_t bytes, mn_run_line *out) {
    json_t *object = json_loadb(text, bytes, 0, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return false;
    }
    for (int i = 0; i < N_FIELDS; i++) {
        const json_t *value = json_object_get(object, fields[i].name);
        void *field = (char *)out + fields[i].offset;
        if (fields[i].whole)
            *(int64_t *)field = (int64_t)json_integer_value(value);
        else
            *(double *)field = json_is_number(value) ? json_number_value(value) : NAN;
    }
    json_decref(object);
    return true;
}

static mn_status keep_line(mn_run_log *log, const mn_run_line *line, mn_error *err) {
    if (log->n_lines == log->capacity) {
        int64_t capacity = log->capacity ? 2 * log->capacity : 1024;
        mn_run_line *grown = reallocarray(log->lines, (size_t)capacity, sizeof *grown);
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "no memory for a log of %lld lines.", (long long)capacity);
        log->lines = grown;
        log->capacity = capacity;
    }
    log->lines[log->n_lines++] = *line;
    return MN_OK;
}

static mn_status take_up(mn_run_log *log, const char *text, int64_t step, mn_error *err) {
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");
        mn_run_line line;
        if (read_line(p, n, &line) && line.step <= step) MN_TRY(keep_line(log, &line, err));
        p += n + (p[n] == '\n');
    }
    return MN_OK;
}

/* Writes what stays of the old log beside it, and renames: a crash in between leaves the old one. */
static mn_status rewrite(const mn_run_log *log, const char *path, mn_error *err) {
    mn_writer w;
    MN_TRY(mn_writer_open(path, &w, err));
    for (int64_t i = 0; i < log->n_lines; i++) write_line(w.file, &log->lines[i]);
    return mn_writer_commit(&w, err);
}

static mn_status open_file(mn_run_log *log, int64_t step, mn_error *err) {
    char path[4200], *text;
    size_t bytes;
    struct stat info;
    snprintf(path, sizeof path, "%s/log.jsonl", log->folder);
    if (!stat(path, &info)) {
        MN_TRY(mn_file_read(path, MAX_LOG_BYTES, &text, &bytes, err));
        mn_status status = take_up(log, text, step, err);
        free(text);
        if (status == MN_OK) status = rewrite(log, path, err);
        if (status != MN_OK) return status;
    }
    log->file = fopen(path, "ae");
    return log->file ? MN_OK : mn_fail(err, MN_ERR_IO, "%s: cannot open: %s.", path, strerror(errno));
}

mn_status mn_run_log_open(const char *folder, int64_t step, mn_run_log *out, mn_error *err) {
    *out = (mn_run_log){.folder = strdup(folder), .title = "Training"};
    if (!out->folder) return mn_fail(err, MN_ERR_MEMORY, "no memory for the name of a folder.");
    mn_status status = MN_OK;
    if (strlen(folder) > 4000)
        status = mn_fail(err, MN_ERR_LIMIT, "the folder's name has %zu bytes; use a shorter one.", strlen(folder));
    else if (mkdir(folder, 0777) && errno != EEXIST)
        status = mn_fail(err, MN_ERR_IO, "%s: cannot be made: %s.", folder, strerror(errno));
    if (status == MN_OK) status = open_file(out, step, err);
    if (status != MN_OK) mn_run_log_close(out);
    return status;
}

mn_status mn_run_log_add(mn_run_log *log, const mn_run_line *line, mn_error *err) {
    MN_TRY(keep_line(log, line, err));
    write_line(log->file, line);
    if (!fflush(log->file)) return MN_OK;
    return mn_fail(err, MN_ERR_IO, "%s/log.jsonl: cannot write: %s.", log->folder, strerror(errno));
}

/* The mean of the losses in each of some equal parts of the lines. */
static size_t smooth(const double *x, const double *y, size_t n, double *out_x, double *out_y) {
    size_t parts = MN_MIN(n, (size_t)SMOOTHED_PARTS), used = 0;
    for (size_t p = 0; p < parts; p++) {
        size_t begin = n * p / parts, end = n * (p + 1) / parts, count = 0;
        double sum = 0;
        for (size_t i = begin; i < end; i++)
            if (isfinite(y[i])) {
                sum += y[i];
                count++;
            }
        if (count == 0) continue;
        out_x[used] = x[(begin + end) / 2 < n ? (begin + end) / 2 : n - 1];
        out_y[used++] = sum / (double)count;
    }
    return used;
}

static void draw(const mn_run_log *log, mn_svg *svg, double *x, double *loss, double *validation) {
    double mean_x[SMOOTHED_PARTS], mean_y[SMOOTHED_PARTS];
    size_t n = (size_t)log->n_lines, n_validated = 0;
    double *at_x = x + n;
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)log->lines[i].step;
        loss[i] = log->lines[i].loss;
        if (!isfinite(log->lines[i].validation)) continue;
        at_x[n_validated] = x[i];
        validation[n_validated++] = log->lines[i].validation;
    }
    mn_svg_axis steps = {"step", 0, 0, .log = false}, nats = {"loss (nats per token)", 0, 0, .log = false};
    mn_svg_axis_include(&steps, x, n);
    mn_svg_axis_include(&nats, loss, n);
    mn_svg_axis_include(&nats, validation, n_validated);
    mn_svg_axis_pad(&nats, 0.03);
    mn_svg_begin(svg, log->title, steps, nats);
    mn_svg_points(svg, 2, "training, each step", x, loss, n);
    mn_svg_line(svg, 0, "training, smoothed", mean_x, mean_y, smooth(x, loss, n, mean_x, mean_y));
    mn_svg_line(svg, 1, "validation", at_x, validation, n_validated);
}

mn_status mn_run_log_draw(const mn_run_log *log, mn_error *err) {
    char path[4200];
    size_t n = (size_t)log->n_lines;
    mn_svg svg;
    if (n < 2) return MN_OK;
    double *numbers = malloc(4 * n * sizeof *numbers);
    if (!numbers) return mn_fail(err, MN_ERR_MEMORY, "no memory for a picture of %zu steps.", n);
    snprintf(path, sizeof path, "%s/loss.svg", log->folder);
    draw(log, &svg, numbers, numbers + 2 * n, numbers + 3 * n);
    mn_status status = mn_svg_write(&svg, path, err);
    free(numbers);
    return status;
}

void mn_run_log_close(mn_run_log *log) {
    if (log->file) fclose(log->file);
    free(log->folder);
    free(log->lines);
    *log = (mn_run_log){0};
}
