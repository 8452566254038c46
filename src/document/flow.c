#include "document/flow.h"

#include "base/checked.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CELL_BYTES = 400, MAX_MARK_LEVEL = 6 };

/* ---- text ---- */

static mn_strbuf *text_of(const mn_flow *f) { return &f->reading->text; }

static mn_flow_table *table_of(mn_flow *f) {
    return f->n_tables > 0 && f->n_tables <= MN_FLOW_MAX_TABLES ? f->tables + f->n_tables - 1 : NULL;
}

static void put_item(mn_flow *f) {
    int depth = MN_MIN(f->n_lists, MN_FLOW_MAX_LISTS);
    f->owed_item = false;
    for (int i = 1; i < depth; i++) mn_strbuf_puts(text_of(f), "  ");
    mn_flow_list *list = depth > 0 ? f->lists + depth - 1 : NULL;
    if (list && list->ordered)
        mn_strbuf_printf(text_of(f), "%d. ", list->number);
    else
        mn_strbuf_puts(text_of(f), "- ");
}

static void put_heading(mn_flow *f) {
    f->heading_begin = text_of(f)->bytes;
    mn_strbuf_put(text_of(f), "######", (size_t)MN_MIN(f->heading, (int)MAX_MARK_LEVEL));
    mn_strbuf_putc(text_of(f), ' ');
    f->title_begin = text_of(f)->bytes;
}

static int ends_with_lines(const mn_strbuf *out) {
    int n = 0;
    while (n < 2 && (size_t)n < out->bytes && out->data[out->bytes - 1 - (size_t)n] == '\n') n++;
    return n;
}

/* What goes before the next text. */
static void pay(mn_flow *f) {
    mn_strbuf *out = text_of(f);
    mn_flow_table *table = table_of(f);
    if (table && !table->in_cell) table->is_layout = true;
    if (out->bytes)
        for (int i = ends_with_lines(out); i < f->owed_lines; i++) mn_strbuf_putc(out, '\n');
    if (f->owed_blank && out->bytes && !ends_with_lines(out)) mn_strbuf_putc(out, ' ');
    f->owed_lines = 0;
    f->owed_blank = false;
    if (f->owed_item) put_item(f);
    if (f->heading && f->heading_begin == SIZE_MAX) put_heading(f);
}

/* The bytes of a blank at text[0], 0 where none is; U+00A0 is one: in such documents it serves the layout. */
static size_t blank_bytes(const char *text, size_t bytes) {
    if (*text == ' ' || *text == '\n' || *text == '\t' || *text == '\r' || *text == '\f') return 1;
    return bytes > 1 && !memcmp(text, "\xc2\xa0", 2) ? 2 : 0;
}

/* Without soft hyphens, which only tell where a word may be parted; a CR, which markup may spell, is a line end. */
static void put_word(mn_strbuf *out, const char *text, size_t bytes) {
    for (const char *cr; (cr = memchr(text, '\r', bytes));) {
        put_word(out, text, (size_t)(cr - text));
        mn_strbuf_putc(out, '\n');
        bytes -= (size_t)(cr + 1 - text);
        text = cr + 1;
    }
    for (const char *hyphen; (hyphen = memmem(text, bytes, "\xc2\xad", 2));) {
        size_t n = (size_t)(hyphen - text);
        mn_strbuf_put(out, text, n);
        text += n + 2;
        bytes -= n + 2;
    }
    mn_strbuf_put(out, text, bytes);
}

void mn_flow_text(mn_flow *f, const char *text, size_t bytes) {
    if (bytes && f->preformatted && !f->in_line) {
        pay(f);
        put_word(text_of(f), text, bytes);
        return;
    }
    for (size_t i = 0, n; i < bytes; i += n) {
        if ((n = blank_bytes(text + i, bytes - i))) {
            f->owed_blank = true;
            continue;
        }
        for (n = 1; i + n < bytes && !blank_bytes(text + i + n, bytes - i - n);) n++;
        pay(f);
        put_word(text_of(f), text + i, n);
    }
}

static void owe_lines(mn_flow *f, int lines) {
    if (f->in_line || f->heading)
        f->owed_blank = true;
    else if (!f->owed_item) /* an item begins on its mark's line, with a paragraph too */
        f->owed_lines = MN_MAX(f->owed_lines, lines);
}

void mn_flow_line(mn_flow *f) { owe_lines(f, 1); }
void mn_flow_paragraph(mn_flow *f) { owe_lines(f, 2); }

/* ---- headings ---- */

void mn_flow_heading_begin(mn_flow *f, int level) {
    mn_flow_paragraph(f);
    if (f->heading) return;
    f->heading = MN_MAX(level, 1);
    f->heading_begin = SIZE_MAX;
}

void mn_flow_heading_end(mn_flow *f) {
    mn_strbuf *out = text_of(f);
    if (f->heading && f->heading_begin != SIZE_MAX && !out->failed)
        mn_reading_section(f->reading, f->heading, f->heading_begin, out->data + f->title_begin,
                           out->bytes - f->title_begin);
    f->heading = 0;
    mn_flow_paragraph(f);
}

/* ---- lists ---- */

void mn_flow_list_begin(mn_flow *f, bool ordered) {
    if (f->n_lists) {
        mn_flow_line(f);
    } else {
        mn_flow_paragraph(f);
    }
    if (f->n_lists < MN_FLOW_MAX_LISTS) f->lists[f->n_lists] = (mn_flow_list){.ordered = ordered};
    f->n_lists++;
}

