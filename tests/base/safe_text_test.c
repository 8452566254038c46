/* base/safe_text: no control character of a file or model comes through, in errors and notes neither. */
#include "base/safe_text.h"

#include "support/support.h"

#include <string.h>

#include "base/notes.h"

static void control_characters_become_question_marks(void **state) {
    (void)state;
    char text[] = "a\x1b[31mred\x07\r\n\tb\x7f \xc2\x9b"
                  "2J \xc2\xa9 \xe2\x82\xac \x9b";
    mn_text_make_safe(text, sizeof text - 1);
    assert_string_equal(text, "a?[31mred??\n\tb? ??2J \xc2\xa9 \xe2\x82\xac \x9b");
    for (int c = 0; c < 256; c++) {
        char one[] = {(char)c, 0};
        mn_text_make_safe(one, 1);
        bool control = (c < 32 && c != '\n' && c != '\t') || c == 127;
        assert_int_equal((unsigned char)one[0], control ? '?' : c);
    }
}

static void what_is_no_utf8_becomes_question_marks(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"\xc2\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf \xf4\x8f\xbf\xbf", NULL},
        {"cut \xe2\x82", "cut ??"},
        {"\xc3", "?"},
        {"a\x80z \xff", "a?z ?"},
        {"\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", "?? ??? ????"}, /* longer than they need be */
        {"\xed\xa0\x80", "???"},                                   /* a half of a pair */
        {"\xf4\x90\x80\x80 \xf5\x80\x80\x80", "???? ????"},        /* beyond Unicode */
        {"\xe2\xe2\x82\xac", "?\xe2\x82\xac"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s", cases[i][0]);
        mn_text_make_utf8(text, strlen(text));
        assert_string_equal(text, cases[i][1] ? cases[i][1] : cases[i][0]);
    }
}

static void errors_and_notes_are_safe(void **state) {
    (void)state;
    mn_error err;
    mn_notes notes = {0};
    mn_fail(&err, MN_ERR_FORMAT, "%s: no template.", "model\x1b]0;title\x07.gguf");
    assert_string_equal(err.text, "model?]0;title?.gguf: no template.");
    mn_fail_in(&err, err.status, "dir\x1b[2J");
    assert_string_equal(err.text, "dir?[2J: model?]0;title?.gguf: no template.");
    mn_notes_add(&notes, "key %s",
                 "a\x1b"
                 "b");
    assert_string_equal(mn_notes_at(&notes, 0), "key a?b");
    mn_notes_release(&notes);
    mn_fail(&err, MN_ERR_FORMAT, "no key \"%.4s\".", "abc\xc3\xa9");
    assert_string_equal(err.text, "no key \"abc?\".");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_become_question_marks),
        cmocka_unit_test(what_is_no_utf8_becomes_question_marks),
        cmocka_unit_test(errors_and_notes_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
