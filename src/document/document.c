#include "document/kind.h"

#include "base/clock.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MAX_BYTES = 1 << 30, DEFAULT_MAX_SECONDS = 300 };

static mn_document_options with_defaults(const mn_document_options *options) {
    mn_document_options o = options ? *options : (mn_document_options){0};
    if (o.max_bytes == 0) o.max_bytes = DEFAULT_MAX_BYTES;
    if (o.max_seconds <= 0) o.max_seconds = DEFAULT_MAX_SECONDS;
    return o;
}

static bool is_blank(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (!strchr(" \t\n\r\f\v", text[i]) || !text[i]) return false;
    return true;
}

static mn_status check_input(const mn_reading *r, mn_error *err) {
    if (r->bytes == 0) return mn_fail(err, MN_ERR_FORMAT, "%s: is empty, so that there is no text to read.", r->name);
    if (!r->options.verbatim && is_blank(r->data, r->bytes))
        return mn_fail(err, MN_ERR_FORMAT, "%s: holds nothing but white space, so that there is no text to read.",
                       r->name);
    return MN_OK;
}

static mn_status check_output(const mn_reading *r, mn_error *err) {
    if (r->no_memory) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for its text.", r->name);
    if (r->text.failed)
        return mn_fail(err, MN_ERR_LIMIT,
                       "%s: holds more text than the %zu bytes that are read at most (or than memory has room for); "
                       "split it.",
                       r->name, r->options.max_bytes);
    if (r->text.bytes == 0 || (!r->options.verbatim && is_blank(r->text.data, r->text.bytes)))
        return mn_fail(err, MN_ERR_FORMAT, "%s: holds no text, so that there is nothing to read.", r->name);
    return MN_OK;
}

static mn_status read_kind(mn_reading *r, mn_error *err) {
    const mn_document_kind *kind;
    MN_TRY(check_input(r, err));
    MN_TRY(mn_document_find_kind(r, &kind, err));
    if (!kind->read)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: is %s, which this build does not read; install %s and build mnemo again.", r->name,
                       kind->name, kind->needs);
    r->document->kind = kind->name;
    if (!kind->is_plain) mn_reading_note(r, "read as %s", kind->name);
    MN_TRY(kind->read(r, err));
    return check_output(r, err);
}

mn_status mn_document_read_bytes(const char *name, const void *data, size_t bytes, const mn_document_options *options,
                                 mn_document *out, mn_error *err) {
    *out = (mn_document){0};
    mn_reading r = {.name = name,
                    .options = with_defaults(options),
                    .data = bytes ? data : "",
                    .bytes = bytes,
                    .text = MN_STRBUF_INIT,
                    .document = out};
    r.text.max_bytes = r.options.max_bytes;
    r.deadline = mn_clock_seconds() + r.options.max_seconds;
    mn_status status = bytes <= r.options.max_bytes
                           ? read_kind(&r, err)
                           : mn_fail(err, MN_ERR_LIMIT, "%s: has %zu bytes; at most %zu are read; split it.", name,
                                     bytes, r.options.max_bytes);
    if (status == MN_OK) out->text = mn_strbuf_detach(&r.text, &out->bytes);
    mn_strbuf_release(&r.text);
    if (status != MN_OK) mn_document_release(out);
    return status;
}

mn_status mn_document_read(const char *path, const mn_document_options *options, mn_document *out, mn_error *err) {
    char *data;
    size_t bytes;
    *out = (mn_document){0};
    MN_TRY(mn_file_read(path, with_defaults(options).max_bytes, &data, &bytes, err));
    const char *name = strcmp(path, "-") ? path : "standard input";
    mn_status status = mn_document_read_bytes(name, data, bytes, options, out, err);
    free(data);
    return status;
}

void mn_document_release(mn_document *document) {
    for (size_t i = 0; i < document->n_notes; i++) free(document->notes[i]);
    for (size_t i = 0; i < document->n_sections; i++) free(document->sections[i].title);
    free(document->notes);
    free(document->sections);
    free(document->title);
    free(document->text);
    *document = (mn_document){0};
}
