/* Web pages give their text: blocks, headings, lists, tables, entities; hostile ones end in a sentence. */
#include "support/document.h"

#include "base/clock.h"
#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>

static void assert_page(const char *page, const char *text) { assert_document("page.html", page, strlen(page), text); }

static void blocks_give_line_ends_and_blanks_collapse(void **state) {
    (void)state;
    assert_page("<!doctype html><html><head><title> A \n page </title><style>p {}</style></head>"
                "<body><h1>The <em>first</em>\nheading</h1><p>One   two\n three.</p><p>Four<br>five.</p>"
                "<div>six</div><div>seven <b>eight</b>nine</div><script>var x = '<p>no</p>';</script><hr>ten</body>",
                "# The first heading\n\nOne two three.\n\nFour\nfive.\n\nsix\nseven eightnine\n\nten");
}

static void entities_are_characters(void **state) {
    (void)state;
    assert_page("<p>a &lt; b &amp;&amp; c&nbsp;d &eacute; &#8364; &#x1F600; &unknown; dis&shy;may &mdash;",
                "a < b && c d \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 &unknown; dismay \xe2\x80\x94");
}

static void lists_and_preformatted_text_keep_their_shape(void **state) {
    (void)state;
    assert_page("<p>Shop:<ul><li>tea<li><p>milk</p><ol><li>cold<li>warm</ol></li></ul>then"
                "<pre>\nif (a)&#13;    b;\n</pre>end",
                "Shop:\n\n- tea\n- milk\n\n  1. cold\n  2. warm\n\nthen\n\nif (a)\n    b;\n\nend");
}

static void tables_are_rows_of_cells(void **state) {
    (void)state;
    assert_page("<p>Before<table><caption>Towns</caption><tr><th>Town<th>People</tr><tr><td><p>Ulm</p></td><td>126\n405"
                "</td></tr><tr><td></td><td></td></tr><tr><td>Bonn<td></table>after",
                "Before\n\nTowns\nTown | People\nUlm | 126 405\nBonn | \n\nafter");
}

static void tables_for_the_layout_are_blocks(void **state) {
    (void)state;
    assert_page("<table><tr><td><p>Menu</p></td><td><p>One.</p><table><tr><td>a</td><td>b</td></tr></table>Two.</td>"
                "</tr></table>",
                "Menu\n\nOne.\n\na | b\n\nTwo.");
    char page[2048], text[2048], words[600];
    for (size_t i = 0; i < sizeof words - 1; i++) words[i] = i % 6 == 5 ? ' ' : 'x';
    words[sizeof words - 1] = 0;
    snprintf(page, sizeof page, "<table><tr><td>Menu</td><td><p>%s</p><p>End.</p></td></tr></table>", words);
    snprintf(text, sizeof text, "Menu\n\n%.*s\n\nEnd.", (int)sizeof words - 1, words);
    assert_page(page, text);
}

static void pictures_stand_as_their_text(void **state) {
    (void)state;
    static const char page[] = "<html><p>See<img src=a.png alt='a red cat'>here.<img src=b.png></p>";
    mn_document document = read_document("x", page, sizeof page - 1);
    assert_string_equal(document.text, "See [a red cat] here.");
    assert_string_equal(document.kind, "HTML");
    assert_note(&document, "2 pictures");
    mn_document_release(&document);
}

static void headings_are_sections(void **state) {
    (void)state;
    static const char page[] = "<html><title>T</title><h1>A</h1>a<h2>B <i>c</i></h2>b<h2></h2><h1><span>D</span></h1>d";
    mn_document document = read_document("x", page, sizeof page - 1);
    assert_string_equal(document.title, "T");
    assert_int_equal(document.n_sections, 3);
    assert_string_equal(document.sections[1].title, "B c");
    assert_int_equal(document.sections[1].level, 2);
    for (size_t i = 0; i < 3; i++) assert_int_equal(document.text[document.sections[i].begin], '#');
    assert_string_equal(document.text + document.sections[2].begin, "# D\n\nd");
    mn_document_release(&document);
}

