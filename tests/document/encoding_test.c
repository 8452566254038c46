/* Texts in every encoding come out as the same UTF-8; what is no text is told from it. */
#include "support/document.h"

#include <iconv.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a text in another encoding, by the C library's own converter. */
static char *encode(const char *text, const char *encoding, size_t *bytes) {
    size_t in_bytes = strlen(text), room = 4 * in_bytes + 16, left = room;
    char *data = malloc(room), *in = (char *)text, *out = data;
    iconv_t converter = iconv_open(encoding, "UTF-8");
    assert_true(converter != (iconv_t)-1);
    assert_int_equal(iconv(converter, &in, &in_bytes, &out, &left), 0);
    iconv_close(converter);
    *bytes = room - left;
    return data;
}

static const char western[] = "Er a\xc3\x9f im Caf\xc3\xa9 \xe2\x80\x9e"
                              "Zw\xc3\xb6lf\xe2\x80\x9c: 12 \xe2\x82\xac.\nNa und?\n";
static const char russian[] = "\xd0\x9c\xd0\xb0\xd0\xbc\xd0\xb0 \xd0\xbc\xd1\x8b\xd0\xbb\xd0\xb0 "
                              "\xd1\x80\xd0\xb0\xd0\xbc\xd1\x83, \xd0\xb0 \xd0\xbf\xd0\xb0\xd0\xbf\xd0\xb0 "
                              "\xd1\x87\xd0\xb8\xd1\x82\xd0\xb0\xd0\xbb.\n";
static const char chinese[] =
    "\xe4\xb8\x80\xe5\x8f\xaa\xe7\x8c\xab\xe3\x80\x82\n\xe4\xb8\xa4\xe5\x8f\xaa\xe7\x8b\x97\xe3"
    "\x80\x82 \xf0\xa0\x80\x80 \xf0\x9f\x90\x88\n";
static const char english[] = "A cat sat on the mat.\nIt was 12 o'clock.\n";

static void unicode_is_read_with_and_without_a_mark(void **state) {
    (void)state;
    static const struct {
        const char *encoding, *mark;
        size_t mark_bytes;
        const char *note;
    } cases[] = {
        {"UTF-8", "\xef\xbb\xbf", 3, NULL},
        {"UTF-16LE", "\xff\xfe", 2, "UTF-16 (little-endian)"},
        {"UTF-16BE", "\xfe\xff", 2, "UTF-16 (big-endian)"},
        {"UTF-32LE", "\xff\xfe\0\0", 4, "UTF-32 (little-endian)"},
        {"UTF-32BE", "\0\0\xfe\xff", 4, "UTF-32 (big-endian)"},
    };
    const char *texts[] = {western, russian, chinese, english};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < 2 * sizeof texts / sizeof *texts; k++) {
            size_t bytes, mark_bytes = k % 2 ? cases[i].mark_bytes : 0;
            char *data = encode(texts[k / 2], cases[i].encoding, &bytes), *marked = malloc(bytes + 4);
            memcpy(marked, cases[i].mark, mark_bytes);
            memcpy(marked + mark_bytes, data, bytes);
            mn_document document = read_document("a.txt", marked, bytes + mark_bytes);
            assert_string_equal(document.text, texts[k / 2]);
            assert_note(&document, cases[i].note);
            mn_document_release(&document);
            free(marked);
            free(data);
        }
}

static void western_bytes_are_converted_and_said(void **state) {
    (void)state;
    size_t bytes;
    char *data = encode(western, "WINDOWS-1252", &bytes);
    mn_document document = read_document("a.txt", data, bytes);
    assert_string_equal(document.text, western);
    assert_note(&document, "Windows-1252");
    mn_document_release(&document);
    free(data);
}

static void other_alphabets_in_bytes_are_refused_unless_declared(void **state) {
    (void)state;
    size_t bytes;
    char *data = encode(russian, "WINDOWS-1251", &bytes), *page;
    assert_refused("a.txt", data, bytes, MN_ERR_UNSUPPORTED, "iconv");
    int n = asprintf(&page, "<html><meta charset=windows-1251><p>%.*s", (int)bytes, data);
#ifdef MNEMO_HAVE_LIBXML2
    mn_document document = read_document("a.html", page, (size_t)n);
    assert_memory_equal(document.text, russian, strlen(russian) - 1);
    assert_note(&document, "windows-1251");
    mn_document_release(&document);
#else
    assert_refused("a.html", page, (size_t)n, MN_ERR_UNSUPPORTED, "libxml2-dev");
#endif
    free(page);
    free(data);
}

static void utf8_with_mistakes_stays_utf8(void **state) {
    (void)state;
    char text[4 * sizeof chinese];
    snprintf(text, sizeof text, "%s%s%s", chinese, chinese, chinese);
    size_t bytes = strlen(text) - 3; /* cuts the last cat in two */
    mn_document document = read_document("a.txt", text, bytes);
    assert_memory_equal(document.text, text, bytes - 2);
    assert_memory_equal(document.text + bytes - 2, "\xef\xbf\xbd", 3);
    assert_note(&document, "U+FFFD");
    mn_document_release(&document);
    assert_document("a.txt", "caf\xc3", 4, "caf\xc3\x83"); /* nothing says that this was UTF-8 */
}

static void half_of_a_pair_is_replaced(void **state) {
    (void)state;
    static const char data[] = "\xff\xfe"
                               "a\0\0\xd8"
                               "b\0"
                               "\xff\xdb\xff\xdf"
                               "c"; /* a lone high half, a pair, and an odd byte */
    mn_document document = read_document("a.txt", data, sizeof data - 1);
    assert_string_equal(document.text, "a\xef\xbf\xbd"
                                       "b\xf4\x8f\xbf\xbf\xef\xbf\xbd");
    assert_note(&document, "2 places");
    mn_document_release(&document);
}

static void line_ends_become_lf_and_zeros_blanks(void **state) {
    (void)state;
    static const char mixed[] = "one\r\ntwo\rthree\n\r\nfour\r";
    assert_document("a.txt", mixed, sizeof mixed - 1, "one\ntwo\nthree\n\nfour\n");
    mn_document document = read_document("a.txt", "PATH=/bin\0HOME=/root\0", 21);
    assert_string_equal(document.text, "PATH=/bin HOME=/root ");
    assert_note(&document, "2 zero bytes");
    mn_document_release(&document);
    assert_document("a.txt", "zero\0byte", 9, "zero byte");
}

static void what_is_no_text_is_refused(void **state) {
    (void)state;
    unsigned char noise[4096];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    assert_refused("noise", noise, sizeof noise, MN_ERR_UNSUPPORTED, "no text");
    for (size_t i = 0; i < sizeof noise; i++) noise[i] |= !noise[i];
    assert_refused("noise", noise, sizeof noise, MN_ERR_UNSUPPORTED, "no text");
    memset(noise, 0, sizeof noise);
    assert_refused("zeros", noise, sizeof noise, MN_ERR_UNSUPPORTED, "no text");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unicode_is_read_with_and_without_a_mark),
        cmocka_unit_test(western_bytes_are_converted_and_said),
        cmocka_unit_test(other_alphabets_in_bytes_are_refused_unless_declared),
        cmocka_unit_test(utf8_with_mistakes_stays_utf8),
        cmocka_unit_test(half_of_a_pair_is_replaced),
        cmocka_unit_test(line_ends_become_lf_and_zeros_blanks),
        cmocka_unit_test(what_is_no_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
