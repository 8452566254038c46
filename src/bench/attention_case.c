#include "bench/attention_case.h"

#include "attention/attention.h"
#include "attention/visible.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "kernels/attend.h"

static size_t row_bytes_of(mn_dtype type, int dim) {
    return mn_dtype_row_bytes(type, mn_dtype_get(type)->quantised ? (dim + 31) & ~31 : dim);
}

/* On huge pages where the system has them: scattered 4 KiB pages cost more in address translation than in reading. */
static char *create_huge(size_t bytes) {
    enum { HUGE_BYTES = 2 << 20 };
    bytes = (bytes + HUGE_BYTES - 1) & ~(size_t)(HUGE_BYTES - 1);
    char *block = aligned_alloc(HUGE_BYTES, bytes);
    if (block) madvise(block, bytes, MADV_HUGEPAGE);
    return block;
}

/* All pages in one block, every one a copy of the first, whose rows are random. NULL when memory ends. */
static char *create_pages(const mn_attend_shape *s, mn_dtype type, int dim, int64_t n_pages, const void **pages) {
    size_t row_bytes = row_bytes_of(type, dim), page_bytes = row_bytes * (size_t)s->n_kv_heads * MN_PAGE_TOKENS;
    char *block = create_huge(page_bytes * (size_t)n_pages);
    if (!block) return NULL;
    mn_random rng;
    mn_random_seed(&rng, 1, (uint64_t)dim);
    float row[MN_ATTEND_MAX_DIM] = {0};
    for (size_t i = 0; i < page_bytes; i += row_bytes) {
        for (int j = 0; j < dim; j++) row[j] = (float)mn_random_normal(&rng);
        mn_from_f32(type, row, block + i, mn_dtype_get(type)->quantised ? (dim + 31) & ~31 : dim);
    }
    for (int64_t i = 0; i < n_pages; i++) {
        pages[i] = block + (size_t)i * page_bytes;
        if (i) memcpy(block + (size_t)i * page_bytes, block, page_bytes);
    }
    return block;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static mn_status time_calls(const mn_compute *c, const mn_attend *a, int n_calls, double *median, mn_error *err) {
    double seconds[64];
    n_calls = MN_MIN(n_calls, 64);
    for (int i = -1; i < n_calls; i++) {
        double start = mn_clock_seconds();
        MN_TRY(mn_attention(c, a, err));
        if (i >= 0) seconds[i] = mn_clock_seconds() - start;
    }
    qsort(seconds, (size_t)n_calls, sizeof *seconds, by_value);
    *median = seconds[n_calls / 2];
    return MN_OK;
}

static mn_status measure_call(const mn_compute *c, const mn_attend_shape *s, mn_attend *a, int n_calls,
                              mn_attend_speed *out, mn_error *err) {
    if (s->pattern) MN_TRY(mn_pattern_apply(s->pattern, c, s->layer, a, err));
    MN_TRY(time_calls(c, a, n_calls, &out->seconds, err));
    mn_pair_count pairs = mn_visible_pairs(a);
    out->flops = 2.0 * (s->k_dim + s->v_dim) * s->n_heads * pairs.all;
    out->bytes = (double)(a->kv.k_row_bytes + a->kv.v_row_bytes) * s->n_kv_heads * pairs.last_row;
    return MN_OK;
}

mn_status mn_attend_measure(const mn_compute *c, const mn_attend_shape *s, int n_calls, mn_attend_speed *out,
                            mn_error *err) {
    int64_t n_tokens = s->depth + s->n_rows, n_pages = (n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    int64_t q_floats = s->n_rows * s->n_heads * s->k_dim, out_floats = s->n_rows * s->n_heads * s->v_dim;
    const void **pages = malloc((size_t)n_pages * 2 * sizeof *pages);
    float *q = malloc((size_t)(q_floats + out_floats) * sizeof *q);
    char *keys = pages ? create_pages(s, s->k_type, s->k_dim, n_pages, pages) : NULL;
    char *values = pages ? create_pages(s, s->v_type, s->v_dim, n_pages, pages + n_pages) : NULL;
    mn_status status = MN_ERR_MEMORY;
    if (q && keys && values) {
        mn_random rng;
        mn_random_seed(&rng, 2, 2);
        for (int64_t i = 0; i < q_floats; i++) q[i] = (float)mn_random_normal(&rng);
        mn_kv_view kv = {pages,
                         pages + n_pages,
                         s->k_type,
                         s->v_type,
                         row_bytes_of(s->k_type, s->k_dim),
                         row_bytes_of(s->v_type, s->v_dim),
                         s->n_kv_heads,
                         s->k_dim,
                         s->v_dim,
                         n_tokens,
                         NULL};
        mn_attend a = {.q = q,
                       .out = q + q_floats,
                       .q_stride = s->n_heads * s->k_dim,
                       .out_stride = s->n_heads * s->v_dim,
                       .n_rows = s->n_rows,
                       .first_token = s->depth,
                       .n_heads = s->n_heads,
                       .scale = 1 / sqrtf((float)s->k_dim),
                       .kv = kv};
        mn_arena_mark mark = mn_arena_get_mark(c->scratch);
        status = measure_call(c, s, &a, n_calls, out, err);
        mn_arena_rewind(c->scratch, mark);
    } else {
        status = mn_fail(err, MN_ERR_MEMORY, "no memory for %lld cached tokens.", (long long)n_tokens);
    }
    free(keys);
    free(values);
    free(q);
    free(pages);
    return status;
}
