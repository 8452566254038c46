/* Gradients against central differences of the forward, written again in double precision by the test. */
#ifndef MN_TESTS_GRADIENT_H
#define MN_TESTS_GRADIENT_H

#include "kernels/compute.h"

#include <stdbool.h>
#include <stddef.h>

/* What is differentiated: a scalar in double precision from operands that the test keeps as doubles. */
typedef double gradient_fn(void *arg);

/* Checks got [n], the gradient of fn's value with respect to operands x [n] (which fn reads), at n_places places spread
 * over all n (0: everywhere). Fails where one is off by more than limit of the largest wanted, and at least of 1e-3. */
void gradient_check(const char *what, gradient_fn *fn, void *arg, double *x, const float *got, size_t n,
                    size_t n_places, double limit);

/* f32 values and the same in double, random normal numbers times scale; the caller frees both. */
typedef struct gradient_operand {
    float *f;
    double *d;
    size_t n;
} gradient_operand;

gradient_operand gradient_operand_create(size_t n, double scale, uint64_t seed);
void gradient_operand_free(gradient_operand *operand);

/* Runs fn at every level that is to be tested (levels.h), in exact mode or both, with one thread and with two; fails
 * unless `bytes` of results, which fn leaves in out, are the same with both. fn is told with how many threads it runs.
 */
typedef void gradient_run_fn(const mn_compute *c, void *arg);
void gradient_for_levels(gradient_run_fn *fn, void *arg, const void *out, size_t bytes, bool fast_too,
                         gradient_run_fn *check);

#endif
