#include "recurrent/infini_backward.h"

#include "base/checked.h"
#include "recurrent/associative_backward.h"

#include <string.h>

static mn_feature_fn *const features[] = {mn_feature_elu1, mn_feature_silu_l2};
static mn_feature_backward_fn *const feature_backwards[] = {mn_feature_elu1_backward, mn_feature_silu_l2_backward};

typedef struct job {
    const mn_kernels *kernels;
    const mn_infini *shape;
    const mn_infini_grad *g;
    int64_t n_kept;     /* matrices that are kept at a time */
    size_t head_floats; /* of one KV head's work */
    float *work;
} job;

/* A write of the chunk under way. */
typedef struct writes {
    int n;
    int64_t row[MN_INFINI_CHUNK];
    float *key, *d_key; /* [MN_INFINI_CHUNK, k_dim]: features */
    float *u, *e, *d_u; /* [MN_INFINI_CHUNK, v_dim]: u = b e */
} writes;

/* One KV head's work. now: the memory on the way forward, and what of it the current segment has written. next and
 * before: gradients of the memory after and before what is under way. */
typedef struct head {
    const job *j;
    int kv_head;
    float *kept; /* [n_kept, memory floats] */
    mn_memory_matrix now, written, next, before;
    float *feature, *d_feature, *a, *u, *d_u; /* [k_dim] twice, [v_dim] */
    writes w;
} head;

static bool is_exact_delta(const mn_infini *s) { return s->rule == MN_INFINI_DELTA_EXACT; }

static size_t memory_floats(const mn_infini *s) { return mn_memory_floats(s->k_dim, s->v_dim); }

static size_t head_floats(const mn_infini *s, int64_t n_kept) {
    size_t k = (size_t)s->k_dim, v = (size_t)s->v_dim;
    size_t chunk = is_exact_delta(s) ? MN_INFINI_CHUNK * (2 * k + 3 * v) : 0;
    return ((size_t)n_kept + 4) * memory_floats(s) + 2 * k + 3 * v + chunk;
}

/* Rows from one detached border to the next. */
static int64_t window_rows(const mn_infini *s, const mn_infini_grad *g) {
    return g->detach_segments > 0 ? g->detach_segments * s->segment : g->first_token + g->n_rows + 1;
}

/* Segments, or chunks, of the longest window, with the partial ones at its ends. */
static int64_t count_kept(const mn_infini *s, int64_t n_rows, int64_t detach_segments) {
    int64_t unit = is_exact_delta(s) ? (int64_t)MN_INFINI_CHUNK : s->segment;
    int64_t window = detach_segments > 0 ? MN_MIN(detach_segments * s->segment, n_rows) : n_rows;
    return window / unit + 2;
}

size_t mn_infini_backward_bytes(const mn_infini *s, int64_t n_rows, int64_t detach_segments) {
    return (size_t)s->n_kv_heads * head_floats(s, count_kept(s, n_rows, detach_segments)) * sizeof(float);
}

static head head_of(const job *j, int kv_head) {
    const mn_infini *s = j->shape;
    size_t n = memory_floats(s), k = (size_t)s->k_dim, v = (size_t)s->v_dim;
    head h = {.j = j, .kv_head = kv_head, .kept = j->work + (size_t)kv_head * j->head_floats};
    float *at = h.kept + (size_t)j->n_kept * n;
    mn_memory_matrix *matrices[] = {&h.now, &h.written, &h.next, &h.before};
    for (int i = 0; i < 4; i++, at += n) *matrices[i] = mn_memory_view(j->kernels, at, s->k_dim, s->v_dim);
    h.feature = at;
    h.d_feature = h.feature + k;
    h.a = h.d_feature + k;
    h.u = h.a + v;
    h.d_u = h.u + v;
    h.w.key = h.d_u + v;
    h.w.d_key = h.w.key + MN_INFINI_CHUNK * k;
    h.w.u = h.w.d_key + MN_INFINI_CHUNK * k;
    h.w.e = h.w.u + MN_INFINI_CHUNK * v;
    h.w.d_u = h.w.e + MN_INFINI_CHUNK * v;
    return h;
}

