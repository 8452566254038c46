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
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_become_question_marks),
        cmocka_unit_test(errors_and_notes_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
