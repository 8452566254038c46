/* base/pool: every item is handled once, at any thread count and grain; thread indexes stay in range. */
#include "support/support.h"

#include <stdatomic.h>
#include <string.h>

#include "base/pool.h"

typedef struct tally {
    _Atomic int counts[1000];
    _Atomic int bad;
    int n_threads;
} tally;

static void count(void *arg, int64_t begin, int64_t end, int thread_index) {
    tally *t = arg;
    if (thread_index < 0 || thread_index >= t->n_threads) atomic_fetch_add(&t->bad, 1);
    for (int64_t i = begin; i < end; i++) atomic_fetch_add(&t->counts[i], 1);
}

static void every_item_once(void **state) {
    (void)state;
    for (int n_threads = 1; n_threads <= 7; n_threads += 2) {
        mn_pool *pool;
        mn_error err;
        assert_ok(mn_pool_create(n_threads, &pool, &err), err);
        for (int n = 0; n < 1000; n += 37)
            for (int grain = 1; grain < 100; grain = grain * 3 + 1) {
                static tally t;
                for (int i = 0; i < 1000; i++) t.counts[i] = 0;
                t.n_threads = n_threads;
                mn_pool_run(pool, n, grain, count, &t);
                for (int i = 0; i < 1000; i++) assert_int_equal(t.counts[i], i < n);
                assert_int_equal(t.bad, 0);
            }
        mn_pool_destroy(pool);
    }
}

static void refuses_silly_counts(void **state) {
    (void)state;
    mn_pool *pool;
    mn_error err;
    assert_int_equal(mn_pool_create(-1, &pool, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "-1 threads"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_item_once), cmocka_unit_test(refuses_silly_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
