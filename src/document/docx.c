/* Word documents (Office Open XML, ECMA-376 part 1): the paragraphs, tables and notes of the main part. */
#include "base/checked.h"
#include "document/dublin_core.h"
#include "document/flow.h"
#include "document/markup.h"
#include "document/package.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_STYLES = 4096, MAX_OUTLINE_LEVEL = 9, MAX_STYLE_BYTES = 64 };

typedef struct style {
    char id[MAX_STYLE_BYTES];
    int level;
} style;

typedef struct docx {
    mn_flow flow;
    mn_package package;
    char main_part[MN_MARKUP_MAX_VALUE_BYTES];
    style *styles; /* those of headings */
    size_t n_styles;
    style open_style; /* while styles are read */
    int level;        /* of the paragraph that is open, 0 = no heading */
    bool in_item;
    bool after_mark; /* of a note, whose first paragraph goes on with the line */
    int text_depth;  /* inside w:t at this depth, 0 = not */
    size_t n_removed, n_comments;
} docx;

static bool is_word(const mn_element *element) { return strstr(element->space, "wordprocessingml") != NULL; }

static bool wants(const char *name) {
    size_t n = strlen(name);
    return (!strncmp(name, "word/", 5) && !strchr(name + 5, '/') && n > 4 && !strcmp(name + n - 4, ".xml")) ||
           !strcmp(name, "_rels/.rels") || !strcmp(name, "docProps/core.xml");
}

/* ---- the parts around the text ---- */

static bool on_relation(void *arg, const mn_element *element, int depth) {
    docx *d = arg;
    char type[MN_MARKUP_MAX_VALUE_BYTES], target[MN_MARKUP_MAX_VALUE_BYTES];
    (void)depth;
    if (strcmp(element->name, "Relationship") || !mn_element_attribute(element, "Type", type)) return true;
    const char *last = strrchr(type, '/');
    if (last && !strcmp(last, "/officeDocument") && mn_element_attribute(element, "Target", target))
        strcpy(d->main_part, target + (target[0] == '/'));
    return true;
}

/* A style's level: its outline level, or the number in "heading 1". */
static bool on_style(void *arg, const mn_element *element, int depth) {
    docx *d = arg;
    char value[MN_MARKUP_MAX_VALUE_BYTES];
    (void)depth;
    if (!strcmp(element->name, "style")) {
        d->open_style = (style){0};
        if (mn_element_attribute(element, "styleId", value) && strlen(value) < MAX_STYLE_BYTES)
            strcpy(d->open_style.id, value);
    } else if (!strcmp(element->name, "name") && mn_element_attribute(element, "val", value)) {
        if (!strncasecmp(value, "heading ", 8) && isdigit((unsigned char)value[8]))
            d->open_style.level = value[8] - '0';
        if (!strcasecmp(value, "title")) d->open_style.level = 1;
    } else if (!strcmp(element->name, "outlineLvl") && mn_element_attribute(element, "val", value)) {
        if (value[0] >= '0' && value[0] < '0' + MAX_OUTLINE_LEVEL && !value[1])
            d->open_style.level = value[0] - '0' + 1;
    }
    return true;
}

static void end_style(void *arg, const mn_element *element, int depth) {
    docx *d = arg;
    (void)depth;
    if (strcmp(element->name, "style") || !d->open_style.id[0] || !d->open_style.level || d->n_styles == MAX_STYLES)
        return;
    if (!d->styles) d->styles = calloc(MAX_STYLES, sizeof *d->styles);
    if (!d->styles)
        d->flow.reading->no_memory = true;
    else
        d->styles[d->n_styles++] = d->open_style;
}

/* ---- the text ---- */

static int level_of(const docx *d, const char *id) {
    for (size_t i = 0; i < d->n_styles; i++)
        if (!strcmp(d->styles[i].id, id)) return d->styles[i].level;
    return 0;
}

