#include "memory/queue_cases.h"

static void what_must_hold_holds(void **state) {
    (void)state;
    fuzz_queue("queue_test.db", 3000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_must_hold_holds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
