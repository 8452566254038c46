#include "mlp/hash_layer.h"

#include "kernels/kernels.h"

#include <string.h>

enum { ROWS_GRAIN = 64 }; /* rows of a thread at a time */

typedef struct hash_job {
    const mn_router *router;
    const int32_t *table, *tokens;
    const int64_t *rows;
    int32_t *ids;
    float *weights;
    float *logits;
    const mn_kernels *kernels;
} hash_job;

static void hash_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const hash_job *j = arg;
    int64_t n = j->router->n_used;
    for (int64_t r = begin; r < end; r++) {
        const int32_t *experts = j->table + j->tokens[j->rows ? j->rows[r] : r] * n;
        memcpy(j->ids + r * n, experts, (size_t)n * sizeof *experts);
        mn_router_weigh(j->router, j->kernels, experts, j->logits + r * j->router->n_experts, j->weights + r * n);
    }
}

void mn_route_by_hash(const mn_compute *c, const mn_router *router, const int32_t *table, const int32_t *tokens,
                      const int64_t *rows, int32_t *ids, float *weights, float *logits, int64_t n_rows) {
    hash_job j = {router, table, tokens, rows, ids, weights, logits, c->kernels};
    if (mn_pool_is_dry(c->pool)) mn_route_alike(router, ids, n_rows);
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, hash_rows, &j);
}

const mn_technique mn_hash_layer_about = {
    .name = "experts by the token's id (hash layers)",
    .paper = "Roller et al. 2021 (arXiv:2106.04426)",
    .file = "src/mlp/hash_layer.c",
    .test = "tests/mlp/hash_layer_test.c",
    .exact = true,
    .training = MN_TRAINING_DONE,
};
