/* OpenDocument text (ISO/IEC 26300): the headings, paragraphs, lists and tables of content.xml. */
#include "base/checked.h"
#include "document/dublin_core.h"
#include "document/flow.h"
#include "document/markup.h"
#include "document/package.h"

#include <stdlib.h>
#include <string.h>

typedef struct odt {
    mn_flow flow;
    int block_depth; /* of the outermost paragraph or heading that is open, 0 = none: only its text is text */
    size_t n_comments, n_removed;
} odt;

static bool wants(const char *name) {
    return !strcmp(name, "content.xml") || !strcmp(name, "meta.xml") || !strcmp(name, "META-INF/manifest.xml");
}

typedef enum action {
    NOTHING,
    PARAGRAPH,
    HEADING,
    BLANK,
    LINE,
    LIST,
    ITEM,
    TABLE,
    ROW,
    CELL,
    NOTE,
    CITATION,
    PICTURE,
    COMMENT,
    REMOVED
} action;

static action action_of(const char *name) {
    static const struct {
        const char *name;
        action action;
    } actions[] = {
        {"p", PARAGRAPH},
        {"h", HEADING},
        {"s", BLANK},
        {"tab", BLANK},
        {"line-break", LINE},
        {"list", LIST},
        {"list-item", ITEM},
        {"table", TABLE},
        {"table-row", ROW},
        {"table-cell", CELL},
        {"note", NOTE},
        {"note-citation", CITATION},
        {"image", PICTURE},
        {"annotation", COMMENT},
        {"tracked-changes", REMOVED},
        {"covered-table-cell", CELL},
    };
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (!strcmp(name, actions[i].name)) return actions[i].action;
    return NOTHING;
}

static int outline_level(const mn_element *element) {
    char value[MN_MARKUP_MAX_VALUE_BYTES];
    int level = mn_element_attribute(element, "outline-level", value) ? atoi(value) : 1;
    return MN_MIN(MN_MAX(level, 1), 10);
}

/* Opens a paragraph or heading; one within another (in a frame or a note) is part of it. */
static void begin_block(odt *o, int level, int depth) {
    if (level && !o->block_depth)
        mn_flow_heading_begin(&o->flow, level);
    else
        mn_flow_line(&o->flow);
    if (!o->block_depth) o->block_depth = depth;
}

static void end_block(odt *o, int depth) {
    if (depth == o->block_depth) {
        o->block_depth = 0;
        if (o->flow.heading) mn_flow_heading_end(&o->flow);
    }
    if (o->flow.n_lists)
        mn_flow_line(&o->flow);
    else
        mn_flow_paragraph(&o->flow);
}

static bool on_start(void *arg, const mn_element *element, int depth) {
    odt *o = arg;
    switch (action_of(element->name)) {
    case PARAGRAPH: begin_block(o, 0, depth); break;
    case HEADING: begin_block(o, outline_level(element), depth); break;
    case BLANK: mn_flow_text(&o->flow, " ", 1); break;
    case LINE: mn_flow_line(&o->flow); break;
    case LIST: mn_flow_list_begin(&o->flow, false); break;
    case ITEM: mn_flow_item(&o->flow); break;
    case TABLE: mn_flow_table_begin(&o->flow); break;
    case ROW: mn_flow_row(&o->flow); break;
    case CELL: mn_flow_cell_begin(&o->flow); break;
    case NOTE:
        o->flow.in_line++;
        mn_flow_text(&o->flow, " [note: ", 8);
        break;
    case PICTURE: o->flow.n_pictures++; break;
    case CITATION: return false;
    case COMMENT: o->n_comments++; return false;
    case REMOVED: o->n_removed++; return false;
    case NOTHING: break;
    }
    return true;
}

static void on_end(void *arg, const mn_element *element, int depth) {
    odt *o = arg;
    switch (action_of(element->name)) {
    case PARAGRAPH:
    case HEADING: end_block(o, depth); break;
    case LIST: mn_flow_list_end(&o->flow); break;
    case TABLE: mn_flow_table_end(&o->flow); break;
    case CELL: mn_flow_cell_end(&o->flow); break;
    case NOTE:
        o->flow.owed_blank = false;
        mn_flow_text(&o->flow, "]", 1);
        if (o->flow.in_line > 0) o->flow.in_line--;
        break;
    default: break;
    }
}

static void on_text(void *arg, const char *text, size_t bytes) {
    odt *o = arg;
    if (o->block_depth) mn_flow_text(&o->flow, text, bytes);
}

static bool is_done(void *arg) { return mn_reading_full(((odt *)arg)->flow.reading); }

static mn_status read_parts(odt *o, const mn_package *package, mn_error *err) {
    mn_reading *r = o->flow.reading;
    mn_markup_handler body = {o, on_start, on_end, on_text, is_done};
    const mn_package_member *content = mn_package_find(package, "content.xml"),
                            *manifest = mn_package_find(package, "META-INF/manifest.xml");
    if (manifest && memmem(manifest->data, manifest->bytes, "encryption-data", 15))
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: is encrypted; save it without a password first.", r->name);
    if (!content)
        return mn_fail(err, MN_ERR_FORMAT, "%s: is no OpenDocument text: content.xml is not in the archive.", r->name);
    MN_TRY(mn_dublin_core_title(r, mn_package_find(package, "meta.xml"), err));
    return mn_markup_xml(r, content->data, content->bytes, &body, err);
}

mn_status mn_document_odt(mn_reading *r, mn_error *err) {
    odt o = {.flow = {.reading = r}};
    mn_package package;
    mn_status status = mn_package_open(r, wants, &package, err);
    if (status == MN_OK) status = read_parts(&o, &package, err);
    if (o.n_removed) mn_reading_note(r, "text that tracked changes removed is left out");
    if (o.n_comments) mn_reading_note(r, "%zu comments are left out", o.n_comments);
    mn_flow_finish(&o.flow);
    mn_package_close(&package);
    return status;
}
