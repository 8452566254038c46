/* What every fuzz target defines; libFuzzer, or replay.c in the normal suite, calls it. */
#ifndef MN_TESTS_FUZZ_H
#define MN_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#endif
