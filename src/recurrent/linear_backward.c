#include "recurrent/linear_backward.h"

#include "recurrent/associative_backward.h"

#include <string.h>

static const float EPSILON = 1e-6f;

typedef struct job {
    const mn_kernels *kernels;
    const mn_linear *shape;
    const mn_linear_grad *g;
    float *work; /* [n_kv_heads, work_floats] */
    size_t work_floats;
    float *normalisers; /* [n_rows, n_heads]: n_t */
} job;

/* One KV head's work. */
typedef struct head {
    mn_memory_matrix m;
    float *feature, *d_feature, *a; /* [k_dim] twice, [v_dim] */
} head;

static head head_of(const job *j, int64_t kv_head) {
    const mn_linear *s = j->shape;
    float *work = j->work + kv_head * (int64_t)j->work_floats;
    head h = {.m = mn_memory_view(j->kernels, work, s->k_dim, s->v_dim)};
    h.feature = work + mn_memory_floats(s->k_dim, s->v_dim);
    h.d_feature = h.feature + s->k_dim;
    h.a = h.d_feature + s->k_dim;
    return h;
}

/* a = d / n, and b = -(d . out) / n of a query row. */
static float split_gradient(const job *j, const head *h, int64_t q_row) {
    int n = j->shape->v_dim;
    const float *d = j->g->d_out + q_row * n, *out = j->g->out + q_row * n;
    float inverse = 1 / j->normalisers[q_row];
    j->kernels->vec.scale(h->a, d, inverse, n);
    return -inverse * j->kernels->vec.dot(d, out, n);
}

/* Forward in time: the gradients of queries. */
static void run_forward(const job *j, const head *h, int64_t kv_head) {
    const mn_linear *s = j->shape;
    const mn_vec_kernels *vec = &j->kernels->vec;
    int group = s->n_heads / s->n_kv_heads;
    for (int64_t row = 0; row < j->g->n_rows; row++) {
        int64_t kv_row = row * s->n_kv_heads + kv_head;
        mn_feature_elu1(j->kernels, h->feature, j->g->k + kv_row * s->k_dim, s->k_dim);
        mn_memory_store(&h->m, h->feature, j->g->v + kv_row * s->v_dim, 1);
        vec->add(h->m.z, h->m.z, h->feature, s->k_dim);
        for (int64_t q_row = row * s->n_heads + kv_head * group, end = q_row + group; q_row < end; q_row++) {
            const float *q = j->g->q + q_row * s->k_dim;
            mn_feature_elu1(j->kernels, h->feature, q, s->k_dim);
            j->normalisers[q_row] = vec->dot(h->m.z, h->feature, s->k_dim) + EPSILON;
            float b = split_gradient(j, h, q_row);
            vec->scale(h->d_feature, h->m.z, b, s->k_dim);
            mn_memory_add_keys(&h->m, h->d_feature, h->a, 1);
            mn_feature_elu1_backward(j->kernels, j->g->d_q + q_row * s->k_dim, q, h->feature, h->d_feature, s->k_dim);
        }
    }
}

/* Backward in time: those of keys and values. The matrix is R, its z is r. */
static void run_backward(const job *j, const head *h, int64_t kv_head) {
    const mn_linear *s = j->shape;
    const mn_vec_kernels *vec = &j->kernels->vec;
    int group = s->n_heads / s->n_kv_heads;
    mn_memory_load(&h->m, NULL);
    for (int64_t row = j->g->n_rows - 1; row >= 0; row--) {
        int64_t kv_row = row * s->n_kv_heads + kv_head;
        for (int64_t q_row = row * s->n_heads + kv_head * group, end = q_row + group; q_row < end; q_row++) {
            mn_feature_elu1(j->kernels, h->feature, j->g->q + q_row * s->k_dim, s->k_dim);
            float b = split_gradient(j, h, q_row);
            mn_memory_store(&h->m, h->feature, h->a, 1);
            vec->axpy(h->m.z, h->feature, b, s->k_dim);
        }
        const float *k = j->g->k + kv_row * s->k_dim;
        float *d_v = j->g->d_v + kv_row * s->v_dim;
        mn_feature_elu1(j->kernels, h->feature, k, s->k_dim);
        mn_memory_recall(&h->m, h->a, h->feature);
        vec->add(d_v, d_v, h->a, s->v_dim);
        memcpy(h->d_feature, h->m.z, (size_t)s->k_dim * sizeof *h->d_feature);
        mn_memory_add_keys(&h->m, h->d_feature, j->g->v + kv_row * s->v_dim, 1);
        mn_feature_elu1_backward(j->kernels, j->g->d_k + kv_row * s->k_dim, k, h->feature, h->d_feature, s->k_dim);
        if (j->g->detach > 0 && (j->g->first_token + row) % j->g->detach == 0) mn_memory_load(&h->m, NULL);
    }
}

static void run_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const job *j = arg;
    size_t bytes = mn_associative_bytes(j->shape->k_dim, j->shape->v_dim);
    for (int64_t kv_head = begin; kv_head < end; kv_head++) {
        head h = head_of(j, kv_head);
        mn_memory_load(&h.m, j->g->state ? (const char *)j->g->state + (size_t)kv_head * bytes : NULL);
        run_forward(j, &h, kv_head);
        run_backward(j, &h, kv_head);
    }
}

mn_status mn_linear_backward(const mn_compute *c, const mn_linear *s, const mn_linear_grad *g, mn_error *err) {
    if (g->state) MN_TRY(mn_associative_check(g->state, s->n_kv_heads, s->k_dim, s->v_dim, err));
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    job j = {c->kernels, s, g, NULL, mn_memory_floats(s->k_dim, s->v_dim) + 2 * (size_t)s->k_dim + (size_t)s->v_dim,
             NULL};
    j.work = mn_arena_alloc(c->scratch, (size_t)s->n_kv_heads * j.work_floats, sizeof *j.work);
    j.normalisers = mn_arena_alloc(c->scratch, (size_t)g->n_rows * (size_t)s->n_heads, sizeof *j.normalisers);
    mn_status status = MN_OK;
    if (j.work && j.normalisers)
        mn_pool_run(c->pool, s->n_kv_heads, 1, run_heads, &j);
    else
        status = mn_fail(err, MN_ERR_MEMORY, "no memory for the backward of linear attention.");
    mn_arena_rewind(c->scratch, mark);
    return status;
}
