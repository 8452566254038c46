#include "support/support.h"

#include "base/checked.h"
#include "kernels/each.h"

#include <string.h>

enum { N = 100 };

typedef struct work {
    int64_t squares[N];
    int64_t fails_from; /* pieces from here on fail */
    bool alone;
} work;

static mn_status square(const mn_compute *c, void *arg, int64_t i, mn_error *err) {
    work *w = arg;
    int64_t *room = mn_arena_alloc(c->scratch, 1000, sizeof *room);
    if (!room || (w->alone && c->pool)) return mn_fail(err, MN_ERR_MEMORY, "no memory.");
    if (i >= w->fails_from) return mn_fail(err, MN_ERR_FORMAT, "piece %lld.", (long long)i);
    room[i] = i * i; /* two threads in one arena would step on each other's toes here */
    w->squares[i] = room[i];
    return MN_OK;
}

static void run(int n_threads, bool alone, int64_t fails_from) {
    mn_pool *pool;
    mn_error err;
    mn_arena scratch = MN_ARENA_INIT, arenas[4] = {MN_ARENA_INIT};
    work w = {.fails_from = fails_from, .alone = alone && n_threads > 1};
    assert_ok(mn_pool_create(n_threads, &pool, &err), err);
    mn_compute c = {.pool = pool, .scratch = &scratch};
    mn_status status = mn_each(&c, alone ? arenas : NULL, N, square, &w, &err);
    assert_int_equal(status, fails_from < N ? MN_ERR_FORMAT : MN_OK);
    for (int i = 0; i < MN_MIN(fails_from, N); i++) assert_int_equal(w.squares[i], i * i);
    if (fails_from < N) assert_string_equal(err.text, "piece 60.");
    assert_int_equal(scratch.used_bytes, 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(arenas[i].used_bytes, 0);
        mn_arena_release(&arenas[i]);
    }
    mn_arena_release(&scratch);
    mn_pool_destroy(pool);
}

static void test_does_every_piece_once(void **state) {
    (void)state;
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        run(n_threads, false, N);
        run(n_threads, true, N);
    }
}

/* Whatever thread it falls to, the first piece that fails is the one that is told of. */
static void test_tells_the_first_failure(void **state) {
    (void)state;
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        run(n_threads, false, 60);
        run(n_threads, true, 60);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_does_every_piece_once),
        cmocka_unit_test(test_tells_the_first_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
