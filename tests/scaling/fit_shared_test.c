/* The runs of Hoffmann et al. as Besiroglu et al. read them off a figure: the fit reaches the published optimum. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <mnemo/scaling.h>

static int by_loss(const void *a, const void *b) {
    double x = ((const mn_scaling_run *)a)->loss, y = ((const mn_scaling_run *)b)->loss;
    return (x > y) - (x < y);
}

/* The runs read off the figure, without the five of highest loss; D = C / 6N. The caller frees. */
static mn_scaling_run *published_runs(size_t *n) {
    const char *path = shared_path("scaling/data_svg_extracted_data.csv");
    size_t bytes;
    char *text = read_all(path, &bytes);
    mn_scaling_run *runs = calloc(1000, sizeof *runs);
    *n = 0;
    for (char *line = strchr(text, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        double flops;
        if (sscanf(line + 1, "%*f,%*f,%*[^,],%lf,%lf,%*[^,],%lf", &runs[*n].params, &flops, &runs[*n].loss) != 3)
            fail_msg("line %zu of %s", *n + 2, path);
        runs[*n].tokens = flops / (6 * runs[*n].params);
        ++*n;
    }
    free(text);
    assert_int_equal(*n, 245);
    qsort(runs, *n, sizeof *runs, by_loss);
    *n = 240;
    return runs;
}

static double objective_of(const char *name, const mn_scaling_run *runs, size_t n) {
    mn_scaling_law law;
    mn_error err;
    assert_ok(mn_scaling_law_find(name, &law, &err), err);
    return mn_scaling_fit_objective(&law, runs, n);
}

static void reaches_published_optimum(void **state) {
    (void)state;
    size_t n;
    mn_scaling_run *runs = published_runs(&n);
    assert_true(fabs(objective_of("chinchilla", runs, n) - 0.00412101) < 5e-9);
    assert_true(fabs(objective_of("chinchilla-exact", runs, n) - 0.00123116) < 5e-9);
    assert_true(fabs(objective_of("besiroglu-exact", runs, n) - 0.00101864) < 5e-9);
    mn_scaling_fit fit;
    mn_error err;
    assert_ok(mn_scaling_fit_runs(runs, n, &(mn_scaling_fit_options){.n_bootstrap = 20}, &fit, &err), err);
    assert_true(fit.objective <= 0.0010182741);
    assert_true(fabs(mn_scaling_fit_objective(&fit.law, runs, n) - fit.objective) < 1e-12);
    assert_true(fabs(fit.law.alpha - 0.34731) < 1e-5 && fabs(fit.law.beta - 0.36717) < 2e-5);
    assert_true(fabs(fit.law.E - 1.81722) < 1e-5 && fabs(fit.law.A - 477.83) < 0.02 && fabs(fit.law.B - 2143.4) < 0.1);
    free(runs);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reaches_published_optimum)};
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
