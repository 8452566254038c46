#include "memory/nested_keys.h"

static void ten_thousand(void **state) {
    (void)state;
    nested_keys_of_the_paper();
    nested_keys("nested-10000.db", 10000);
}

static void a_million(void **state) {
    (void)state;
    nested_keys("nested-1000000.db", 1000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ten_thousand), cmocka_unit_test(a_million)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
