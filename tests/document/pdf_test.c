/* PDFs, made here, are read by pdftotext; without it, and for every kind of trouble, the sentence says what to do. */
#include "support/document.h"

#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A PDF with a page for each text, "" = a page with nothing on it. NULL ends the list. */
static mn_strbuf make_pdf(const char *const *texts) {
    mn_strbuf pdf = MN_STRBUF_INIT;
    size_t offsets[32], n = 3;
    mn_strbuf_puts(&pdf, "%PDF-1.4\n");
    offsets[1] = pdf.bytes;
    mn_strbuf_puts(&pdf, "1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj\n");
    offsets[2] = pdf.bytes;
    mn_strbuf_puts(&pdf, "2 0 obj <</Type/Pages/MediaBox[0 0 300 300]/Kids[");
    for (size_t i = 0; texts[i]; i++) mn_strbuf_printf(&pdf, "%zu 0 R ", 4 + 2 * i);
    for (n = 0; texts[n];) n++;
    mn_strbuf_printf(&pdf, "]/Count %zu>> endobj\n", n);
    offsets[3] = pdf.bytes;
    mn_strbuf_puts(&pdf, "3 0 obj <</Type/Font/Subtype/Type1/BaseFont/Helvetica>> endobj\n");
    for (size_t i = 0; i < n; i++) {
        char content[256];
        int bytes = *texts[i] ? snprintf(content, sizeof content, "BT /F 12 Tf 20 200 Td (%s) Tj ET", texts[i]) : 0;
        offsets[4 + 2 * i] = pdf.bytes;
        mn_strbuf_printf(
            &pdf, "%zu 0 obj <</Type/Page/Parent 2 0 R/Resources<</Font<</F 3 0 R>>>>/Contents %zu 0 R>> endobj\n",
            4 + 2 * i, 5 + 2 * i);
        offsets[5 + 2 * i] = pdf.bytes;
        mn_strbuf_printf(&pdf, "%zu 0 obj <</Length %d>> stream\n%.*s\nendstream endobj\n", 5 + 2 * i, bytes, bytes,
                         content);
    }
    size_t n_objects = 4 + 2 * n, table = pdf.bytes;
    mn_strbuf_printf(&pdf, "xref\n0 %zu\n0000000000 65535 f \n", n_objects);
    for (size_t i = 1; i < n_objects; i++) mn_strbuf_printf(&pdf, "%010zu 00000 n \n", offsets[i]);
    mn_strbuf_printf(&pdf, "trailer <</Size %zu/Root 1 0 R>>\nstartxref\n%zu\n%%%%EOF\n", n_objects, table);
    return pdf;
}

static bool has_pdftotext(void) { return system("pdftotext -v >/dev/null 2>&1") == 0; }

static void pages_are_read_in_order(void **state) {
    (void)state;
    const char *const texts[] = {"The first page.", "", "The third page.", NULL};
    mn_strbuf pdf = make_pdf(texts);
    mn_document document = read_document("a", pdf.data, pdf.bytes);
    assert_string_equal(document.text, "The first page.\n\nThe third page.");
    assert_string_equal(document.kind, "PDF");
    assert_int_equal(document.n_sections, 2);
    assert_string_equal(document.sections[1].title, "page 3");
    assert_note(&document, "1 of 3 pages");
    mn_document_release(&document);
    mn_strbuf_release(&pdf);
}

static void pictures_alone_are_refused(void **state) {
    (void)state;
    const char *const texts[] = {"", "", NULL};
    mn_strbuf pdf = make_pdf(texts);
    assert_refused("scan.pdf", pdf.data, pdf.bytes, MN_ERR_FORMAT, "ocrmypdf");
    mn_strbuf_release(&pdf);
}

static void damaged_ones_are_refused(void **state) {
    (void)state;
    assert_refused("a.pdf", "%PDF-1.4\nrubbish\n", 17, MN_ERR_FORMAT, "pdftotext cannot read it");
}

/* A folder whose pdftotext is this script; the only one in PATH. */
static void use_script(const char *script) {
    char path[4200], folder[4096];
    snprintf(folder, sizeof folder, "%s", temp_path("programs"));
    mkdir(folder, 0755);
    snprintf(path, sizeof path, "%s/pdftotext", folder);
    FILE *out = script ? fopen(path, "w") : NULL;
    if (out) {
        fprintf(out, "#!/bin/sh\n%s\n", script);
        fclose(out);
        chmod(path, 0755);
    } else {
        unlink(path);
    }
    setenv("PATH", folder, 1);
}

static void trouble_is_told(void **state) {
    (void)state;
    static const struct {
        const char *script;
        mn_status status;
        const char *part;
    } cases[] = {
        {NULL, MN_ERR_UNSUPPORTED, "poppler-utils"},
        {"echo 'Command Line Error: Incorrect password' >&2; exit 1", MN_ERR_UNSUPPORTED, "qpdf"},
        {"echo 'No trailer' >&2; exit 1", MN_ERR_FORMAT, "No trailer"},
        {"kill -SEGV $$", MN_ERR_FORMAT, "139"},
        {"printf '\\001\\002\\003\\001\\002\\003'", MN_ERR_UNSUPPORTED, "force-ocr"},
        {"exec /bin/sleep 30", MN_ERR_LIMIT, "1 seconds"},
        {"while :; do echo many words again and again; done", MN_ERR_LIMIT, "100000 bytes"},
    };
    char *path = strdup(getenv("PATH"));
    mn_document_options options = {.max_bytes = 100000, .max_seconds = 1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_document document;
        mn_error err;
        use_script(cases[i].script);
        assert_int_equal(mn_document_read_bytes("a.pdf", "%PDF-1.4\n", 9, &options, &document, &err), cases[i].status);
        if (!strstr(err.text, cases[i].part)) fail_msg("\"%s\" lacks \"%s\"", err.text, cases[i].part);
    }
    use_script("/bin/cat; printf '\\f second page\\f'");
    assert_document("a.pdf", "%PDF-1.4\n", 9, "%PDF-1.4\n\n second page");
    use_script(NULL);
    setenv("PATH", path, 1);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trouble_is_told),
        cmocka_unit_test(pages_are_read_in_order),
        cmocka_unit_test(pictures_alone_are_refused),
        cmocka_unit_test(damaged_ones_are_refused),
    };
    if (has_pdftotext()) return cmocka_run_group_tests(tests, NULL, NULL);
    fprintf(stderr, "skipped: real PDFs, as pdftotext is not installed\n");
    const struct CMUnitTest without[] = {cmocka_unit_test(trouble_is_told)};
    return cmocka_run_group_tests(without, NULL, NULL) ? 1 : 77;
}
