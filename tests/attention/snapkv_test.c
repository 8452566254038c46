/* SnapKV: what stays after a prompt, against the paper's definition in double precision, and attention over it. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/attention.h"
#include "attention/patterns/snapkv.h"
#include "base/checked.h"
#include "kernels/kernels.h"
#include "kvcache/kvcache.h"

enum { N_KV_HEADS = 2, GROUP = 2, N_HEADS = N_KV_HEADS * GROUP, DIM = 32, N = 500, WINDOW = 16, N_KEPT = 90 };

/* A cache of one layer with N rows, one row to come, and the queries of the last WINDOW rows and of that one. */
typedef struct prompt {
    float k[N + 1][N_KV_HEADS][DIM], v[N + 1][N_KV_HEADS][DIM], q[WINDOW + 1][N_HEADS][DIM], out[WINDOW][N_HEADS][DIM];
    mn_kvcache *cache;
    mn_arena scratch;
    mn_compute compute;
    mn_attend call;
} prompt;

static prompt *create(bool equal_keys, int n_threads) {
    prompt *p = calloc(1, sizeof *p);
    mn_error err;
    mn_kv_shape shape = mn_kv_shape_alike(1, (mn_kv_layer){N_KV_HEADS, DIM, DIM}, false, MN_F32, MN_F32);
    p->compute = (mn_compute){mn_kernels_get(MN_CPU_GENERIC), NULL, &p->scratch, true, NULL};
    assert_ok(mn_pool_create(n_threads, &p->compute.pool, &err), err);
    fill_normal(&p->k[0][0][0], sizeof p->k / sizeof(float), 1);
    fill_normal(&p->v[0][0][0], sizeof p->v / sizeof(float), 2);
    fill_normal(&p->q[0][0][0], sizeof p->q / sizeof(float), 3);
    for (int j = 1; equal_keys && j < N; j++) memcpy(p->k[j], p->k[0], sizeof p->k[0]);
    assert_ok(mn_kvcache_create(&shape, N + 1, &p->cache, &err), err);
    mn_kvcache_append(p->cache, &p->compute, 0, 0, N, p->k[0][0], N_KV_HEADS * DIM, p->v[0][0], N_KV_HEADS * DIM);
    p->call = (mn_attend){.q = p->q[0][0],
                          .out = p->out[0][0],
                          .q_stride = N_HEADS * DIM,
                          .out_stride = N_HEADS * DIM,
                          .n_rows = WINDOW,
                          .first_token = N - WINDOW,
                          .n_heads = N_HEADS,
                          .scale = 0.4f,
                          .kv = mn_kvcache_view(p->cache, 0, N)};
    return p;
}

static void destroy(prompt *p) {
    mn_kvcache_destroy(p->cache);
    mn_arena_release(&p->scratch);
    mn_pool_destroy(p->compute.pool);
    free(p);
}

static void choose(prompt *p, int32_t kept[N_KV_HEADS][N_KEPT]) {
    mn_error err;
    assert_ok(mn_snapkv_choose(&p->compute, &p->call, N_KEPT, kept[0], &err), err);
}

static double weight(const prompt *p, const float *q, int head, int j) {
    double sum = 0;
    for (int d = 0; d < DIM; d++) sum += (double)q[d] * p->k[j][head / GROUP][d];
    return exp((double)p->call.scale * sum);
}

/* The paper, word for word: votes, pooling by five with zeros beyond the borders, the best, the window. */
static void define(const prompt *p, int kv_head, bool *stays) {
    double votes[N] = {0}, pooled[N];
    for (int r = 0; r < WINDOW; r++)
        for (int head = kv_head * GROUP; head < (kv_head + 1) * GROUP; head++) {
            double total = 0;
            for (int j = 0; j <= N - WINDOW + r; j++) total += weight(p, p->q[r][head], head, j);
            for (int j = 0; j < N - WINDOW; j++) votes[j] += weight(p, p->q[r][head], head, j) / total;
        }
    for (int j = 0; j < N - WINDOW; j++) {
        pooled[j] = 0;
        for (int i = -2; i <= 2; i++) pooled[j] += j + i >= 0 && j + i < N - WINDOW ? votes[j + i] / 5 : 0;
    }
    for (int j = 0; j < N; j++) stays[j] = j >= N - WINDOW;
    for (int n = 0; n < N_KEPT - WINDOW; n++) {
        int best = -1;
        for (int j = 0; j < N - WINDOW; j++)
            if (!stays[j] && (best < 0 || pooled[j] > pooled[best])) best = j;
        stays[best] = true;
    }
}

static void keeps_what_the_window_looks_at(void **state) {
    (void)state;
    int32_t kept[N_KV_HEADS][N_KEPT], again[N_KV_HEADS][N_KEPT];
    prompt *p = create(false, 1), *threads = create(false, 3);
    choose(p, kept);
    choose(threads, again);
    assert_memory_equal(kept, again, sizeof kept);
    for (int h = 0; h < N_KV_HEADS; h++) {
        bool stays[N];
        define(p, h, stays);
        for (int j = 0, n = 0; j < N; j++)
            if (stays[j]) assert_int_equal(kept[h][n++], j);
    }
    destroy(p);
    destroy(threads);
}

/* Keys that are all alike tie, but for the two at each border, whose neighbourhoods are divided by five all the same.
 */
static void equal_votes_take_the_lowest_key(void **state) {
    (void)state;
    int32_t kept[N_KV_HEADS][N_KEPT];
    prompt *p = create(true, 1);
    choose(p, kept);
    for (int h = 0; h < N_KV_HEADS; h++)
        for (int i = 0; i < N_KEPT; i++) assert_int_equal(kept[h][i], i < N_KEPT - WINDOW ? i + 2 : N - N_KEPT + i);
    destroy(p);
}

/* After the eviction a new token attends to the kept rows and itself, as under a dense mask over the whole prompt. */
static void later_rows_see_what_was_kept(void **state) {
    (void)state;
    int32_t kept[N_KV_HEADS][N_KEPT];
    mn_error err;
    prompt *p = create(false, 2);
    choose(p, kept);
    mn_kvcache_gather(p->cache, &p->compute, 0, kept[0], N_KEPT);
    mn_kvcache_drop_after(p->cache, N_KEPT);
    assert_int_equal(mn_kvcache_bytes(p->cache), mn_kv_slab_bytes(mn_kvcache_shape(p->cache)));
    mn_kvcache_append(p->cache, &p->compute, 0, N_KEPT, 1, p->k[N][0], N_KV_HEADS * DIM, p->v[N][0], N_KV_HEADS * DIM);
    mn_attend a = p->call;
    a.q = p->q[WINDOW][0];
    a.n_rows = 1;
    a.first_token = N_KEPT;
    a.kv = mn_kvcache_view(p->cache, 0, N_KEPT + 1);
    assert_ok(mn_attention(&p->compute, &a, &err), err);
    for (int h = 0; h < N_HEADS; h++) {
        bool stays[N + 1];
        double want[DIM] = {0}, total = 0;
        define(p, h / GROUP, stays);
        stays[N] = true;
        for (int j = 0; j <= N; j++) {
            double w = stays[j] ? weight(p, p->q[WINDOW][h], h, j) : 0;
            total += w;
            for (int d = 0; d < DIM; d++) want[d] += w * p->v[j][h / GROUP][d];
        }
        for (int d = 0; d < DIM; d++) assert_true(fabs(want[d] / total - p->out[0][h][d]) <= 2e-6);
    }
    destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_the_window_looks_at),
        cmocka_unit_test(equal_votes_take_the_lowest_key),
        cmocka_unit_test(later_rows_see_what_was_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
