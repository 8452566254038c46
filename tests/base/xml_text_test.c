/* What XML reserves, what it forbids, and a text that is cut between two characters. */
#include "support/support.h"

#include <stdint.h>

#include "base/xml_text.h"

static void check(const char *text, size_t max_bytes, const char *wanted, size_t chars) {
    mn_strbuf out = MN_STRBUF_INIT;
    assert_int_equal(mn_xml_text_put(&out, text, max_bytes), chars);
    assert_string_equal(out.data ? out.data : "", wanted);
    mn_strbuf_release(&out);
}

static void texts_are_escaped(void **state) {
    (void)state;
    check("a < b & c > \"d\"", SIZE_MAX, "a &lt; b &amp; c &gt; \"d\"", 15);
    check("one\ntwo\tthree", SIZE_MAX, "one two three", 13);
    check("\x01\x7f\xff\xef\xbf\xbf", SIZE_MAX, "????", 4);
    check("", 0, "", 0);
}

static void texts_are_cut_between_characters(void **state) {
    (void)state;
    check("gr\xc3\xbcn", 5, "gr\xc3\xbcn", 4);
    check("gr\xc3\xbcn", 4, "gr\xc3\xbc\xe2\x80\xa6", 4);
    check("gr\xc3\xbcn", 3, "gr\xe2\x80\xa6", 3);
    check("a&b", 2, "a&amp;\xe2\x80\xa6", 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_escaped),
        cmocka_unit_test(texts_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
