#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"

enum { SKIPPED = 77 };

void assert_close(const float *got, const float *want, size_t n, double atol, double rtol, const char *what) {
    for (size_t i = 0; i < n; i++) {
        double g = got[i], w = want[i];
        bool close = isnan(w) ? isnan(g) : g == w || fabs(g - w) <= atol + rtol * fabs(w);
        if (!close) fail_msg("%s: element %zu is %.9g, wanted %.9g (difference %.3g)", what, i, g, w, fabs(g - w));
    }
}

void fill_normal(float *x, size_t n, uint64_t seed) {
    mn_random rng;
    mn_random_seed(&rng, seed, 0);
    for (size_t i = 0; i < n; i++) x[i] = (float)mn_random_normal(&rng);
}

const char *data_path(const char *relative) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/tests/data/%s", MNEMO_SOURCE_DIR, relative);
    if (access(path, R_OK) == 0) return path;
    snprintf(path, sizeof path, "%s/%s", MNEMO_SOURCE_DIR, relative);
    if (access(path, R_OK)) fail_msg("%s is neither in tests/data nor in the repository", relative);
    return path;
}

static bool left_out;

const char *shared_path(const char *relative) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/data/%s", MNEMO_SHARED_DIR, relative);
    if (access(path, R_OK)) {
        fprintf(stderr, "skipped: %s is not here\n", path);
        left_out = true;
        skip();
    }
    return path;
}

int outcome(int n_failed) { return n_failed ? 1 : left_out ? SKIPPED : 0; }

char *read_all(const char *path, size_t *bytes) {
    char *data;
    mn_error err;
    assert_ok(mn_file_read(path, SIZE_MAX / 2, &data, bytes, &err), err);
    return data;
}

const char *temp_path(const char *name) {
    static char path[4096];
    const char *dir = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/mnemo-test-%ld-%s", dir ? dir : "/tmp", (long)getpid(), name);
    return path;
}

bool is_quick_run(void) { return getenv("MNEMO_TEST_QUICK") != NULL; }
