/* What all tests share: cmocka, test data, comparisons that print both values and the place. */
#ifndef MN_TESTS_SUPPORT_H
#define MN_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/status.h"

/* Fails with the error's sentence unless the status is MN_OK. */
#define assert_ok(expression, err)                                                                                     \
    do {                                                                                                               \
        if ((expression) != MN_OK) fail_msg("%s: %s", #expression, (err).text);                                        \
    } while (0)

/* Fails, naming the place, where |got - want| > atol + rtol |want|, or one is NaN and the other not. */
void assert_close(const float *got, const float *want, size_t n, double atol, double rtol, const char *what);

/* n normal numbers, the same for the same seed. */
void fill_normal(float *x, size_t n, uint64_t seed);

/* Path of a committed file: "golden/tiny-llama.gguf" in tests/data, or "models/default.gguf" in the repository. Fails
 * the test when it is not there. Borrowed until the next call. */
const char *data_path(const char *relative);
/* Path of a file of the shared data, which is not committed: for NAME_shared_test.c alone. Where it is missing, skips
 * the test that asked. Borrowed until the next call. */
const char *shared_path(const char *relative);
/* What main returns in a test that may skip: 77, which the runner reports as skipped, where none of the tests failed
 * and one was skipped. */
int outcome(int n_failed);

/* Reads a whole file or fails the test; the caller frees it. */
char *read_all(const char *path, size_t *bytes);
/* A fresh path under the build's temporary directory. Borrowed until the next call. */
const char *temp_path(const char *name);

/* Whether MNEMO_TEST_QUICK is set: for processors that are emulated, and sanitizers, where all takes 10 to 50 times as
 * long. */
bool is_quick_run(void);

#endif