static void copy_matrix(const head *h, float *to, const float *from) {
    memcpy(to, from, memory_floats(h->j->shape) * sizeof *to);
}

static void clear_matrix(const head *h, float *m) { memset(m, 0, memory_floats(h->j->shape) * sizeof *m); }

static mn_memory_matrix kept_matrix(const head *h, int64_t i) {
    const mn_infini *s = h->j->shape;
    return mn_memory_view(h->j->kernels, h->kept + (size_t)i * memory_floats(s), s->k_dim, s->v_dim);
}

static int64_t kv_row_of(const head *h, int64_t row) { return row * h->j->shape->n_kv_heads + h->kv_head; }

static const float *key_of(const head *h, int64_t row) { return h->j->g->k + kv_row_of(h, row) * h->j->shape->k_dim; }
static const float *value_of(const head *h, int64_t row) { return h->j->g->v + kv_row_of(h, row) * h->j->shape->v_dim; }

static void make_feature(const head *h, float *out, const float *x) {
    features[h->j->shape->feature](h->j->kernels, out, x, h->j->shape->k_dim);
}

static void back_feature(const head *h, float *d_x, const float *x, const float *feature, const float *d_feature) {
    feature_backwards[h->j->shape->feature](h->j->kernels, d_x, x, feature, d_feature, h->j->shape->k_dim);
}

/* The paper's rules. */

/* u = M^T f / (z . f), and the normaliser; 0 and zeros from an empty memory. */
static float recall_normalised(const head *h, const mn_memory_matrix *m, float *u, const float *f) {
    int n = h->j->shape->v_dim;
    float sum = m->vec->dot(m->z, f, m->k_dim);
    if (!(sum > 0)) {
        memset(u, 0, (size_t)n * sizeof *u);
        return 0;
    }
    mn_memory_recall(m, u, f);
    m->vec->scale(u, u, 1 / sum, n);
    return sum;
}

/* Of y = M^T f / n, n = z . f, with d the gradient of y times sign: d_feature += ..., and the gradients of M and z go
 * to h->before. */
static void back_recall(const head *h, const mn_memory_matrix *m, const float *f, const float *y, const float *d,
                        float sign, float normaliser) {
    int k = h->j->shape->k_dim, v = h->j->shape->v_dim;
    float b = -sign * m->vec->dot(d, y, v) / normaliser;
    m->vec->scale(h->a, d, sign / normaliser, v);
    mn_memory_add_keys(m, h->d_feature, h->a, 1);
    m->vec->axpy(h->d_feature, m->z, b, k);
    mn_memory_store(&h->before, f, h->a, 1);
    m->vec->axpy(h->before.z, f, b, k);
}

/* What row writes in u, its key's feature in h->feature. */
static float make_update(const head *h, const mn_memory_matrix *m, int64_t row) {
    const float *v = value_of(h, row);
    make_feature(h, h->feature, key_of(h, row));
    if (h->j->shape->rule == MN_INFINI_LINEAR) {
        memcpy(h->u, v, (size_t)h->j->shape->v_dim * sizeof *v);
        return 0;
    }
    float normaliser = recall_normalised(h, m, h->u, h->feature);
    for (int i = 0; i < h->j->shape->v_dim; i++) h->u[i] = v[i] - h->u[i];
    return normaliser;
}

