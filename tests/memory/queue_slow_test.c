/* A million messages; a first argument is another number of them. */
#include "memory/queue_cases.h"

static int64_t n_messages = 1000000;

static void what_must_hold_holds(void **state) {
    (void)state;
    fuzz_queue("queue_slow_test.db", n_messages);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_must_hold_holds)};
    if (argc > 1) n_messages = atoll(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