static void markdown_stays_and_has_sections(void **state) {
    (void)state;
    static const char text[] = "intro <html>\n# One #\n```\n# no\n```\n  ## Two ##\n####### seven\n#no\n";
    mn_document document = read_document("a.md", text, sizeof text - 1);
    assert_string_equal(document.text, text);
    assert_string_equal(document.kind, "Markdown");
    assert_string_equal(document.title, "One");
    assert_int_equal(document.n_sections, 2);
    assert_string_equal(document.sections[1].title, "Two");
    assert_int_equal(document.sections[1].begin, strstr(text, "  ##") - text);
    mn_document_release(&document);
}

/* The declared charset counts only where the bytes are no UTF-8. */
static void charsets_are_converted(void **state) {
    (void)state;
    assert_page("<meta charset='iso-8859-1'><p>\xc3\xa9", "\xc3\xa9");
    assert_page("<meta charset='iso-8859-2'><p>\xb3", "\xc5\x82");
    assert_page("<meta http-equiv='Content-Type' content='text/html; charset=shift_jis'><p>\x93\xfa\x96\x7b",
                "\xe6\x97\xa5\xe6\x9c\xac");
    assert_page("<meta charset='../../evil'><p>caf\xe9", "caf\xc3\xa9");
    static const char wide[] = "\xff\xfe<\0p\0>\0h\0i\0";
    assert_document("page.html", wide, sizeof wide - 1, "hi");
}

static void end_tags_may_be_missing(void **state) {
    (void)state;
    mn_strbuf page = MN_STRBUF_INIT;
    mn_strbuf_puts(&page, "<html>");
    for (int i = 0; i < 30000; i++) mn_strbuf_puts(&page, i % 2 ? "<font>" : "<div><table><td><ul><li>");
    mn_strbuf_puts(&page, "deep");
    mn_document document = read_document("deep.html", page.data, page.bytes);
    assert_non_null(strstr(document.text, "- deep"));
    mn_document_release(&document);
    mn_strbuf_release(&page);
}

/* libxml2 compares each attribute with all before it. */
static void time_is_bounded(void **state) {
    (void)state;
    mn_strbuf page = MN_STRBUF_INIT;
    mn_document document;
    mn_error err;
    mn_document_options options = {.max_seconds = 1};
    double began = mn_clock_seconds();
    mn_strbuf_puts(&page, "<html><p ");
    for (int i = 0; i < 300000; i++) mn_strbuf_printf(&page, "a%d=b ", i);
    mn_strbuf_puts(&page, ">text");
    assert_int_equal(mn_document_read_bytes("a", page.data, page.bytes, &options, &document, &err), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "1 seconds"));
    assert_true(mn_clock_seconds() - began < 20);
    mn_strbuf_release(&page);
}

static void text_is_bounded(void **state) {
    (void)state;
    mn_document document;
    mn_error err;
    static const char page[] = "<html><p>one two three four five";
    mn_document_options options = {.max_bytes = sizeof page - 1};
    assert_ok(mn_document_read_bytes("a", page, sizeof page - 1, &options, &document, &err), err);
    mn_document_release(&document);
    options.max_bytes--;
    assert_int_equal(mn_document_read_bytes("a", page, sizeof page - 1, &options, &document, &err), MN_ERR_LIMIT);
}

static void empty_pages_are_refused(void **state) {
    (void)state;
    static const char page[] = "<html><head><title>x</title></head><body><script>1</script>&nbsp;</body></html>";
    assert_refused("a.html", page, sizeof page - 1, MN_ERR_FORMAT, "no text");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_give_line_ends_and_blanks_collapse),
        cmocka_unit_test(entities_are_characters),
        cmocka_unit_test(lists_and_preformatted_text_keep_their_shape),
        cmocka_unit_test(tables_are_rows_of_cells),
        cmocka_unit_test(tables_for_the_layout_are_blocks),
        cmocka_unit_test(pictures_stand_as_their_text),
        cmocka_unit_test(headings_are_sections),
        cmocka_unit_test(markdown_stays_and_has_sections),
        cmocka_unit_test(charsets_are_converted),
        cmocka_unit_test(end_tags_may_be_missing),
        cmocka_unit_test(time_is_bounded),
        cmocka_unit_test(text_is_bounded),
        cmocka_unit_test(empty_pages_are_refused),
    };
#ifndef MNEMO_HAVE_LIBXML2
    static const char page[] = "<html><p>x";
    assert_refused("a.html", page, sizeof page - 1, MN_ERR_UNSUPPORTED, "libxml2-dev");
    fprintf(stderr, "skipped: web pages, as this build is without libxml2\n");
    return 77;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