/* What a paragraph's properties say of it. */
static void take_property(docx *d, const mn_element *element) {
    char value[MN_MARKUP_MAX_VALUE_BYTES];
    if (!strcmp(element->name, "pStyle") && mn_element_attribute(element, "val", value)) {
        d->level = level_of(d, value);
    } else if (!strcmp(element->name, "outlineLvl") && mn_element_attribute(element, "val", value)) {
        bool is_level = value[0] >= '0' && value[0] < '0' + MAX_OUTLINE_LEVEL && !value[1];
        d->level = is_level ? value[0] - '0' + 1 : 0;
    } else if (!strcmp(element->name, "numPr")) {
        d->in_item = true;
    }
}

static void put_note_mark(docx *d, const mn_element *element, const char *format) {
    char id[MN_MARKUP_MAX_VALUE_BYTES], mark[32];
    if (!mn_element_attribute(element, "id", id)) return;
    snprintf(mark, sizeof mark, format, atoi(id));
    mn_flow_text(&d->flow, mark, strlen(mark));
}

static void put_break(docx *d, const mn_element *element) {
    char type[MN_MARKUP_MAX_VALUE_BYTES];
    if (mn_element_attribute(element, "type", type) && strcmp(type, "textWrapping"))
        mn_flow_paragraph(&d->flow); /* of the page or column */
    else
        mn_flow_line(&d->flow);
}

static void begin_paragraph(docx *d) {
    if (!d->after_mark) mn_flow_line(&d->flow);
    d->after_mark = false;
    d->level = 0;
    d->in_item = false;
}

static void end_paragraph(docx *d) {
    if (d->flow.heading)
        mn_flow_heading_end(&d->flow);
    else if (d->in_item)
        mn_flow_line(&d->flow);
    else
        mn_flow_paragraph(&d->flow);
    d->flow.owed_item = false;
}

/* A footnote or endnote itself; lines that part notes from the text have a type. */
static bool begin_note(docx *d, const mn_element *element, const char *format) {
    char type[MN_MARKUP_MAX_VALUE_BYTES];
    if (mn_element_attribute(element, "type", type) && strcmp(type, "normal")) return false;
    mn_flow_paragraph(&d->flow);
    put_note_mark(d, element, format);
    mn_flow_text(&d->flow, " ", 1);
    d->after_mark = true;
    return true;
}

/* Removed and moved text, what older programs show instead, properties before a change, and how a word sounds. */
static bool is_left_out(docx *d, const char *name) {
    static const char *const names[] = {"del", "moveFrom", "Fallback", "pPrChange", "rPrChange", "tblPrChange", "rt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i])) continue;
        d->n_removed += i < 2;
        return true;
    }
    d->n_comments += !strcmp(name, "commentReference");
    return false;
}

typedef enum action {
    NOTHING,
    PARAGRAPH,
    TEXT,
    TAB,
    BREAK,
    HYPHEN,
    TABLE,
    ROW,
    CELL,
    PICTURE,
    FOOTNOTE_MARK,
    ENDNOTE_MARK,
    FOOTNOTE,
    ENDNOTE
} action;

static action action_of(const char *name) {
    static const struct {
        const char *name;
        action action;
    } actions[] = {
        {"p", PARAGRAPH},
        {"t", TEXT},
        {"tab", TAB},
        {"br", BREAK},
        {"cr", BREAK},
        {"noBreakHyphen", HYPHEN},
        {"tbl", TABLE},
        {"tr", ROW},
        {"tc", CELL},
        {"drawing", PICTURE},
        {"pict", PICTURE},
        {"footnoteReference", FOOTNOTE_MARK},
        {"endnoteReference", ENDNOTE_MARK},
        {"footnote", FOOTNOTE},
        {"endnote", ENDNOTE},
    };
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (!strcmp(name, actions[i].name)) return actions[i].action;
    return NOTHING;
}

