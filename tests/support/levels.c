#include "support/levels.h"

#include "support/support.h"

#include <stdlib.h>
#include <string.h>

/* MNEMO_TEST_ONLY=NAME: one function of a test file, for processors that are emulated. */
__attribute__((constructor)) static void choose_function(void) {
    const char *only = getenv("MNEMO_TEST_ONLY");
    if (only) cmocka_set_test_filter(only);
}

bool covers_level(int level) {
    const char *wanted = getenv("MNEMO_TEST_LEVEL");
    if (!mn_cpu_supports((mn_cpu_level)level)) return false;
    if (!wanted) return true;
    if (!strcmp(wanted, "best")) return level == (int)mn_cpu_detect();
    return !strcmp(wanted, mn_cpu_level_name((mn_cpu_level)level));
}

bool takes_case(size_t i, size_t n) { return i % n == 0 || !is_quick_run(); }
