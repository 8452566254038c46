/* PDF: its text by pdftotext (poppler), a page after the other. */
#include "base/checked.h"
#include "document/child.h"
#include "document/encoding.h"

#include <stdio.h>
#include <string.h>

static bool is_blank(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (!strchr(" \t\r\n", text[i])) return false;
    return true;
}

static mn_status check(const mn_reading *r, const mn_child_result *result, mn_error *err) {
    if (result->is_missing)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: a PDF is read by the program pdftotext, which is not installed: apt-get install "
                       "poppler-utils.",
                       r->name);
    if (result->is_late)
        return mn_fail(err, MN_ERR_LIMIT, "%s: pdftotext took more than %d seconds and was stopped; split the PDF.",
                       r->name, r->options.max_seconds);
    if (result->is_too_long) return MN_OK; /* the caller tells of full texts */
    if (strstr(result->message, "password"))
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: is encrypted; take the password off first: qpdf --decrypt --password=PASSWORD IN OUT.",
                       r->name);
    if (result->exit_code > 0)
        return mn_fail(err, MN_ERR_FORMAT, "%s: pdftotext cannot read it: %s (exit code %d).", r->name,
                       result->message[0] ? result->message : "it does not say why", result->exit_code);
    return MN_OK;
}

/* Pages end with a form feed; each begins a section, and a paragraph. */
static void put_pages(mn_reading *r, const char *text, size_t bytes) {
    size_t n_pages = 0, n_blank = 0;
    for (size_t i = 0, n; i < bytes; i += n + 1) {
        const char *page = text + i, *end = memchr(page, '\f', bytes - i);
        char title[32];
        n = end ? (size_t)(end - page) : bytes - i;
        n_pages++;
        snprintf(title, sizeof title, "page %zu", n_pages);
        while (n > 0 && page[n - 1] == '\n') n--;
        if (is_blank(page, n)) {
            n_blank++;
        } else {
            if (r->text.bytes) mn_strbuf_puts(&r->text, "\n\n");
            mn_reading_section(r, 1, r->text.bytes, title, strlen(title));
            mn_strbuf_put(&r->text, page, n);
        }
        if (!end) break;
        n = (size_t)(end - page);
    }
    if (n_blank) mn_reading_note(r, "%zu of %zu pages hold no text (pictures of text need OCR)", n_blank, n_pages);
}

mn_status mn_document_pdf(mn_reading *r, mn_error *err) {
    char *argv[] = {"pdftotext", "-enc", "UTF-8", "-eol", "unix", "-", "-", NULL};
    mn_strbuf raw = MN_STRBUF_INIT, text = MN_STRBUF_INIT;
    mn_child_result result;
    raw.max_bytes = r->options.max_bytes;
    mn_status status = mn_child_run(argv, r->data, r->bytes, r->options.max_seconds, &raw, &result, err);
    if (status == MN_OK) status = check(r, &result, err);
    if (status == MN_OK && raw.failed)
        r->text.failed = true;
    else if (status == MN_OK)
        status = mn_document_decode(r, raw.data, raw.bytes, NULL, &text, err);
    if (status == MN_ERR_UNSUPPORTED && text.bytes == 0 && raw.bytes > 0)
        status = mn_fail(err, status,
                         "%s: the fonts of the PDF do not tell which letters they draw; put a layer of text in first: "
                         "ocrmypdf --force-ocr IN OUT.",
                         r->name);
    if (status == MN_OK) put_pages(r, text.data, text.bytes);
    if (status == MN_OK && !r->text.failed && r->text.bytes == 0)
        status = mn_fail(
            err, MN_ERR_FORMAT,
            "%s: the PDF holds no text, only pictures of it; put a layer of text in first: ocrmypdf IN OUT.", r->name);
    mn_strbuf_release(&raw);
    mn_strbuf_release(&text);
    return status;
}
