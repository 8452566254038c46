#include "convert/dense.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_ORDER = 32766 }; /* 1 + 6 n + 2 n^2, what eigenvectors take to work in, is an int */

/* Fortran's: arguments by address, matrices column by column. */
void dgemm_(const char *trans_a, const char *trans_b, const int *m, const int *n, const int *k, const double *alpha,
            const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
            const int *ldc, size_t trans_a_bytes, size_t trans_b_bytes);
void dsyevd_(const char *job, const char *triangle, const int *n, double *a, const int *lda, double *w, double *work,
             const int *lwork, int *iwork, const int *liwork, int *info, size_t job_bytes, size_t triangle_bytes);

/* Where the system's BLAS is OpenBLAS. Threads of its own would spin beside ours, and give other bits with other
 * numbers of them. */
void openblas_set_num_threads(int n) __attribute__((weak));

static void keep_to_one_thread(void) {
    if (openblas_set_num_threads) openblas_set_num_threads(1);
}

mn_status mn_dense_zeros(int64_t n0, int64_t n1, double **out, mn_error *err) {
    size_t n;
    *out = mn_mul_size((size_t)n0, (size_t)n1, &n) ? calloc(MN_MAX(n, 1), sizeof **out) : NULL;
    return *out ? MN_OK
                : mn_fail(err, MN_ERR_MEMORY, "no memory for a matrix of %lld x %lld.", (long long)n0, (long long)n1);
}

/* Row by row a matrix is the transpose of what Fortran sees: c^T = b^T a^T. */
static void multiply(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, const double *a, int64_t lda,
                     const double *b, int64_t ldb, double beta, double *c) {
    const int fm = (int)n, fn = (int)m, fk = (int)k, fa = (int)ldb, fb = (int)lda, fc = (int)n;
    const double one = 1;
    keep_to_one_thread();
    if (m > 0 && n > 0) dgemm_(&trans_b, &trans_a, &fm, &fn, &fk, &one, b, &fa, a, &fb, &beta, c, &fc, 1, 1);
}

void mn_dense_product(double *c, const double *a, const double *b, int64_t m, int64_t n, int64_t k) {
    multiply('N', 'N', m, n, k, a, k, b, n, 0, c);
}

void mn_dense_product_bt(double *c, const double *a, const double *b, int64_t m, int64_t n, int64_t k) {
    multiply('N', 'T', m, n, k, a, k, b, k, 0, c);
}

void mn_dense_add_product_at(double *c, const double *a, const double *b, int64_t m, int64_t n, int64_t k) {
    multiply('T', 'N', m, n, k, a, m, b, n, 1, c);
}

double mn_dense_dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Smallest first comes from LAPACK. */
static void reverse(double *rows, double *values, int64_t n) {
    for (int64_t lo = 0, hi = n - 1; lo < hi; lo++, hi--) {
        double value = values[lo];
        values[lo] = values[hi];
        values[hi] = value;
        for (int64_t i = 0; i < n; i++) {
            double x = rows[lo * n + i];
            rows[lo * n + i] = rows[hi * n + i];
            rows[hi * n + i] = x;
        }
    }
}

static void choose_signs(double *rows, int64_t n) {
    for (int64_t r = 0; r < n; r++) {
        double *row = rows + r * n, largest = 0;
        for (int64_t i = 0; i < n; i++)
            if (fabs(row[i]) > fabs(largest) * (1 + 1e-9)) largest = row[i];
        for (int64_t i = 0; largest < 0 && i < n; i++) row[i] = -row[i];
    }
}

mn_status mn_dense_eigen(double *a, int64_t n, double *values, mn_error *err) {
    if (n > MAX_ORDER)
        return mn_fail(err, MN_ERR_LIMIT, "a %lld x %lld matrix is beyond the %d rows that LAPACK's numbers hold.",
                       (long long)n, (long long)n, MAX_ORDER);
    const int order = (int)n, ask = -1;
    int info = 0, n_whole = 0;
    double best = 0;
    keep_to_one_thread();
    dsyevd_("V", "U", &order, a, &order, values, &best, &ask, &n_whole, &ask, &info, 1, 1);
    const int n_work = (int)best, n_iwork = n_whole;
    double *work = malloc(((size_t)n_work + 1) * sizeof *work);
    int *whole = malloc(((size_t)n_iwork + 1) * sizeof *whole);
    mn_status status = MN_OK;
    if (!work || !whole)
        status = mn_fail(err, MN_ERR_MEMORY, "no memory for the eigenvectors of a %lld x %lld matrix.", (long long)n,
                         (long long)n);
    else
        dsyevd_("V", "U", &order, a, &order, values, work, &n_work, whole, &n_iwork, &info, 1, 1);
    free(work);
    free(whole);
    if (status != MN_OK) return status;
    if (info != 0)
        return mn_fail(err, MN_ERR_FORMAT,
                       "a %lld x %lld matrix has no eigenvectors that LAPACK finds (it says %d): the weights may hold "
                       "values that are not finite.",
                       (long long)n, (long long)n, info);
    reverse(a, values, n);
    choose_signs(a, n);
    return MN_OK;
}