void mn_flow_item(mn_flow *f) {
    int depth = MN_MIN(f->n_lists, MN_FLOW_MAX_LISTS);
    f->owed_item = false;
    mn_flow_line(f);
    f->owed_item = !f->in_line && !f->heading;
    if (depth > 0) f->lists[depth - 1].number++;
}

void mn_flow_list_end(mn_flow *f) {
    if (f->n_lists == 0) return;
    f->owed_item = false;
    if (--f->n_lists)
        mn_flow_line(f);
    else
        mn_flow_paragraph(f);
}

/* ---- tables ---- */

void mn_flow_table_begin(mn_flow *f) {
    mn_flow_table *outer = table_of(f);
    if (outer) outer->is_layout = true;
    mn_flow_paragraph(f);
    if (f->n_tables++ < MN_FLOW_MAX_TABLES)
        *table_of(f) = (mn_flow_table){
            .begin = text_of(f)->bytes, .first_cell = f->n_cells, .first_section = f->reading->document->n_sections};
}

void mn_flow_row(mn_flow *f) {
    mn_flow_cell_end(f);
    mn_flow_line(f);
    if (table_of(f)) table_of(f)->begins_row = true;
}

static bool grow_cells(mn_flow *f) {
    if (f->n_cells < f->cell_capacity) return true;
    size_t capacity = f->cell_capacity ? 2 * f->cell_capacity : 64;
    mn_flow_cell *grown = realloc(f->cells, capacity * sizeof *grown);
    if (!grown) return false;
    f->cells = grown;
    f->cell_capacity = capacity;
    return true;
}

void mn_flow_cell_begin(mn_flow *f) {
    mn_flow_table *table = table_of(f);
    mn_flow_cell_end(f);
    mn_flow_line(f);
    if (!table) return;
    if (!grow_cells(f)) {
        f->reading->no_memory = true;
        return;
    }
    size_t at = text_of(f)->bytes;
    f->cells[f->n_cells++] = (mn_flow_cell){at, at, table->begins_row};
    table->begins_row = false;
    table->in_cell = true;
}

void mn_flow_cell_end(mn_flow *f) {
    mn_flow_table *table = table_of(f);
    if (!table || !table->in_cell) return;
    f->cells[f->n_cells - 1].end = text_of(f)->bytes;
    table->in_cell = false;
    mn_flow_line(f);
}

/* Short cells, more than one in some row, no headings: made to be looked up in. */
static bool is_data(const mn_flow *f, const mn_flow_table *table) {
    bool has_columns = false;
    if (table->is_layout || f->reading->document->n_sections > table->first_section) return false;
    for (size_t i = table->first_cell; i < f->n_cells; i++) {
        if (f->cells[i].end - f->cells[i].begin > MAX_CELL_BYTES) return false;
        has_columns = has_columns || (i > table->first_cell && !f->cells[i].begins_row);
    }
    return has_columns;
}

static void put_cell(mn_strbuf *row, const char *text, size_t bytes) {
    size_t begin = row->bytes;
    bool owed_blank = false;
    for (size_t i = 0, n; i < bytes; i += n ? n : 1) {
        n = blank_bytes(text + i, bytes - i);
        if (!n && owed_blank && row->bytes > begin) mn_strbuf_putc(row, ' ');
        if (!n) mn_strbuf_putc(row, text[i]);
        owed_blank = n > 0;
    }
}

static void put_row(const mn_flow *f, const mn_flow_cell *cells, size_t n, mn_strbuf *rows) {
    size_t begin = rows->bytes, text_bytes = 0;
    if (begin) mn_strbuf_putc(rows, '\n');
    for (size_t i = 0; i < n; i++) {
        if (i) mn_strbuf_puts(rows, " | ");
        size_t before = rows->bytes;
        put_cell(rows, f->reading->text.data + cells[i].begin, cells[i].end - cells[i].begin);
        text_bytes += rows->bytes - before;
    }
    if (text_bytes == 0) rows->bytes = begin;
}

/* The cells again, a line for each row that is not empty. */
static void put_rows(const mn_flow *f, const mn_flow_table *table, mn_strbuf *rows) {
    for (size_t i = table->first_cell, end; i < f->n_cells; i = end) {
        for (end = i + 1; end < f->n_cells && !f->cells[end].begins_row;) end++;
        put_row(f, f->cells + i, end - i, rows);
    }
}

static void rewrite(mn_flow *f, const mn_flow_table *table) {
    mn_strbuf *out = text_of(f), rows = MN_STRBUF_INIT;
    put_rows(f, table, &rows);
    if (rows.failed) {
        f->reading->no_memory = true;
    } else if (out->bytes > table->begin) {
        out->bytes = table->begin;
        out->data[out->bytes] = 0;
        f->owed_lines = 2;
        if (rows.bytes) pay(f);
        mn_strbuf_put(out, rows.data, rows.bytes);
    }
    mn_strbuf_release(&rows);
}

void mn_flow_table_end(mn_flow *f) {
    mn_flow_table *table = table_of(f);
    mn_flow_cell_end(f);
    if (table && !text_of(f)->failed && is_data(f, table)) rewrite(f, table);
    if (table) f->n_cells = table->first_cell;
    if (f->n_tables > 0) f->n_tables--;
    mn_flow_paragraph(f);
}

void mn_flow_finish(mn_flow *f) {
    if (f->heading) mn_flow_heading_end(f);
    while (f->n_tables > 0) mn_flow_table_end(f);
    if (f->n_pictures) mn_reading_note(f->reading, "%zu pictures are left out", f->n_pictures);
    free(f->cells);
    *f = (mn_flow){.reading = f->reading};
}
