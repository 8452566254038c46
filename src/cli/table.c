#include "cli/table.h"

#include "base/checked.h"
#include "cli/terminal.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2, INDENT = 4 };

void mn_table_begin(mn_table *t, const char *const *titles, uint64_t left) {
    *t = (mn_table){.left = left};
    while (t->n_columns < MN_TABLE_MAX_COLUMNS && titles[t->n_columns]) {
        t->titles[t->n_columns] = titles[t->n_columns];
        t->n_columns++;
    }
}

void mn_table_add(mn_table *t, const char *format, ...) {
    va_list args;
    char *cell;
    if (t->n_cells == t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : 64;
        char **grown = realloc(t->cells, capacity * sizeof *grown);
        if (!grown) return;
        t->cells = grown;
        t->capacity = capacity;
    }
    va_start(args, format);
    if (vasprintf(&cell, format, args) >= 0) t->cells[t->n_cells++] = cell;
    va_end(args);
}

static int columns_of(const char *text) { return mn_text_columns(text, strlen(text)); }

static int width_of(const mn_table *t, int column) {
    int width = columns_of(t->titles[column]);
    for (size_t i = (size_t)column; i < t->n_cells; i += (size_t)t->n_columns)
        width = MN_MAX(width, columns_of(t->cells[i]));
    return width;
}

/* A row of titles or cells; nothing follows the last word. */
static void print_row(const mn_table *t, FILE *out, char *const *cells, const int *widths) {
    int pending = 0;
    for (int i = 0; i < t->n_columns; i++) {
        int blanks = widths[i] - columns_of(cells[i]);
        bool left = t->left >> i & 1;
        fprintf(out, "%*s%s", pending + (left || !*cells[i] ? 0 : blanks), "", cells[i]);
        pending = GAP + (left || !*cells[i] ? blanks : 0);
    }
    fputc('\n', out);
}

static void print_aligned(const mn_table *t, FILE *out, const int *widths) {
    bool titled = false;
    for (int i = 0; i < t->n_columns; i++) titled |= t->titles[i][0] != '\0';
    if (titled) print_row(t, out, (char *const *)t->titles, widths);
    for (size_t i = 0; i + (size_t)t->n_columns <= t->n_cells; i += (size_t)t->n_columns)
        print_row(t, out, t->cells + i, widths);
}

static void print_blocks(const mn_table *t, FILE *out, int columns) {
    for (size_t i = 0; i < t->n_cells; i++) {
        int column = (int)(i % (size_t)t->n_columns);
        if (!*t->cells[i]) continue;
        int at = column ? INDENT / 2 : 0;
        fprintf(out, "%*s", at, "");
        if (*t->titles[column]) at += fprintf(out, "%s: ", t->titles[column]);
        mn_print_folded(out, t->cells[i], at, INDENT, columns);
        fputc('\n', out);
    }
}

void mn_table_release(mn_table *t) {
    for (size_t i = 0; i < t->n_cells; i++) free(t->cells[i]);
    free(t->cells);
    *t = (mn_table){0};
}

void mn_table_end(mn_table *t, FILE *out) {
    int widths[MN_TABLE_MAX_COLUMNS], total = -GAP, columns = mn_terminal_columns(out);
    for (int i = 0; i < t->n_columns; i++) total += GAP + (widths[i] = width_of(t, i));
    if (columns == 0 || total <= columns)
        print_aligned(t, out, widths);
    else
        print_blocks(t, out, columns);
    mn_table_release(t);
}
