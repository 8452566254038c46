#include "memory/recall_saved_cases.h"

int main(void) {
    const struct CMUnitTest tests[] = {RECALL_SAVED_CASES};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
