#include "memory/nested_keys.h"

static void a_hundred_and_forty(void **state) {
    (void)state;
    nested_keys_of_the_paper();
}

static void a_thousand(void **state) {
    (void)state;
    nested_keys("nested-1000.db", 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_hundred_and_forty), cmocka_unit_test(a_thousand)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
