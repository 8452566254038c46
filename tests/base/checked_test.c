/* base/checked and base/status: sizes that do not fit are refused, sentences are finished and bounded. */
#include "support/support.h"

#include <string.h>

#include "base/checked.h"

static void sizes_that_fit(void **state) {
    (void)state;
    size_t out;
    assert_true(mn_add_size(SIZE_MAX - 1, 1, &out));
    assert_int_equal(out, SIZE_MAX);
    assert_true(mn_mul_size(SIZE_MAX / 3, 3, &out));
    assert_int_equal(out, SIZE_MAX);
    assert_true(mn_mul_size(0, SIZE_MAX, &out));
    assert_int_equal(out, 0);
    for (size_t n = 0; n < 200; n++) {
        assert_true(mn_align_size(n, 32, &out));
        assert_int_equal(out, (n + 31) / 32 * 32);
    }
    assert_true(mn_align_size(SIZE_MAX - 63, 64, &out));
    assert_int_equal(out, SIZE_MAX - 63);
}

static void sizes_that_do_not(void **state) {
    (void)state;
    size_t out = 7;
    assert_false(mn_add_size(SIZE_MAX, 1, &out));
    assert_false(mn_mul_size(SIZE_MAX / 2 + 1, 2, &out));
    assert_false(mn_mul_size((size_t)1 << 32, (size_t)1 << 32, &out));
    assert_false(mn_align_size(SIZE_MAX - 62, 64, &out));
    assert_int_equal(out, 7);
}

static mn_status passes_on(mn_status status) {
    MN_TRY(status);
    return MN_ERR_LIMIT;
}

static void sentences(void **state) {
    (void)state;
    mn_error err;
    assert_int_equal(mn_fail(NULL, MN_ERR_IO, "%d", 1), MN_ERR_IO);
    assert_int_equal(mn_fail_in(NULL, MN_ERR_IO, "file"), MN_ERR_IO);
    assert_int_equal(mn_fail(&err, MN_ERR_FORMAT, "%d is more than %d.", 9, 8), MN_ERR_FORMAT);
    assert_int_equal(mn_fail_in(&err, MN_ERR_IO, "model.gguf"), MN_ERR_IO);
    assert_string_equal(err.text, "model.gguf: 9 is more than 8.");
    assert_int_equal(err.status, MN_ERR_IO);
    assert_int_equal(passes_on(MN_ERR_MEMORY), MN_ERR_MEMORY);
    assert_int_equal(passes_on(MN_OK), MN_ERR_LIMIT);
}

static void long_sentences_are_cut_inside_the_buffer(void **state) {
    (void)state;
    mn_error err;
    char text[2000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    mn_fail(&err, MN_ERR_IO, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    mn_fail_in(&err, MN_ERR_IO, "b");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "b: aaa", 6);
    mn_fail_in(&err, MN_ERR_IO, text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes_that_fit), cmocka_unit_test(sizes_that_do_not),
                                       cmocka_unit_test(sentences),
                                       cmocka_unit_test(long_sentences_are_cut_inside_the_buffer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
