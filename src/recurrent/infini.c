#include "recurrent/infini.h"

#include "recurrent/associative.h"
#include "base/checked.h"

#include <math.h>
#include <string.h>

static const char *const rule_names[] = {"linear", "delta", "delta-exact"};
static const char *const feature_names[] = {"elu1", "silu-l2"};
static mn_feature_fn *const features[] = {mn_feature_elu1, mn_feature_silu_l2};

static int find_name(const char *const *names, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

int mn_infini_find_rule(const char *name) { return find_name(rule_names, 3, name); }

int mn_infini_find_feature(const char *name) { return find_name(feature_names, 2, name); }

const char *mn_infini_rule_name(mn_infini_rule rule) { return rule_names[rule]; }

mn_infini_feature mn_infini_feature_of(mn_infini_rule rule) {
    return rule == MN_INFINI_DELTA_EXACT ? MN_INFINI_SILU_L2 : MN_INFINI_ELU1;
}

mn_status mn_infini_check(const mn_infini *shape, mn_error *err) {
    mn_infini_feature wanted = mn_infini_feature_of(shape->rule);
    if (shape->feature != wanted)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "the memory's update rule %s works on %s features, not on %s.",
                       rule_names[shape->rule], feature_names[wanted], feature_names[shape->feature]);
    if (shape->segment <= 0)
        return mn_fail(err, MN_ERR_FORMAT, "a memory segment of %lld tokens is not positive.",
                       (long long)shape->segment);
    if (shape->n_kv_heads <= 0 || shape->n_heads <= 0 || shape->n_heads % shape->n_kv_heads)
        return mn_fail(err, MN_ERR_FORMAT, "%d query heads cannot share the memories of %d KV heads.", shape->n_heads,
                       shape->n_kv_heads);
    if (mn_infini_state_bytes(shape) == 0)
        return mn_fail(err, MN_ERR_FORMAT, "a memory of %d x %d per head cannot be addressed.", shape->k_dim,
                       shape->v_dim);
    return MN_OK;
}

/* The paper's rules keep two memories a head: what is read, and what the current segment has written so far. */
static int n_memories(const mn_infini *shape) { return shape->rule == MN_INFINI_DELTA_EXACT ? 1 : 2; }

size_t mn_infini_state_bytes(const mn_infini *shape) {
    size_t n, bytes;
    if (shape->n_kv_heads <= 0 || !mn_mul_size((size_t)shape->n_kv_heads, (size_t)n_memories(shape), &n)) return 0;
    return mn_mul_size(mn_associative_bytes(shape->k_dim, shape->v_dim), n, &bytes) ? bytes : 0;
}

typedef struct step {
    const mn_kernels *kernels;
    const mn_infini *shape;
    char *state;
    float *mem;
    const float *q, *k, *v, *write_gates;
    int64_t n_rows, first_token;
    float *scratch; /* [n_kv_heads, k_dim + v_dim], one row for each head at work */
} step;

static mn_associative view(const step *s, int kv_head, int which) {
    const mn_infini *shape = s->shape;
    size_t bytes = mn_associative_bytes(shape->k_dim, shape->v_dim);
    return mn_associative_view(s->state + (size_t)(kv_head * n_memories(shape) + which) * bytes, shape->k_dim,
                               shape->v_dim);
}

/* out = M^T feature / (z . feature), 0 from an empty memory. */
static void recall_normalised(const mn_kernels *kernels, const mn_associative *m, float *out, const float *feature) {
    mn_associative_recall(kernels, m, out, feature);
    float sum = kernels->vec.dot(m->z, feature, m->k_dim);
    for (int i = 0; i < m->v_dim; i++) out[i] = sum > 0 ? out[i] / sum : 0;
}

typedef void recall_fn(const mn_kernels *kernels, const mn_associative *m, float *out, const float *feature);

/* All query heads of the group read m with the token's queries. */
static void read_row(const step *s, recall_fn *recall, const mn_associative *m, int kv_head, int64_t row,
                     float *feature) {
    const mn_infini *shape = s->shape;
    int group = shape->n_heads / shape->n_kv_heads;
    for (int head = kv_head * group; head < (kv_head + 1) * group; head++) {
        int64_t q_row = row * shape->n_heads + head;
        features[shape->feature](s->kernels, feature, s->q + q_row * shape->k_dim, shape->k_dim);
        recall(s->kernels, m, s->mem + q_row * shape->v_dim, feature);
    }
}

/* u = b (v - M^T key), stored under key: the delta rule. recall says what M^T key is; b = 1 writes the token whole. */
static void write_delta(const step *s, recall_fn *recall, const mn_associative *from, mn_associative *into,
                        const float *key, const float *v, float b, float *u) {
    recall(s->kernels, from, u, key);
    for (int i = 0; i < from->v_dim; i++) u[i] = b * (v[i] - u[i]);
    mn_associative_store(s->kernels, into, key, u);
}

/* One head through all rows by the paper's rules. */
static void run_segments(const step *s, int kv_head, float *feature, float *u) {
    const mn_infini *shape = s->shape;
    mn_associative stored = view(s, kv_head, 0), current = view(s, kv_head, 1);
    for (int64_t row = 0; row < s->n_rows; row++) {
        if ((s->first_token + row) % shape->segment == 0) mn_associative_move(s->kernels, &stored, &current);
        read_row(s, recall_normalised, &stored, kv_head, row, feature);
        int64_t kv_row = row * shape->n_kv_heads + kv_head;
        const float *v = s->v + kv_row * shape->v_dim;
        features[shape->feature](s->kernels, feature, s->k + kv_row * shape->k_dim, shape->k_dim);
        if (shape->rule == MN_INFINI_LINEAR)
            mn_associative_store(s->kernels, &current, feature, v);
        else
            write_delta(s, recall_normalised, &stored, &current, feature, v, 1, u);
    }
}

