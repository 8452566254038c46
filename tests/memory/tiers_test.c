#include "memory/tiers_cases.h"

int main(void) {
    const struct CMUnitTest tests[] = {TIERS_CASES};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
