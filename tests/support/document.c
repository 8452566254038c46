#include "support/document.h"

#include <string.h>

mn_document read_document(const char *name, const void *data, size_t bytes) {
    mn_document document;
    mn_error err;
    assert_ok(mn_document_read_bytes(name, data, bytes, NULL, &document, &err), err);
    assert_int_equal(strlen(document.text), document.bytes);
    for (size_t i = 0; i < document.n_sections; i++) {
        assert_true(document.sections[i].begin < document.bytes);
        assert_true(i == 0 || document.sections[i - 1].begin < document.sections[i].begin);
    }
    return document;
}

void assert_document(const char *name, const void *data, size_t bytes, const char *text) {
    mn_document document = read_document(name, data, bytes);
    assert_string_equal(document.text, text);
    mn_document_release(&document);
}

void assert_refused(const char *name, const void *data, size_t bytes, mn_status status, const char *part) {
    mn_document document;
    mn_error err = {0};
    assert_int_equal(mn_document_read_bytes(name, data, bytes, NULL, &document, &err), status);
    if (!strstr(err.text, part)) fail_msg("\"%s\" lacks \"%s\"", err.text, part);
    if (strncmp(err.text, name, strlen(name))) fail_msg("\"%s\" does not begin with %s", err.text, name);
    assert_null(document.text);
}

void assert_note(const mn_document *document, const char *part) {
    for (size_t i = 0; i < document->n_notes; i++) {
        if (!part) fail_msg("there is a note: %s", document->notes[i]);
        if (strstr(document->notes[i], part)) return;
    }
    if (part) fail_msg("none of %zu notes holds \"%s\"", document->n_notes, part);
}
