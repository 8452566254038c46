/* The CSV of one's own runs. */
#include <mnemo/scaling.h>

#include "base/file.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 64 << 20, MAX_COLUMNS = 64, N_WANTED = 3 };

typedef struct column {
    const char *name;
    double max;
    int index; /* in the file */
} column;

typedef struct reader {
    const char *path;
    char *next; /* the rest of the file */
    int line;
    column wanted[N_WANTED];
    int n_columns;
} reader;

static char *trimmed(char *text) {
    text += strspn(text, " \t\"");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\"\r", text[n - 1])) text[--n] = 0;
    return text;
}

/* The next line that is not blank, cut off its newline; NULL at the end. */
static char *next_line(reader *r) {
    while (r->next && *r->next) {
        char *line = r->next, *end = strchr(line, '\n');
        if (end) *end = 0;
        r->next = end ? end + 1 : NULL;
        r->line++;
        if (line[strspn(line, " \t\r")]) return line;
    }
    return NULL;
}

/* Cuts line at its commas. Returns the number of fields, of which the first MAX_COLUMNS are kept. */
static int split(char *line, char *fields[MAX_COLUMNS]) {
    int n = 0;
    for (char *field = line; field; n++) {
        char *comma = strchr(field, ',');
        if (comma) *comma = 0;
        if (n < MAX_COLUMNS) fields[n] = trimmed(field);
        field = comma ? comma + 1 : NULL;
    }
    return n;
}

static mn_status read_header(reader *r, mn_error *err) {
    char *fields[MAX_COLUMNS], *line = next_line(r);
    if (!line)
        return mn_fail(err, MN_ERR_FORMAT, "%s: is empty; a header params,tokens,loss and rows are wanted.", r->path);
    if (!strncmp(line, "\xEF\xBB\xBF", 3)) line += 3;
    r->n_columns = split(line, fields);
    if (r->n_columns > MAX_COLUMNS)
        return mn_fail(err, MN_ERR_LIMIT, "%s: has %d columns; at most %d are read.", r->path, r->n_columns,
                       MAX_COLUMNS);
    for (column *want = r->wanted; want < r->wanted + N_WANTED; want++) {
        want->index = -1;
        for (int i = 0; i < r->n_columns; i++)
            if (!strcmp(fields[i], want->name)) want->index = i;
        if (want->index < 0)
            return mn_fail(err, MN_ERR_FORMAT,
                           "%s:%d: has no column \"%s\"; the header must name params, tokens and loss.", r->path,
                           r->line, want->name);
    }
    return MN_OK;
}

static mn_status read_row(const reader *r, char *line, mn_scaling_run *run, mn_error *err) {
    char *fields[MAX_COLUMNS];
    int n = split(line, fields);
    if (n != r->n_columns)
        return mn_fail(err, MN_ERR_FORMAT, "%s:%d: has %d fields where the header has %d.", r->path, r->line, n,
                       r->n_columns);
    double values[N_WANTED];
    for (int i = 0; i < N_WANTED; i++) {
        const column *want = &r->wanted[i];
        const char *text = fields[want->index];
        char *end;
        values[i] = strtod(text, &end);
        if (end == text || *end)
            return mn_fail(err, MN_ERR_FORMAT, "%s:%d: %s is \"%.40s\", which is not a number.", r->path, r->line,
                           want->name, text);
        if (!(values[i] > 0 && values[i] <= want->max))
            return mn_fail(err, MN_ERR_FORMAT, "%s:%d: %s is %s; it must be above 0 and at most %g.", r->path, r->line,
                           want->name, text, want->max);
    }
    *run = (mn_scaling_run){.params = values[0], .tokens = values[1], .loss = values[2]};
    return MN_OK;
}

static mn_status read_rows(reader *r, mn_scaling_run **runs, size_t *n_runs, mn_error *err) {
    size_t capacity = 0;
    for (char *line; (line = next_line(r));) {
        if (*n_runs == capacity) {
            capacity = capacity ? 2 * capacity : 256;
            mn_scaling_run *grown = realloc(*runs, capacity * sizeof **runs);
            if (!grown) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for %zu runs.", r->path, capacity);
            *runs = grown;
        }
        MN_TRY(read_row(r, line, &(*runs)[*n_runs], err));
        ++*n_runs;
    }
    return MN_OK;
}

mn_status mn_scaling_runs_read(const char *path, mn_scaling_run **runs, size_t *n_runs, mn_error *err) {
    *runs = NULL;
    *n_runs = 0;
    char *text;
    size_t bytes;
    MN_TRY(mn_file_read(path, MAX_FILE_BYTES, &text, &bytes, err));
    reader r = {.path = path, .next = text, .wanted = {{"params", 1e18, 0}, {"tokens", 1e24, 0}, {"loss", 100, 0}}};
    mn_status status = strlen(text) == bytes
                           ? read_header(&r, err)
                           : mn_fail(err, MN_ERR_FORMAT, "%s: holds a NUL byte: it is no text.", path);
    if (!status) status = read_rows(&r, runs, n_runs, err);
    free(text);
    if (status) {
        free(*runs);
        *runs = NULL;
    }
    return status;
}
