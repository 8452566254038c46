/* Web pages (HTML Living Standard; read by libxml2, which takes XHTML as well). */
#include "document/html.h"

#include "document/encoding.h"
#include "document/markup.h"

#include <string.h>

/* ---- its elements ---- */

/* What an element does to the text around it. PLAIN: nothing. */
typedef enum effect {
    PLAIN,
    LINE,
    PARAGRAPH,
    OMITTED,
    HEADING,
    ULIST,
    OLIST,
    ITEM,
    TABLE,
    ROW,
    CELL,
    CAPTION,
    PRE,
    BREAK,
    PICTURE,
    TITLE
} effect;

static const struct {
    const char *name;
    effect effect;
} elements[] = {
    {"address", LINE},
    {"article", PARAGRAPH},
    {"aside", PARAGRAPH},
    {"audio", OMITTED},
    {"blockquote", PARAGRAPH},
    {"br", BREAK},
    {"canvas", OMITTED},
    {"caption", CAPTION},
    {"center", LINE},
    {"dd", LINE},
    {"details", LINE},
    {"div", LINE},
    {"dl", PARAGRAPH},
    {"dt", LINE},
    {"embed", OMITTED},
    {"fieldset", LINE},
    {"figcaption", LINE},
    {"figure", PARAGRAPH},
    {"footer", PARAGRAPH},
    {"form", LINE},
    {"h1", HEADING},
    {"h2", HEADING},
    {"h3", HEADING},
    {"h4", HEADING},
    {"h5", HEADING},
    {"h6", HEADING},
    {"header", PARAGRAPH},
    {"hr", PARAGRAPH},
    {"iframe", OMITTED},
    {"img", PICTURE},
    {"legend", LINE},
    {"li", ITEM},
    {"listing", PRE},
    {"main", PARAGRAPH},
    {"nav", PARAGRAPH},
    {"noscript", OMITTED},
    {"object", OMITTED},
    {"ol", OLIST},
    {"optgroup", LINE},
    {"option", LINE},
    {"p", PARAGRAPH},
    {"plaintext", PRE},
    {"pre", PRE},
    {"script", OMITTED},
    {"section", PARAGRAPH},
    {"select", LINE},
    {"style", OMITTED},
    {"summary", LINE},
    {"svg", OMITTED},
    {"table", TABLE},
    {"td", CELL},
    {"template", OMITTED},
    {"textarea", PRE},
    {"th", CELL},
    {"title", TITLE},
    {"tr", ROW},
    {"ul", ULIST},
    {"video", OMITTED},
    {"xmp", PRE},
};

static effect effect_of(const char *name) {
    size_t low = 0, high = sizeof elements / sizeof *elements;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, elements[middle].name);
        if (order == 0) return elements[middle].effect;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return PLAIN;
}

typedef struct page {
    mn_flow *flow;
    mn_strbuf title;
    bool in_title, begins_pre;
} page;

static void put_picture(page *p, const mn_element *element) {
    char alt[MN_MARKUP_MAX_VALUE_BYTES];
    p->flow->n_pictures++;
    if (!mn_element_attribute(element, "alt", alt) || !alt[strspn(alt, " \t\r\n")]) return;
    mn_flow_text(p->flow, " [", 2);
    mn_flow_text(p->flow, alt, strlen(alt));
    mn_flow_text(p->flow, "] ", 2);
}

static bool on_start(void *arg, const mn_element *element, int depth) {
    page *p = arg;
    mn_flow *f = p->flow;
    (void)depth;
    switch (effect_of(element->name)) {
    case OMITTED: return false;
    case TITLE: p->in_title = true; break;
    case LINE:
    case BREAK: mn_flow_line(f); break;
    case PARAGRAPH: mn_flow_paragraph(f); break;
    case HEADING: mn_flow_heading_begin(f, element->name[1] - '0'); break;
    case ULIST: mn_flow_list_begin(f, false); break;
    case OLIST: mn_flow_list_begin(f, true); break;
    case ITEM: mn_flow_item(f); break;
    case TABLE: mn_flow_table_begin(f); break;
    case ROW: mn_flow_row(f); break;
    case CAPTION:
        mn_flow_row(f);
        mn_flow_cell_begin(f);
        break;
    case CELL: mn_flow_cell_begin(f); break;
    case PICTURE: put_picture(p, element); break;
    case PRE:
        mn_flow_paragraph(f);
        f->preformatted++;
        p->begins_pre = true;
        break;
    case PLAIN: break;
    }
    return true;
}

static void on_end(void *arg, const mn_element *element, int depth) {
    page *p = arg;
    mn_flow *f = p->flow;
    (void)depth;
    switch (effect_of(element->name)) {
    case TITLE: p->in_title = false; break;
    case ITEM:
    case LINE: mn_flow_line(f); break;
    case PARAGRAPH: mn_flow_paragraph(f); break;
    case HEADING: mn_flow_heading_end(f); break;
    case ULIST:
    case OLIST: mn_flow_list_end(f); break;
    case TABLE: mn_flow_table_end(f); break;
    case CAPTION:
    case CELL: mn_flow_cell_end(f); break;
    case PRE:
        if (f->preformatted > 0) f->preformatted--;
        mn_flow_paragraph(f);
        break;
    default: break;
    }
}

static void on_text(void *arg, const char *text, size_t bytes) {
    page *p = arg;
    if (p->in_title) {
        if (p->title.bytes < MN_MARKUP_MAX_VALUE_BYTES) mn_strbuf_put(&p->title, text, bytes);
        return;
    }
    if (p->begins_pre && bytes && *text == '\n') text++, bytes--;
    p->begins_pre = false;
    mn_flow_text(p->flow, text, bytes);
}

static bool is_done(void *arg) { return mn_reading_full(((page *)arg)->flow->reading); }

mn_status mn_document_html_into(mn_flow *flow, const char *data, size_t bytes, mn_error *err) {
    page p = {.flow = flow, .title = MN_STRBUF_INIT};
    mn_markup_handler handler = {&p, on_start, on_end, on_text, is_done};
    mn_strbuf text = MN_STRBUF_INIT;
    char charset[64];
    bool declared = mn_document_html_charset(data, bytes, charset);
    mn_status status = mn_document_decode(flow->reading, data, bytes, declared ? charset : NULL, &text, err);
    if (status == MN_OK && text.failed)
        status = mn_fail(err, MN_ERR_MEMORY, "%s: no memory for its text.", flow->reading->name);
    if (status == MN_OK) status = mn_markup_html(flow->reading, text.data, text.bytes, &handler, err);
    mn_reading_title(flow->reading, p.title.data, p.title.bytes);
    flow->preformatted = 0;
    mn_strbuf_release(&p.title);
    mn_strbuf_release(&text);
    return status;
}

mn_status mn_document_html(mn_reading *r, mn_error *err) {
    mn_flow flow = {.reading = r};
    mn_status status = mn_document_html_into(&flow, r->data, r->bytes, err);
    mn_flow_finish(&flow);
    return status;
}