static bool on_start(void *arg, const mn_element *element, int depth) {
    docx *d = arg;
    bool is_math = strstr(element->space, "officeDocument/2006/math") != NULL;
    if (is_left_out(d, element->name)) return false;
    if (is_math && !strcmp(element->name, "t")) d->text_depth = depth;
    if (!is_word(element)) return true;
    take_property(d, element);
    switch (action_of(element->name)) {
    case PARAGRAPH: begin_paragraph(d); break;
    case TEXT: d->text_depth = depth; break;
    case TAB: mn_flow_text(&d->flow, "\t", 1); break;
    case BREAK: put_break(d, element); break;
    case HYPHEN: mn_flow_text(&d->flow, "-", 1); break;
    case TABLE: mn_flow_table_begin(&d->flow); break;
    case ROW: mn_flow_row(&d->flow); break;
    case CELL: mn_flow_cell_begin(&d->flow); break;
    case PICTURE: d->flow.n_pictures++; break;
    case FOOTNOTE_MARK: put_note_mark(d, element, "[^%d]"); break;
    case ENDNOTE_MARK: put_note_mark(d, element, "[^e%d]"); break;
    case FOOTNOTE: return begin_note(d, element, "[^%d]");
    case ENDNOTE: return begin_note(d, element, "[^e%d]");
    case NOTHING: break;
    }
    return true;
}

static void on_end(void *arg, const mn_element *element, int depth) {
    docx *d = arg;
    if (depth == d->text_depth) d->text_depth = 0;
    if (!is_word(element)) return;
    if (!strcmp(element->name, "pPr")) {
        if (d->level)
            mn_flow_heading_begin(&d->flow, d->level);
        else if (d->in_item)
            mn_flow_item(&d->flow);
    }
    switch (action_of(element->name)) {
    case PARAGRAPH: end_paragraph(d); break;
    case TABLE: mn_flow_table_end(&d->flow); break;
    case CELL: mn_flow_cell_end(&d->flow); break;
    default: break;
    }
}

static void on_text(void *arg, const char *text, size_t bytes) {
    docx *d = arg;
    if (d->text_depth) mn_flow_text(&d->flow, text, bytes);
}

static bool is_done(void *arg) { return mn_reading_full(((docx *)arg)->flow.reading); }

static mn_status read_part(docx *d, const char *name, const mn_markup_handler *handler, mn_error *err) {
    const mn_package_member *part = mn_package_find(&d->package, name);
    return part ? mn_markup_xml(d->flow.reading, part->data, part->bytes, handler, err) : MN_OK;
}

static mn_status read_parts(docx *d, mn_error *err) {
    mn_reading *r = d->flow.reading;
    mn_markup_handler relations = {.arg = d, .start = on_relation};
    mn_markup_handler styles = {.arg = d, .start = on_style, .end = end_style};
    mn_markup_handler body = {d, on_start, on_end, on_text, is_done};
    MN_TRY(mn_package_open(r, wants, &d->package, err));
    MN_TRY(read_part(d, "_rels/.rels", &relations, err));
    MN_TRY(mn_dublin_core_title(r, mn_package_find(&d->package, "docProps/core.xml"), err));
    MN_TRY(read_part(d, "word/styles.xml", &styles, err));
    if (!mn_package_find(&d->package, d->main_part))
        return mn_fail(err, MN_ERR_FORMAT, "%s: is no Word document: %s is not in the archive.", r->name, d->main_part);
    MN_TRY(read_part(d, d->main_part, &body, err));
    MN_TRY(read_part(d, "word/footnotes.xml", &body, err));
    return read_part(d, "word/endnotes.xml", &body, err);
}

mn_status mn_document_docx(mn_reading *r, mn_error *err) {
    docx d = {.flow = {.reading = r}, .main_part = "word/document.xml"};
    mn_status status = read_parts(&d, err);
    if (d.n_removed) mn_reading_note(r, "text that tracked changes removed is left out");
    if (d.n_comments) mn_reading_note(r, "%zu comments are left out", d.n_comments);
    mn_flow_finish(&d.flow);
    mn_package_close(&d.package);
    free(d.styles);
    return status;
}
