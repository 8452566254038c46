/* Fuzz target: any bytes as the CSV of runs and as a law file. */
#include <math.h>
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"

#include <mnemo/scaling.h>

static void check_runs(const char *path) {
    mn_scaling_run *runs;
    mn_scaling_law law;
    size_t n;
    mn_error err = {0};
    if (mn_scaling_runs_read(path, &runs, &n, &err)) {
        if (!err.text[0] || runs) abort();
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (!(runs[i].params > 0 && runs[i].tokens > 0 && runs[i].loss > 0)) abort();
    if (mn_scaling_law_find("chinchilla", &law, &err)) abort();
    if (n && !isfinite(mn_scaling_fit_objective(&law, runs, n))) abort();
    free(runs);
}

static void check_law(const char *path) {
    mn_scaling_law law;
    mn_error err = {0};
    if (mn_scaling_law_read(path, &law, &err)) {
        if (!err.text[0]) abort();
    } else if (!(mn_scaling_loss(&law, 1e9, 1e12) >= law.E)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static memory_file file = {-1, ""};
    if (file.fd < 0) file = memory_file_new();
    memory_file_set(&file, data, bytes);
    check_runs(file.path);
    check_law(file.path);
    return 0;
}
