/* A whole store out and in again, in SQLite files. */
#include "memory/restore_cases.h"

int main(void) {
    const struct CMUnitTest tests[] = {RESTORE_CASES};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
