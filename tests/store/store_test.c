/* What every store does, in an SQLite file. */
#include "store/store_cases.h"
#include "store/vector_cases.h"

int main(void) {
    const struct CMUnitTest tests[] = {STORE_CASES, VECTOR_CASES};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
