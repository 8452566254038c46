/* What the tests use of cmocka, for a machine that Debian's library is not installed for. A failed assertion ends its
 * test and names the place, as with cmocka; nothing is mocked. */
#ifndef MN_TESTS_SMALL_CMOCKA_H
#define MN_TESTS_SMALL_CMOCKA_H

#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef int test_fixture(void **state);

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
    test_fixture *setup, *teardown;
};

#define cmocka_unit_test(test)                                                                                         \
    { #test, test, NULL, NULL }
#define cmocka_unit_test_setup_teardown(test, setup, teardown)                                                         \
    { #test, test, setup, teardown }
#define cmocka_run_group_tests(tests, setup, teardown) run_group(tests, sizeof tests / sizeof *tests, setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown) cmocka_run_group_tests(tests, setup, teardown)

/* The tests of this name alone; there are no patterns here. */
void cmocka_set_test_filter(const char *name);
/* The number of tests that failed. */
int run_group(const struct CMUnitTest *tests, size_t n, test_fixture *setup, test_fixture *teardown);
void fail_test(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
void skip_test(void) __attribute__((noreturn));

#define fail_msg(...) fail_test(__FILE__, __LINE__, __VA_ARGS__)
#define skip() skip_test()
#define print_message(...) printf(__VA_ARGS__)

#define assert_that(condition, text)                                                                                   \
    do {                                                                                                               \
        if (!(condition)) fail_msg("%s", text);                                                                        \
    } while (0)
#define assert_true(condition) assert_that(condition, #condition)
#define assert_false(condition) assert_that(!(condition), "not " #condition)
#define assert_null(pointer) assert_that((pointer) == NULL, #pointer " is NULL")
#define assert_non_null(pointer) assert_that((pointer) != NULL, #pointer " is not NULL")
#define assert_ptr_equal(a, b) assert_that((const void *)(a) == (const void *)(b), #a " is " #b)
#define assert_string_equal(a, b) assert_that(strcmp(a, b) == 0, #a " equals " #b)
#define assert_memory_equal(a, b, bytes) assert_that(memcmp(a, b, bytes) == 0, #a " and " #b " hold the same")
#define assert_int_equal(a, b)                                                                                         \
    do {                                                                                                               \
        long long got_ = (long long)(a), wanted_ = (long long)(b);                                                     \
        if (got_ != wanted_) fail_msg("%s is %lld, not %lld", #a, got_, wanted_);                                      \
    } while (0)
#define assert_int_not_equal(a, b) assert_that((long long)(a) != (long long)(b), #a " is not " #b)
#define assert_in_range(x, least, most)                                                                                \
    do {                                                                                                               \
        unsigned long long got_ = (x), least_ = (least), most_ = (most);                                               \
        if (got_ < least_ || got_ > most_) fail_msg("%s is %llu, not %llu to %llu", #x, got_, least_, most_);          \
    } while (0)

#endif
