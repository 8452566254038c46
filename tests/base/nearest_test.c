/* The word that was probably meant. */
#include "base/nearest.h"
#include "support/support.h"

#include <string.h>

static void edits_are_counted(void **state) {
    (void)state;
    assert_int_equal(mn_word_distance("", ""), 0);
    assert_int_equal(mn_word_distance("window", "window"), 0);
    assert_int_equal(mn_word_distance("", "abc"), 3);
    assert_int_equal(mn_word_distance("temp", "tmep"), 1);      /* neighbours swapped */
    assert_int_equal(mn_word_distance("kitten", "sitting"), 3); /* two exchanged, one more */
    assert_int_equal(mn_word_distance("ca", "abc"), 3);         /* no letter is changed twice */
}

static void words_longer_than_63_bytes_are_cut(void **state) {
    (void)state;
    char a[101], b[101];
    memset(a, 'x', 100);
    memset(b, 'x', 100);
    a[100] = b[100] = 0;
    b[80] = 'y';
    assert_int_equal(mn_word_distance(a, b), 0);
    b[10] = 'y';
    assert_int_equal(mn_word_distance(a, b), 1);
}

static void what_is_near_depends_on_the_length(void **state) {
    (void)state;
    assert_true(mn_word_is_near("quite", "quiet"));
    assert_true(mn_word_is_near("temperatur", "temperature"));
    assert_true(mn_word_is_near("seq", "sequences")); /* not finished */
    assert_false(mn_word_is_near("se", "sequences"));
    assert_false(mn_word_is_near("n", "m"));
    assert_false(mn_word_is_near("depth", "width"));
    assert_true(mn_word_is_near("learning-rtae", "learning-rate"));
}

static void the_nearest_is_found(void **state) {
    (void)state;
    mn_nearest n = {.given = "tokenise"};
    assert_false(mn_nearest_try(&n, "train"));
    assert_null(n.best);
    assert_true(mn_nearest_try(&n, "detokenize"));
    assert_true(mn_nearest_try(&n, "tokenize"));
    assert_false(mn_nearest_try(&n, "detokenize"));
    assert_string_equal(n.best, "tokenize");
    assert_int_equal(n.distance, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_are_counted),
        cmocka_unit_test(words_longer_than_63_bytes_are_cut),
        cmocka_unit_test(what_is_near_depends_on_the_length),
        cmocka_unit_test(the_nearest_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
