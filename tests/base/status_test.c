/* Errors: the sentence, and what would help beside it. */
#include "base/status.h"

#include "support/support.h"

#include <string.h>

static void an_error_carries_its_sentence_and_its_remedies(void **state) {
    (void)state;
    mn_error err;
    memset(&err, 0x5a, sizeof err);
    assert_int_equal(mn_fail_with(&err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_WINDOW, 4096}, {MN_REMEDY_YARN, 0}),
                                  "%d tokens do not fit.", 5000),
                     MN_ERR_LIMIT);
    assert_int_equal(err.status, MN_ERR_LIMIT);
    assert_string_equal(err.text, "5000 tokens do not fit.");
    assert_int_equal(err.remedies[0].kind, MN_REMEDY_WINDOW);
    assert_true(err.remedies[0].value == 4096);
    assert_int_equal(err.remedies[1].kind, MN_REMEDY_YARN);
    assert_int_equal(err.remedies[2].kind, MN_REMEDY_NONE);
    mn_fail_in(&err, err.status, "book.txt");
    assert_string_equal(err.text, "book.txt: 5000 tokens do not fit.");
    assert_int_equal(err.remedies[0].kind, MN_REMEDY_WINDOW);
}

static void a_later_error_has_no_remedy_of_an_earlier_one(void **state) {
    (void)state;
    mn_error err;
    mn_fail_with(&err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_BATCH, 0}), "no memory.");
    mn_fail(&err, MN_ERR_IO, "disk: %s", err.text); /* its own text may be an argument */
    assert_string_equal(err.text, "disk: no memory.");
    assert_int_equal(err.remedies[0].kind, MN_REMEDY_NONE);
    assert_int_equal(mn_fail_with(NULL, MN_ERR_IO, MN_REMEDIES({MN_REMEDY_YARN, 0}), "%s", ""), MN_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_carries_its_sentence_and_its_remedies),
        cmocka_unit_test(a_later_error_has_no_remedy_of_an_earlier_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
