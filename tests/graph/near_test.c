#include "graph/near_cases.h"

int main(void) {
    const struct CMUnitTest tests[] = {NEAR_CASES};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
