#include "support/gradient.h"

#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/kernels.h"

gradient_operand gradient_operand_create(size_t n, double scale, uint64_t seed) {
    gradient_operand o = {malloc((n + 1) * sizeof *o.f), malloc((n + 1) * sizeof *o.d), n};
    fill_normal(o.f, n, seed);
    for (size_t i = 0; i < n; i++) {
        o.f[i] *= (float)scale;
        o.d[i] = (double)o.f[i];
    }
    return o;
}

void gradient_operand_free(gradient_operand *o) {
    free(o->f);
    free(o->d);
}

/* Two differences, extrapolated: what is left falls with the fourth power of the step. */
static double difference(gradient_fn *fn, void *arg, double *x) {
    double at = *x, step = 1e-3 * fmax(1, fabs(at)), slope[2];
    for (int i = 0; i < 2; i++, step /= 2) {
        *x = at + step;
        double above = fn(arg);
        *x = at - step;
        slope[i] = (above - fn(arg)) / (2 * step);
    }
    *x = at;
    return (4 * slope[1] - slope[0]) / 3;
}

void gradient_check(const char *what, gradient_fn *fn, void *arg, double *x, const float *got, size_t n,
                    size_t n_places, double limit) {
    /* Nearly all of the time goes into the differences: in a quick run at few places. */
    if (is_quick_run()) n_places = (n_places ? n_places : n) / 5 + 8;
    size_t step = n_places == 0 || n_places >= n ? 1 : n / n_places | 1, n_checked = 0;
    double *want = malloc((n / step + 1) * sizeof *want), largest = 1e-3;
    for (size_t i = 0; i < n; i += step) {
        want[n_checked] = difference(fn, arg, x + i);
        largest = fmax(largest, fabs(want[n_checked++]));
    }
    for (size_t i = 0; i < n_checked; i++) {
        double off = fabs((double)got[i * step] - want[i]);
        if (!(off <= limit * largest))
            fail_msg("%s: gradient %zu of %zu is %.9g, wanted %.9g (off by %.3g of the largest)", what, i * step, n,
                     (double)got[i * step], want[i], off / largest);
    }
    free(want);
}

void gradient_for_levels(gradient_run_fn *fn, void *arg, const void *out, size_t bytes, bool fast_too,
                         gradient_run_fn *check) {
    mn_arena scratch = MN_ARENA_INIT;
    mn_pool *pool;
    mn_error err;
    char *one = malloc(bytes + 1);
    assert_ok(mn_pool_create(2, &pool, &err), err);
    EACH_LEVEL(level) {
        for (int exact = fast_too ? 0 : 1; exact < 2; exact++) {
            mn_compute c = {mn_kernels_get((mn_cpu_level)level), NULL, &scratch, exact, NULL};
            fn(&c, arg);
            memcpy(one, out, bytes);
            if (check) check(&c, arg);
            c.pool = pool;
            fn(&c, arg);
            if (memcmp(one, out, bytes)) fail_msg("%s: two threads give other bits", mn_cpu_level_name(level));
            assert_int_equal(scratch.used_bytes, 0);
        }
    }
    free(one);
    mn_pool_destroy(pool);
    mn_arena_release(&scratch);
}
