#include "recurrent/linear.h"

#include "recurrent/associative.h"
#include "base/checked.h"

static const float EPSILON = 1e-6f;

typedef struct step {
    const mn_kernels *kernels;
    const mn_linear *shape;
    char *state;
    float *out, *features; /* features: [n_kv_heads, k_dim], one row for each head at work */
    const float *q, *k, *v;
    int64_t n_rows;
} step;

size_t mn_linear_state_bytes(const mn_linear *shape) {
    size_t bytes;
    if (shape->n_kv_heads <= 0) return 0;
    return mn_mul_size(mn_associative_bytes(shape->k_dim, shape->v_dim), (size_t)shape->n_kv_heads, &bytes) ? bytes : 0;
}

static void take_row(const step *s, mn_associative *m, int kv_head, int64_t row) {
    const mn_linear *shape = s->shape;
    int group = shape->n_heads / shape->n_kv_heads;
    float *feature = s->features + (int64_t)kv_head * shape->k_dim;
    int64_t kv_row = row * shape->n_kv_heads + kv_head;
    mn_feature_elu1(s->kernels, feature, s->k + kv_row * shape->k_dim, shape->k_dim);
    mn_associative_store(s->kernels, m, feature, s->v + kv_row * shape->v_dim);
    for (int head = kv_head * group; head < (kv_head + 1) * group; head++) {
        int64_t q_row = row * shape->n_heads + head;
        float *out = s->out + q_row * shape->v_dim;
        mn_feature_elu1(s->kernels, feature, s->q + q_row * shape->k_dim, shape->k_dim);
        mn_associative_recall(s->kernels, m, out, feature);
        float sum = s->kernels->vec.dot(m->z, feature, shape->k_dim);
        s->kernels->vec.scale(out, out, 1 / (sum + EPSILON), shape->v_dim);
    }
}

static void take_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    const step *s = arg;
    (void)thread_index;
    for (int64_t head = begin; head < end; head++) {
        size_t bytes = mn_associative_bytes(s->shape->k_dim, s->shape->v_dim);
        mn_associative m = mn_associative_view(s->state + (size_t)head * bytes, s->shape->k_dim, s->shape->v_dim);
        for (int64_t row = 0; row < s->n_rows; row++) take_row(s, &m, (int)head, row);
    }
}

mn_status mn_linear_step(const mn_compute *c, const mn_linear *shape, void *state, float *out, const float *q,
                         const float *k, const float *v, int64_t n_rows, mn_error *err) {
    MN_TRY(mn_associative_check(state, shape->n_kv_heads, shape->k_dim, shape->v_dim, err));
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    step s = {c->kernels, shape, state, out, NULL, q, k, v, n_rows};
    s.features = mn_arena_alloc(c->scratch, (size_t)shape->n_kv_heads * (size_t)shape->k_dim, sizeof *s.features);
    if (!s.features) return mn_fail(err, MN_ERR_MEMORY, "no memory for the features of linear attention.");
    int64_t grain = mn_associative_grain(n_rows, shape->n_heads, shape->n_kv_heads, shape->k_dim, shape->v_dim);
    mn_pool_run(c->pool, shape->n_kv_heads, grain, take_heads, &s);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}
