/* What every store does, in an SQLite file. */
#include "store/store_cases.h"

int main(void) {
    const struct CMUnitTest tests[] = {STORE_CASES};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