static void run_delta_exact(const step *s, int kv_head, float *feature, float *u) {
    const mn_infini *shape = s->shape;
    mn_associative m = view(s, kv_head, 0);
    for (int64_t row = 0; row < s->n_rows; row++) {
        int64_t kv_row = row * shape->n_kv_heads + kv_head;
        float b = s->write_gates[kv_row];
        if (b != 0) {
            features[shape->feature](s->kernels, feature, s->k + kv_row * shape->k_dim, shape->k_dim);
            write_delta(s, mn_associative_recall, &m, &m, feature, s->v + kv_row * shape->v_dim, b, u);
        }
        read_row(s, mn_associative_recall, &m, kv_head, row, feature);
    }
}

static void run_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    const step *s = arg;
    (void)thread_index;
    for (int64_t head = begin; head < end; head++) {
        float *feature = s->scratch + head * (s->shape->k_dim + s->shape->v_dim), *u = feature + s->shape->k_dim;
        if (s->shape->rule == MN_INFINI_DELTA_EXACT)
            run_delta_exact(s, (int)head, feature, u);
        else
            run_segments(s, (int)head, feature, u);
    }
}

mn_status mn_infini_step(const mn_compute *c, const mn_infini *shape, void *state, float *mem, const float *q,
                         const float *k, const float *v, const float *write_gates, int64_t n_rows, int64_t first_token,
                         mn_error *err) {
    MN_TRY(mn_associative_check(state, shape->n_kv_heads * n_memories(shape), shape->k_dim, shape->v_dim, err));
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    size_t head_floats = (size_t)shape->k_dim + (size_t)shape->v_dim;
    float *scratch = mn_arena_alloc(c->scratch, (size_t)shape->n_kv_heads * head_floats, sizeof *scratch);
    if (!scratch) return mn_fail(err, MN_ERR_MEMORY, "no memory for the features of infini-attention.");
    step s = {c->kernels, shape, state, mem, q, k, v, write_gates, n_rows, first_token, scratch};
    int64_t grain = mn_associative_grain(n_rows, shape->n_heads, shape->n_kv_heads, shape->k_dim, shape->v_dim);
    mn_pool_run(c->pool, shape->n_kv_heads, grain, run_heads, &s);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

/* A loop over rows, of what a step does beside the memory. */
typedef struct rows_job {
    const mn_kernels *kernels;
    const mn_infini *shape;
    float *out;
    const float *bias, *w_key, *k;     /* of write gates */
    const float *local, *mem, *mixing; /* of the mix */
    float threshold, share;
} rows_job;

enum { ROWS_GRAIN = 16 };

static void open_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    for (int64_t i = begin * job->shape->n_kv_heads; i < end * job->shape->n_kv_heads; i++) job->out[i] = 1;
}

void mn_infini_open_gates(const mn_compute *c, const mn_infini *shape, float *gates, int64_t n_rows) {
    rows_job job = {.shape = shape, .out = gates};
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, open_rows, &job);
}

static void gate_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    const mn_infini *shape = job->shape;
    for (int64_t i = begin * shape->n_kv_heads; i < end * shape->n_kv_heads; i++) {
        int64_t head = i % shape->n_kv_heads;
        float from_key =
            job->kernels->vec.dot(job->w_key + head * shape->k_dim, job->k + i * shape->k_dim, shape->k_dim);
        float b = sigmoid(job->out[i] + (job->bias ? job->bias[head] : 0) + from_key);
        job->out[i] = b <= job->threshold ? 0 : b;
    }
}

void mn_infini_write_gates(const mn_compute *c, const mn_infini *shape, float *gates, const float *bias,
                           const float *w_key, const float *k, float threshold, int64_t n_rows) {
    rows_job job = {.kernels = c->kernels,
                    .shape = shape,
                    .out = gates,
                    .bias = bias,
                    .w_key = w_key,
                    .k = k,
                    .threshold = threshold};
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, gate_rows, &job);
}

static void mix_rows(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const rows_job *job = arg;
    const mn_infini *shape = job->shape;
    for (int64_t i = begin * shape->n_heads; i < end * shape->n_heads; i++) {
        float *out = job->out + i * shape->v_dim;
        float g = job->mixing ? sigmoid(job->mixing[i % shape->n_heads]) : job->share;
        if (!job->mixing && g == 0) {
            if (out != job->local + i * shape->v_dim)
                memcpy(out, job->local + i * shape->v_dim, (size_t)shape->v_dim * sizeof *out);
            continue;
        }
        job->kernels->vec.scale(out, job->local + i * shape->v_dim, 1 - g, shape->v_dim);
        job->kernels->vec.axpy(out, job->mem + i * shape->v_dim, g, shape->v_dim);
    }
}

void mn_infini_mix(const mn_compute *c, const mn_infini *shape, float *out, const float *local, const float *mem,
                   const float *gate, float share, int64_t n_rows) {
    rows_job job = {
        .kernels = c->kernels, .shape = shape, .out = out, .local = local, .mem = mem, .mixing = gate, .share = share};
    mn_pool_run(c->pool, n_rows, ROWS_GRAIN, mix_rows, &job);
}
