/* Content decides what a document is, not its name; what cannot be read is named with what would help. */
#include "support/document.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void others_are_named_with_a_remedy(void **state) {
    (void)state;
    static const struct {
        const char *data;
        size_t bytes;
        const char *what, *remedy;
    } cases[] = {
#define CASE(data, what, remedy) {data, sizeof data - 1, what, remedy}
        CASE("{\\rtf1\\ansi hello}", "RTF", "soffice"),
        CASE("\x89PNG\r\n\x1a\n....", "PNG", "tesseract"),
        CASE("\xff\xd8\xff\xe0....", "JPEG", "tesseract"),
        CASE("\0\0\0\x18"
             "ftypheic",
             "HEIC", "heif-convert"),
        CASE("\x1f\x8b\x08\0....", "gzip", "gunzip"),
        CASE("Rar!\x1a\x07\x01\0", "RAR", "unar"),
        CASE("%!PS-Adobe-3.0\n", "PostScript", "ps2ascii"),
        CASE("GGUF\3\0\0\0....", "GGUF", "the model"),
        CASE("SQLite format 3\0", "SQLite", "sqlite3"),
        CASE("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....W\0o\0r\0d\0D\0o\0c\0u\0m\0e\0n\0t\0", "doc", "antiword"),
        CASE("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0", "encrypted",
             "password"),
        CASE("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....W\0o\0r\0k\0b\0o\0o\0k\0", "xls", "csv"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_refused("a.txt", cases[i].data, cases[i].bytes, MN_ERR_UNSUPPORTED, cases[i].what);
        assert_refused("a.txt", cases[i].data, cases[i].bytes, MN_ERR_UNSUPPORTED, cases[i].remedy);
    }
}

static const char *kind_of(const char *name, const char *text) {
    mn_document document = read_document(name, text, strlen(text));
    const char *kind = document.kind;
    mn_document_release(&document);
    return kind;
}

static void text_stays_text_whatever_its_name(void **state) {
    (void)state;
    assert_string_equal(kind_of("a.txt", "Hello."), "text");
    assert_string_equal(kind_of("a.pdf", "Hello."), "text");
    assert_string_equal(kind_of("a.txt", "A PDF begins with %PDF-1.7 and ends with %%EOF."), "text");
    assert_string_equal(kind_of("a.docx", "GGUF is a file format, ID3 another."), "text");
    assert_string_equal(kind_of("a.html", "No tags here."), "text");
    assert_string_equal(kind_of("a.xml", "<?xml version='1.0'?><feed>x</feed>"), "text");
    assert_string_equal(kind_of("a.c", "x = a <html> b;"), "text");
    assert_string_equal(kind_of("README.md", "# Hello"), "Markdown");
    assert_string_equal(kind_of(".md", "# Hello"), "text");
}

/* A build that cannot read pages knows them too, and does not take them for text. */
static void pages_are_known_by_their_beginning(void **state) {
    (void)state;
    static const char *const pages[][2] = {{"a.txt", "\xef\xbb\xbf  <!-- a --> <!DOCTYPE HTML>\n<p>x"},
                                           {"a", "<?xml version='1.0'?>\n<html xmlns='x'><p>x</p></html>"},
                                           {"a.HTM", "<p>x"}};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
#ifdef MNEMO_HAVE_LIBXML2
        assert_string_equal(kind_of(pages[i][0], pages[i][1]), "HTML");
#else
        assert_refused(pages[i][0], pages[i][1], strlen(pages[i][1]), MN_ERR_UNSUPPORTED, "libxml2-dev");
#endif
    }
    assert_string_equal(kind_of("a.txt", "<htmlish> <p>x"), "text");
}

static void verbatim_text_stays(void **state) {
    (void)state;
    static const char *const texts[] = {"<html><p>a\r\nb</html>\r\n", "  \n", "a\rb"};
    mn_document document;
    mn_document_options options = {.verbatim = true};
    mn_error err;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t bytes = strlen(texts[i]);
        assert_ok(mn_document_read_bytes("a.html", texts[i], bytes, &options, &document, &err), err);
        assert_string_equal(document.text, texts[i]);
        mn_document_release(&document);
    }
    assert_int_equal(mn_document_read_bytes("a", "", 0, &options, &document, &err), MN_ERR_FORMAT);
}

static void nothing_is_refused(void **state) {
    (void)state;
    assert_refused("a.txt", "", 0, MN_ERR_FORMAT, "empty");
    assert_refused("a.txt", NULL, 0, MN_ERR_FORMAT, "empty");
    assert_refused("a.txt", " \n\t\r\n", 5, MN_ERR_FORMAT, "white space");
    assert_refused("a.txt", "\xff\xfe \0\n\0", 6, MN_ERR_FORMAT, "no text");
    assert_refused("a.txt", "\xef\xbb\xbf", 3, MN_ERR_FORMAT, "no text");
}

static void files_are_read_by_path(void **state) {
    (void)state;
    mn_document document;
    mn_error err;
    const char *path = temp_path("-e.txt");
    FILE *out = fopen(path, "w");
    fputs("Hello\r\n", out);
    fclose(out);
    assert_ok(mn_document_read(path, NULL, &document, &err), err);
    assert_string_equal(document.text, "Hello\n");
    mn_document_release(&document);
    assert_int_equal(mn_document_read(path, &(mn_document_options){.max_bytes = 6}, &document, &err), MN_ERR_LIMIT);
    unlink(path);
    assert_int_equal(mn_document_read(path, NULL, &document, &err), MN_ERR_IO);
    assert_int_equal(mn_document_read("/", NULL, &document, &err), MN_ERR_IO);
    mn_document_release(&document); /* safe after an error */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_are_named_with_a_remedy),
        cmocka_unit_test(text_stays_text_whatever_its_name),
        cmocka_unit_test(pages_are_known_by_their_beginning),
        cmocka_unit_test(verbatim_text_stays),
        cmocka_unit_test(nothing_is_refused),
        cmocka_unit_test(files_are_read_by_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
