/* Fuzz target: any bytes as a document. What is read is UTF-8 without zeros, and its sections lie in it. PDFs are left
 * out: they are pdftotext's to read. */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "fuzz/fuzz.h"

#include <mnemo/document.h>

static void check_text(const mn_document *d) {
    const utf8proc_uint8_t *text = (const utf8proc_uint8_t *)d->text;
    if (!d->text || !d->kind || strlen(d->text) != d->bytes || strchr(d->text, '\r')) abort();
    for (size_t i = 0; i < d->bytes;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(text + i, (utf8proc_ssize_t)(d->bytes - i), &c);
        if (n <= 0) abort();
        i += (size_t)n;
    }
}

static void check_sections(const mn_document *d) {
    for (size_t i = 0; i < d->n_sections; i++) {
        const mn_document_section *s = d->sections + i;
        if (s->begin >= d->bytes || s->level < 1 || !s->title) abort();
        if (i > 0 && d->sections[i - 1].begin >= s->begin) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *const names[] = {"a.txt", "a.md", "a.html"};
    mn_document_options options = {.max_bytes = 1 << 20, .max_seconds = 10};
    mn_document document;
    mn_error err = {0};
    if (memmem(data, bytes < 1024 ? bytes : 1024, "%PDF-", 5)) return 0;
    if (mn_document_read_bytes(names[bytes % 3], data, bytes, &options, &document, &err) == MN_OK) {
        check_text(&document);
        check_sections(&document);
    } else if (!err.text[0] || document.text) {
        abort();
    }
    mn_document_release(&document);
    return 0;
}
