#include "base/pool.h"

#include "base/checked.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_THREADS = 1024, SPINS_BEFORE_SLEEP = 20000, INDEX_BITS = 42 };

static const uint64_t index_mask = (UINT64_C(1) << INDEX_BITS) - 1; /* as an index: closed */

typedef struct worker {
    mn_pool *pool;
    pthread_t thread;
    int index;
} worker;

/* A loop is open when the ticket's index is below n_items. A worker reads the loop's fields, then takes a range by
 * compare-and-swap on the ticket: the swap fails if the loop has changed, because the caller closes the ticket before
 * it writes the fields of the next loop. So the caller waits for ranges taken, never for a worker that has not woken.
 */
struct mn_pool {
    int n_threads;
    bool dry;        /* no workers, no work */
    worker *workers; /* n_threads - 1 of them: the caller is thread 0 */
    mn_pool_fn *_Atomic fn;
    void *_Atomic arg;
    _Atomic int64_t n_items, grain;
    _Atomic uint64_t ticket; /* loop number << INDEX_BITS | next item */
    _Atomic int64_t n_done;  /* items finished in this loop */
    _Atomic unsigned epoch;  /* counts loops: a worker that sees it move has work */
    _Atomic bool stop;
    _Atomic int n_sleeping;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

static inline void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_ranges(mn_pool *pool, int thread_index) {
    uint64_t ticket = atomic_load(&pool->ticket);
    for (;;) {
        int64_t begin = (int64_t)(ticket & index_mask),
                n_items = atomic_load_explicit(&pool->n_items, memory_order_relaxed);
        int64_t end = MN_MIN(begin + atomic_load_explicit(&pool->grain, memory_order_relaxed), n_items);
        mn_pool_fn *fn = atomic_load_explicit(&pool->fn, memory_order_relaxed);
        void *arg = atomic_load_explicit(&pool->arg, memory_order_relaxed);
        if (begin >= n_items) return;
        if (!atomic_compare_exchange_strong(&pool->ticket, &ticket, ticket + (uint64_t)(end - begin))) continue;
        fn(arg, begin, end, thread_index);
        atomic_fetch_add_explicit(&pool->n_done, end - begin, memory_order_release);
        ticket = atomic_load(&pool->ticket);
    }
}

static unsigned wait_for_epoch(mn_pool *pool, unsigned seen) {
    for (int spin = 0; spin < SPINS_BEFORE_SLEEP; spin++) {
        unsigned epoch = atomic_load_explicit(&pool->epoch, memory_order_acquire);
        if (epoch != seen) return epoch;
        cpu_relax();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->n_sleeping, 1);
    while (atomic_load(&pool->epoch) == seen) pthread_cond_wait(&pool->wake, &pool->mutex);
    atomic_fetch_sub(&pool->n_sleeping, 1);
    pthread_mutex_unlock(&pool->mutex);
    return atomic_load(&pool->epoch);
}

static void *worker_main(void *arg) {
    worker *self = arg;
    mn_pool *pool = self->pool;
    for (unsigned seen = 0;;) {
        seen = wait_for_epoch(pool, seen);
        if (atomic_load(&pool->stop)) return NULL;
        take_ranges(pool, self->index);
    }
}

/* A worker that is about to sleep holds the mutex from its last look at the epoch to the wait, so no wake is lost. */
static void announce(mn_pool *pool) {
    atomic_fetch_add(&pool->epoch, 1);
    if (atomic_load(&pool->n_sleeping) == 0) return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

static int online_cores(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (int)MN_MIN(n, MAX_THREADS);
}

mn_status mn_pool_create(int n_threads, mn_pool **out, mn_error *err) {
    if (n_threads < 0 || n_threads > MAX_THREADS)
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_THREADS, 0}),
                            "%d threads is outside 1..%d; 0 stands for one per core.", n_threads, MAX_THREADS);
    if (n_threads == 0) n_threads = online_cores();
    mn_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return mn_fail(err, MN_ERR_MEMORY, "no memory for a thread pool.");
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->n_threads = 1;
    pool->workers = calloc((size_t)n_threads, sizeof *pool->workers);
    if (!pool->workers) goto fail;
    for (; pool->n_threads < n_threads; pool->n_threads++) {
        worker *w = &pool->workers[pool->n_threads - 1];
        *w = (worker){.pool = pool, .index = pool->n_threads};
        if (pthread_create(&w->thread, NULL, worker_main, w)) goto fail;
    }
    *out = pool;
    return MN_OK;
fail:
    mn_pool_destroy(pool);
    return mn_fail_with(err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_THREADS, 1}), "cannot start %d threads; use fewer.",
                        n_threads);
}

mn_status mn_pool_create_dry(int n_threads, mn_pool **out, mn_error *err) {
    MN_TRY(mn_pool_create(1, out, err));
    (*out)->n_threads = n_threads;
    (*out)->dry = true;
    return MN_OK;
}

void mn_pool_destroy(mn_pool *pool) {
    if (!pool) return;
    atomic_store(&pool->stop, true);
    announce(pool);
    for (int i = 0; i < pool->n_threads - 1 && !pool->dry; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->workers);
    free(pool);
}

int mn_pool_threads(const mn_pool *pool) { return pool ? pool->n_threads : 1; }

bool mn_pool_is_dry(const mn_pool *pool) { return pool && pool->dry; }

static void open_loop(mn_pool *pool, int64_t n_items, int64_t grain, mn_pool_fn *fn, void *arg) {
    uint64_t loop = (atomic_load(&pool->ticket) >> INDEX_BITS) + 1;
    atomic_store(&pool->ticket, loop << INDEX_BITS | index_mask);
    atomic_store(&pool->fn, fn);
    atomic_store(&pool->arg, arg);
    atomic_store(&pool->n_items, n_items);
    atomic_store(&pool->grain, grain);
    atomic_store(&pool->n_done, 0);
    atomic_store(&pool->ticket, (loop + 1) << INDEX_BITS);
}

void mn_pool_run(mn_pool *pool, int64_t n_items, int64_t grain, mn_pool_fn *fn, void *arg) {
    if (n_items <= 0 || (pool && pool->dry)) return;
    if (!pool || pool->n_threads == 1 || n_items <= grain) {
        for (int64_t begin = 0; begin < n_items; begin += grain) fn(arg, begin, MN_MIN(begin + grain, n_items), 0);
        return;
    }
    open_loop(pool, n_items, grain, fn, arg);
    announce(pool);
    take_ranges(pool, 0);
    for (int spin = 0; atomic_load_explicit(&pool->n_done, memory_order_acquire) < n_items; spin++) {
        if (spin < SPINS_BEFORE_SLEEP)
            cpu_relax();
        else
            sched_yield();
    }
}
