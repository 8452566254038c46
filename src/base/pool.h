/* Thread pool: the calling thread and n_threads - 1 workers share the items of one loop.
 *
 * Work is split over outputs, so no result depends on n_threads or on which worker takes which range. Workers spin
 * briefly after a loop before they sleep: decoding runs some hundred small loops per token.
 */
#ifndef MN_BASE_POOL_H
#define MN_BASE_POOL_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct mn_pool mn_pool;

/* Handles items [begin, end). thread_index in [0, n_threads) is unique among ranges that run at the same time, so it
 * may index per-thread scratch; results must not depend on it. */
typedef void mn_pool_fn(void *arg, int64_t begin, int64_t end, int thread_index);

/* n_threads >= 1; 0 = one per online core. The caller closes it with mn_pool_destroy. */
mn_status mn_pool_create(int n_threads, mn_pool **out, mn_error *err);
/* A pool that counts as n_threads and runs nothing: what code allocates around its loops can be seen without the work.
 */
mn_status mn_pool_create_dry(int n_threads, mn_pool **out, mn_error *err);
void mn_pool_destroy(mn_pool *pool);
int mn_pool_threads(const mn_pool *pool);
bool mn_pool_is_dry(const mn_pool *pool);

/* Runs fn over [0, n_items) in ranges of at most `grain` items (>= 1), handed out as threads come free, and returns
 * when all are done. One loop at a time per pool, started by one thread; loops do not nest. pool may be NULL: the
 * caller runs it all. */
void mn_pool_run(mn_pool *pool, int64_t n_items, int64_t grain, mn_pool_fn *fn, void *arg);

#endif
