#include "memory/kills.h"

static void it_goes_on(void **state) {
    (void)state;
    kill_often(20, 30, 30000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