static void back_write(const head *h, const mn_memory_matrix *m, int64_t row) {
    const mn_infini *s = h->j->shape;
    const mn_vec_kernels *vec = m->vec;
    float *d_v = h->j->g->d_v + kv_row_of(h, row) * s->v_dim, *d_u = h->d_u;
    float normaliser = make_update(h, m, row);
    mn_memory_recall(&h->next, d_u, h->feature);
    vec->add(d_v, d_v, d_u, s->v_dim);
    memcpy(h->d_feature, h->next.z, (size_t)s->k_dim * sizeof *h->d_feature);
    mn_memory_add_keys(&h->next, h->d_feature, h->u, 1);
    if (normaliser > 0) {
        for (int i = 0; i < s->v_dim; i++) h->u[i] = value_of(h, row)[i] - h->u[i]; /* what was recalled */
        back_recall(h, m, h->feature, h->u, d_u, -1, normaliser);
    }
    back_feature(h, h->j->g->d_k + kv_row_of(h, row) * s->k_dim, key_of(h, row), h->feature, h->d_feature);
}

static void back_reads(const head *h, const mn_memory_matrix *m, int64_t row) {
    const mn_infini *s = h->j->shape;
    int group = s->n_heads / s->n_kv_heads;
    for (int64_t q_row = row * s->n_heads + h->kv_head * group, end = q_row + group; q_row < end; q_row++) {
        const float *q = h->j->g->q + q_row * s->k_dim;
        make_feature(h, h->feature, q);
        float normaliser = m->vec->dot(m->z, h->feature, s->k_dim);
        if (!(normaliser > 0)) continue;
        memset(h->d_feature, 0, (size_t)s->k_dim * sizeof *h->d_feature);
        back_recall(h, m, h->feature, h->j->g->mem + q_row * s->v_dim, h->j->g->d_mem + q_row * s->v_dim, 1,
                    normaliser);
        back_feature(h, h->j->g->d_q + q_row * s->k_dim, q, h->feature, h->d_feature);
    }
}

/* What the segment before has written is read from here on. */
static void begin_segment(const head *h) {
    const mn_vec_kernels *vec = h->now.vec;
    vec->add(h->now.m, h->now.m, h->written.m, (int64_t)memory_floats(h->j->shape));
    clear_matrix(h, h->written.m);
}

/* The end of the segment (or chunk of rows) that row begins, not beyond end. */
static int64_t segment_end(const head *h, int64_t row, int64_t end) {
    int64_t segment = h->j->shape->segment, token = h->j->g->first_token + row;
    return MN_MIN(end, row + segment - token % segment);
}

/* Rows [begin, end) between two borders that no gradient passes. */
static void run_segments(head *h, int64_t begin, int64_t end) {
    int64_t n = 0, first = h->j->g->first_token;
    for (int64_t row = begin; row < end; n++) {
        if ((first + row) % h->j->shape->segment == 0) begin_segment(h);
        copy_matrix(h, kept_matrix(h, n).m, h->now.m);
        for (int64_t last = segment_end(h, row, end); row < last; row++) {
            make_update(h, &h->now, row);
            mn_memory_store(&h->written, h->feature, h->u, 1);
            h->now.vec->add(h->written.z, h->written.z, h->feature, h->j->shape->k_dim);
        }
    }
    clear_matrix(h, h->next.m);
    for (int64_t last = end; n-- > 0;) {
        mn_memory_matrix m = kept_matrix(h, n);
        int64_t row = MN_MAX(begin, (first + last - 1) / h->j->shape->segment * h->j->shape->segment - first);
        copy_matrix(h, h->before.m, h->next.m);
        for (int64_t i = row; i < last; i++) {
            back_write(h, &m, i);
            back_reads(h, &m, i);
        }
        copy_matrix(h, h->next.m, h->before.m);
        last = row;
    }
}

/* delta-exact. */

