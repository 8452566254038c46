#include "document/dublin_core.h"

#include "document/markup.h"

#include <string.h>

typedef struct title {
    mn_reading *reading;
    mn_strbuf text;
    bool open;
} title;

static bool on_start(void *arg, const mn_element *element, int depth) {
    title *t = arg;
    (void)depth;
    t->open = !strcmp(element->name, "title") && strstr(element->space, "purl.org/dc/");
    if (t->open) mn_strbuf_reset(&t->text);
    return true;
}

static void on_end(void *arg, const mn_element *element, int depth) {
    title *t = arg;
    (void)element, (void)depth;
    if (t->open) mn_reading_title(t->reading, t->text.data, t->text.bytes);
    t->open = false;
}

static void on_text(void *arg, const char *text, size_t bytes) {
    title *t = arg;
    if (t->open && t->text.bytes < MN_MARKUP_MAX_VALUE_BYTES) mn_strbuf_put(&t->text, text, bytes);
}

mn_status mn_dublin_core_title(mn_reading *r, const mn_package_member *part, mn_error *err) {
    title t = {.reading = r, .text = MN_STRBUF_INIT};
    mn_markup_handler handler = {&t, on_start, on_end, on_text, NULL};
    if (!part) return MN_OK;
    mn_status status = mn_markup_xml(r, part->data, part->bytes, &handler, err);
    mn_strbuf_release(&t.text);
    return status;
}
