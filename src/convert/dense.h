/* Dense matrices in double precision, row by row: what conversions of a model compute with (BLAS and LAPACK, on the
 * calling thread). */
#ifndef MN_CONVERT_DENSE_H
#define MN_CONVERT_DENSE_H

#include "base/status.h"

#include <stdint.h>

/* Room for n0 x n1 zeros; the caller frees it. */
mn_status mn_dense_zeros(int64_t n0, int64_t n1, double **out, mn_error *err);

/* c [m, n] = a [m, k] b [k, n] */
void mn_dense_product(double *c, const double *a, const double *b, int64_t m, int64_t n, int64_t k);
/* c [m, n] = a [m, k] b^T, b [n, k] */
void mn_dense_product_bt(double *c, const double *a, const double *b, int64_t m, int64_t n, int64_t k);
/* c [m, n] += a^T b, a [k, m], b [k, n] */
void mn_dense_add_product_at(double *c, const double *a, const double *b, int64_t m, int64_t n, int64_t k);
/* sum_i a[i] b[i] */
double mn_dense_dot(const double *a, const double *b, int64_t n);

/* Eigenvalues of the symmetric a [n, n], largest first, and in the rows of a the orthonormal eigenvectors that belong
 * to them, each with its largest element positive, so that equal input has one answer. Cost: about 10 n^3. */
mn_status mn_dense_eigen(double *a, int64_t n, double *values, mn_error *err);

#endif
