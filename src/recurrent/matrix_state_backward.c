#include "recurrent/matrix_state_backward.h"

#include "recurrent/matrix_chunk_backward.h"

typedef struct job {
    const mn_kernels *kernels;
    const mn_matrix_state *shape;
    const mn_matrix_rows *rows;
    const mn_matrix_grad *g;
    int chunk;
    float *d_q, *d_k; /* [n_rows, n_heads, k_dim] */
    float *work;      /* of each thread */
    size_t work_floats;
} job;

static void back_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    const job *j = arg;
    float *work = j->work + (size_t)thread_index * j->work_floats;
    for (int64_t head = begin; head < end; head++) {
        mn_matrix_head_grad g = {j->g, j->d_q, j->d_k};
        mn_matrix_chunk_backward(j->kernels, j->shape, j->rows, (int)head, j->chunk, &g, work);
    }
}

/* Heads of a key head, one after the other. */
static void sum_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const job *j = arg;
    const mn_matrix_state *s = j->shape;
    const mn_vec_kernels *vec = &j->kernels->vec;
    for (int64_t row = begin; row < end; row++)
        for (int head = 0; head < s->n_heads; head++) {
            int k_head = s->tiled ? head % s->n_k_heads : head / (s->n_heads / s->n_k_heads);
            int64_t from = (row * s->n_heads + head) * s->k_dim, to = (int64_t)k_head * s->k_dim;
            float *d_q = j->g->d_q + row * j->rows->q_stride + to, *d_k = j->g->d_k + row * j->rows->k_stride + to;
            vec->add(d_q, d_q, j->d_q + from, s->k_dim);
            vec->add(d_k, d_k, j->d_k + from, s->k_dim);
        }
}

mn_status mn_matrix_state_backward(const mn_compute *c, const mn_matrix_state *s, const mn_matrix_rows *rows,
                                   const mn_matrix_grad *g, int chunk, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    size_t n = (size_t)rows->n_rows * (size_t)s->n_heads;
    job j = {.kernels = c->kernels, .shape = s, .rows = rows, .g = g, .chunk = chunk};
    j.work_floats = mn_matrix_chunk_backward_floats(s, rows->n_rows, chunk);
    j.d_q = mn_arena_alloc(c->scratch, n, (size_t)s->k_dim * sizeof *j.d_q);
    j.d_k = mn_arena_alloc(c->scratch, n, (size_t)s->k_dim * sizeof *j.d_k);
    j.work = mn_arena_alloc(c->scratch, (size_t)mn_pool_threads(c->pool), j.work_floats * sizeof *j.work);
    if (!j.d_q || !j.d_k || !j.work)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for the backward of states of %d by %d.", s->k_dim, s->v_dim);
    mn_pool_run(c->pool, s->n_heads, 1, back_heads, &j);
    mn_pool_run(c->pool, rows->n_rows, 16, sum_rows, &j);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
