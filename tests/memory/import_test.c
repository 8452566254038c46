#include "memory/import_cases.h"

int main(void) {
    const struct CMUnitTest tests[] = {IMPORT_CASES};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