/* The writes of rows [begin, end): e = v - M^T key - sum over earlier ones of the chunk (key . key_i) u_i, u = b e. */
static void make_writes(head *h, const mn_memory_matrix *m, int64_t begin, int64_t end) {
    const mn_infini *s = h->j->shape;
    writes *w = &h->w;
    w->n = 0;
    for (int64_t row = begin; row < end; row++) {
        float b = h->j->g->write_gates[kv_row_of(h, row)];
        if (b == 0) continue;
        float *key = w->key + w->n * s->k_dim, *u = w->u + w->n * s->v_dim, *e = w->e + w->n * s->v_dim;
        make_feature(h, key, key_of(h, row));
        mn_memory_recall(m, e, key);
        for (int i = 0; i < w->n; i++)
            m->vec->axpy(e, w->u + i * s->v_dim, m->vec->dot(key, w->key + i * s->k_dim, s->k_dim), s->v_dim);
        for (int i = 0; i < s->v_dim; i++) e[i] = value_of(h, row)[i] - e[i];
        m->vec->scale(u, e, b, s->v_dim);
        w->row[w->n++] = row;
    }
}

static bool is_zero(const float *x, int n) {
    for (int i = 0; i < n; i++)
        if (x[i] != 0) return false;
    return true;
}

/* A query's read of the memory and of the chunk's first n writes. */
static void back_read(const head *h, const mn_memory_matrix *m, int64_t q_row, int n) {
    const mn_infini *s = h->j->shape;
    const writes *w = &h->w;
    const mn_vec_kernels *vec = m->vec;
    const float *q = h->j->g->q + q_row * s->k_dim, *d = h->j->g->d_mem + q_row * s->v_dim;
    if (is_zero(d, s->v_dim)) return;
    make_feature(h, h->feature, q);
    memset(h->d_feature, 0, (size_t)s->k_dim * sizeof *h->d_feature);
    mn_memory_add_keys(m, h->d_feature, d, 1);
    mn_memory_store(&h->before, h->feature, d, 1);
    for (int i = 0; i < n; i++) {
        const float *key = w->key + i * s->k_dim;
        float along = vec->dot(w->u + i * s->v_dim, d, s->v_dim);
        vec->axpy(h->d_feature, key, along, s->k_dim);
        vec->axpy(w->d_key + i * s->k_dim, h->feature, along, s->k_dim);
        vec->axpy(w->d_u + i * s->v_dim, d, vec->dot(h->feature, key, s->k_dim), s->v_dim);
    }
    back_feature(h, h->j->g->d_q + q_row * s->k_dim, q, h->feature, h->d_feature);
}

/* Write n of the chunk, when all that reads it has been visited. */
static void back_exact_write(const head *h, const mn_memory_matrix *m, int n) {
    const mn_infini *s = h->j->shape;
    const writes *w = &h->w;
    const mn_vec_kernels *vec = m->vec;
    int64_t kv_row = kv_row_of(h, w->row[n]);
    float *key = w->key + n * s->k_dim, *d_key = w->d_key + n * s->k_dim, *d_u = w->d_u + n * s->v_dim;
    float *d_v = h->j->g->d_v + kv_row * s->v_dim;
    mn_memory_recall(&h->next, h->a, key);
    vec->add(d_u, d_u, h->a, s->v_dim);
    mn_memory_add_keys(&h->next, d_key, w->u + n * s->v_dim, 1);
    if (h->j->g->d_gates) h->j->g->d_gates[kv_row] = vec->dot(d_u, w->e + n * s->v_dim, s->v_dim);
    float *d_e = h->a;
    vec->scale(d_e, d_u, h->j->g->write_gates[kv_row], s->v_dim);
    vec->add(d_v, d_v, d_e, s->v_dim);
    mn_memory_add_keys(m, d_key, d_e, -1);
    mn_memory_store(&h->before, key, d_e, -1);
    for (int i = 0; i < n; i++) {
        const float *earlier = w->key + i * s->k_dim;
        float along = -vec->dot(w->u + i * s->v_dim, d_e, s->v_dim);
        vec->axpy(d_key, earlier, along, s->k_dim);
        vec->axpy(w->d_key + i * s->k_dim, key, along, s->k_dim);
        vec->axpy(w->d_u + i * s->v_dim, d_e, -vec->dot(key, earlier, s->k_dim), s->v_dim);
    }
    back_feature(h, h->j->g->d_k + kv_row * s->k_dim, key_of(h, w->row[n]), key, d_key);
}

