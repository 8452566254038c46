#include "document/markup.h"

#include "base/checked.h"
#include "base/clock.h"

#include <pthread.h>
#include <string.h>

#include <libxml/HTMLparser.h>
#include <libxml/parser.h>

typedef struct stream {
    const mn_reading *reading;
    const mn_markup_handler *handler;
    xmlParserCtxtPtr context;
    const char *data; /* what libxml2 has not taken yet */
    size_t bytes;
    int depth, skipped_at; /* 0 = nothing is left out */
    bool too_slow, done;
} stream;

/* ---- events ---- */

static void stop(stream *s) {
    s->done = true;
    xmlStopParser(s->context);
}

static void start_element(stream *s, const mn_element *element) {
    if (s->done) return;
    s->depth++;
    if (!s->skipped_at && !s->handler->start(s->handler->arg, element, s->depth)) s->skipped_at = s->depth;
}

static void end_element(stream *s, const mn_element *element) {
    if (s->done || s->depth == 0) return;
    if (!s->skipped_at && s->handler->end) s->handler->end(s->handler->arg, element, s->depth);
    if (s->skipped_at == s->depth) s->skipped_at = 0;
    s->depth--;
}

static void on_text(void *arg, const xmlChar *text, int bytes) {
    stream *s = arg;
    if (s->done || s->skipped_at || bytes <= 0) return;
    if (s->handler->text) s->handler->text(s->handler->arg, (const char *)text, (size_t)bytes);
    if (s->handler->is_done && s->handler->is_done(s->handler->arg)) stop(s);
}

static void on_xml_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *space, int n_spaces,
                         const xmlChar **spaces, int n_attributes, int n_defaulted, const xmlChar **attributes) {
    (void)prefix, (void)n_spaces, (void)spaces, (void)n_defaulted;
    start_element(arg, &(mn_element){(const char *)name, space ? (const char *)space : "", attributes, n_attributes});
}

static void on_xml_end(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *space) {
    (void)prefix;
    end_element(arg, &(mn_element){.name = (const char *)name, .space = space ? (const char *)space : ""});
}

static void on_html_start(void *arg, const xmlChar *name, const xmlChar **attributes) {
    start_element(arg, &(mn_element){(const char *)name, "", attributes, -1});
}

static void on_html_end(void *arg, const xmlChar *name) {
    end_element(arg, &(mn_element){.name = (const char *)name, .space = ""});
}

static void on_message(void *arg, const char *format, ...) { (void)arg, (void)format; }

/* ---- attributes ---- */

static bool copy_value(const char *begin, size_t bytes, char value[MN_MARKUP_MAX_VALUE_BYTES]) {
    size_t n = MN_MIN(bytes, (size_t)MN_MARKUP_MAX_VALUE_BYTES - 1);
    while (n < bytes && n > 0 && ((unsigned char)begin[n] & 0xc0) == 0x80) n--;
    memcpy(value, begin, n);
    value[n] = 0;
    return true;
}

bool mn_element_attribute(const mn_element *element, const char *name, char value[MN_MARKUP_MAX_VALUE_BYTES]) {
    const char *const *attributes = element->attributes;
    value[0] = 0;
    if (!attributes) return false;
    for (int i = 0; i < element->n_attributes; i++) /* name, prefix, namespace, begin, end */
        if (!strcmp(attributes[5 * i], name))
            return copy_value(attributes[5 * i + 3], (size_t)(attributes[5 * i + 4] - attributes[5 * i + 3]), value);
    for (int i = 0; element->n_attributes < 0 && attributes[i]; i += 2) /* name, value */
        if (!strcmp(attributes[i], name))
            return copy_value(attributes[i + 1] ? attributes[i + 1] : "",
                              attributes[i + 1] ? strlen(attributes[i + 1]) : 0, value);
    return false;
}

/* ---- parsing ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* libxml2's own set-up must not run in two threads at a time. */
static void set_up(void) { xmlInitParser(); }

/* libxml2 asks for some kilobytes at a time, within long tags too. */
static int give(void *arg, char *out, int room) {
    stream *s = arg;
    size_t n = MN_MIN(s->bytes, (size_t)MN_MAX(room, 0));
    s->too_slow = mn_clock_seconds() > s->reading->deadline;
    if (s->too_slow) return -1;
    memcpy(out, s->data, n);
    s->data += n;
    s->bytes -= n;
    return (int)n;
}

/* What went wrong; libxml2 tells of mistakes in XML by wellFormed, of giving up by disableSAX. */
static mn_status outcome(const stream *s, bool failed, mn_error *err) {
    const char *name = s->reading->name;
    int line = s->context->lastError.line;
    if (s->too_slow)
        return mn_fail(err, MN_ERR_LIMIT, "%s: took more than %d seconds to parse; no document of its size needs that.",
                       name, s->reading->options.max_seconds);
    if (s->done || !failed) return MN_OK;
    return mn_fail(err, MN_ERR_FORMAT, "%s: its markup is damaged at line %d; get the file again.", name, line);
}

static mn_status no_memory(const mn_reading *r, mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "%s: no memory to parse it.", r->name);
}

mn_status mn_markup_xml(const mn_reading *r, const char *data, size_t bytes, const mn_markup_handler *handler,
                        mn_error *err) {
    enum { OPTIONS = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING };
    pthread_once(&once, set_up);
    stream s = {.reading = r, .handler = handler, .context = xmlNewParserCtxt(), .data = data, .bytes = bytes};
    if (!s.context) return no_memory(r, err);
    /* No handler declares or looks up entities, so that none is ever expanded but the five of XML. */
    *s.context->sax = (xmlSAXHandler){.initialized = XML_SAX2_MAGIC,
                                      .startElementNs = on_xml_start,
                                      .endElementNs = on_xml_end,
                                      .characters = on_text,
                                      .ignorableWhitespace = on_text,
                                      .cdataBlock = on_text,
                                      .warning = on_message,
                                      .error = on_message};
    s.context->userData = &s;
    xmlCtxtReadIO(s.context, give, NULL, &s, NULL, NULL, OPTIONS);
    mn_status status = outcome(&s, !s.context->wellFormed, err);
    xmlFreeParserCtxt(s.context);
    return status;
}

mn_status mn_markup_html(const mn_reading *r, const char *data, size_t bytes, const mn_markup_handler *handler,
                         mn_error *err) {
    enum { OPTIONS = HTML_PARSE_NONET | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_IGNORE_ENC };
    pthread_once(&once, set_up);
    stream s = {.reading = r, .handler = handler, .context = htmlNewParserCtxt(), .data = data, .bytes = bytes};
    if (!s.context) return no_memory(r, err);
    *s.context->sax = (xmlSAXHandler){.startElement = on_html_start,
                                      .endElement = on_html_end,
                                      .characters = on_text,
                                      .ignorableWhitespace = on_text,
                                      .cdataBlock = on_text,
                                      .warning = on_message,
                                      .error = on_message};
    s.context->userData = &s;
    htmlCtxtReadIO(s.context, give, NULL, &s, NULL, "UTF-8", OPTIONS);
    mn_status status = outcome(&s, s.context->disableSAX != 0, err);
    htmlFreeParserCtxt(s.context);
    return status;
}
