/* Tests of what is compiled for several levels of instructions (src/kernels/cpu.h). A test that includes this file runs
 * once for each level, as a test of its own that is skipped where the processor lacks the level; run by hand it covers
 * all levels that this machine has. */
#ifndef MN_TESTS_LEVELS_H
#define MN_TESTS_LEVELS_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/cpu.h"

/* Whether to test the level: this machine has it, and it is the one that MNEMO_TEST_LEVEL names if that is set ("best":
 * the highest). */
bool covers_level(int level);

#define EACH_LEVEL(level)                                                                                              \
    for (int level = 0; level < MN_CPU_LEVEL_COUNT; level++)                                                           \
        if (covers_level(level))

/* Whether to take case i of many like it: all of them, or every nth in a quick run. */
bool takes_case(size_t i, size_t n);

#endif