/* Rows [begin, end) of one chunk, the last first. */
static void back_chunk(head *h, const mn_memory_matrix *m, int64_t begin, int64_t end) {
    const mn_infini *s = h->j->shape;
    int group = s->n_heads / s->n_kv_heads;
    make_writes(h, m, begin, end);
    memset(h->w.d_key, 0, (size_t)(h->w.n * s->k_dim) * sizeof(float));
    memset(h->w.d_u, 0, (size_t)(h->w.n * s->v_dim) * sizeof(float));
    copy_matrix(h, h->before.m, h->next.m);
    int n = h->w.n;
    for (int64_t row = end - 1; row >= begin; row--) {
        for (int i = 0; i < group; i++) back_read(h, m, row * s->n_heads + h->kv_head * group + i, n);
        if (n > 0 && h->w.row[n - 1] == row)
            back_exact_write(h, m, --n);
        else if (h->j->g->d_gates)
            h->j->g->d_gates[kv_row_of(h, row)] = 0;
    }
    copy_matrix(h, h->next.m, h->before.m);
}

static void run_chunks(head *h, int64_t begin, int64_t end) {
    const mn_infini *s = h->j->shape;
    int64_t n = 0;
    for (int64_t row = begin; row < end; row += MN_INFINI_CHUNK, n++) {
        copy_matrix(h, kept_matrix(h, n).m, h->now.m);
        make_writes(h, &h->now, row, MN_MIN(end, row + MN_INFINI_CHUNK));
        for (int i = 0; i < h->w.n; i++) mn_memory_store(&h->now, h->w.key + i * s->k_dim, h->w.u + i * s->v_dim, 1);
    }
    clear_matrix(h, h->next.m);
    while (n-- > 0) {
        mn_memory_matrix m = kept_matrix(h, n);
        int64_t row = begin + n * MN_INFINI_CHUNK;
        back_chunk(h, &m, row, MN_MIN(end, row + MN_INFINI_CHUNK));
    }
}

static void run_head(const job *j, int kv_head) {
    const mn_infini_grad *g = j->g;
    head h = head_of(j, kv_head);
    int n_memories = is_exact_delta(j->shape) ? 1 : 2;
    size_t bytes = mn_associative_bytes(j->shape->k_dim, j->shape->v_dim);
    const char *state = g->state ? (const char *)g->state + (size_t)(kv_head * n_memories) * bytes : NULL;
    mn_memory_load(&h.now, state);
    mn_memory_load(&h.written, state && n_memories > 1 ? state + bytes : NULL);
    int64_t window = window_rows(j->shape, g);
    for (int64_t row = 0; row < g->n_rows;) {
        int64_t end = MN_MIN(g->n_rows, row + window - (g->first_token + row) % window);
        (is_exact_delta(j->shape) ? run_chunks : run_segments)(&h, row, end);
        row = end;
    }
}

static void run_heads(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    for (int64_t h = begin; h < end; h++) run_head(arg, (int)h);
}

mn_status mn_infini_backward(const mn_compute *c, const mn_infini *s, const mn_infini_grad *g, mn_error *err) {
    int n_memories = is_exact_delta(s) ? 1 : 2;
    if (g->state) MN_TRY(mn_associative_check(g->state, s->n_kv_heads * n_memories, s->k_dim, s->v_dim, err));
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    job j = {c->kernels, s, g, count_kept(s, g->n_rows, g->detach_segments), 0, NULL};
    j.head_floats = head_floats(s, j.n_kept);
    j.work = mn_arena_alloc(c->scratch, (size_t)s->n_kv_heads, j.head_floats * sizeof *j.work);
    mn_status status = MN_OK;
    if (j.work)
        mn_pool_run(c->pool, s->n_kv_heads, 1, run_heads, &j);
    else
        status = mn_fail(err, MN_ERR_MEMORY,
                         "no memory for the memories of %lld tokens; cut the gradient after fewer segments.",
                         (long long)g->n_rows);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
