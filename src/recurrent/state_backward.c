#include "recurrent/state_backward.h"

#include "base/checked.h"

#include <string.h>

void mn_state_read(const mn_kernels *kernels, float *u, const float *m, const float *read, int n_k, int n_v) {
    memset(u, 0, (size_t)n_v * sizeof *u);
    for (int i = 0; i < n_k; i++) kernels->vec.axpy(u, m + (int64_t)i * n_v, read[i], n_v);
}

/* What M' passes on. */
static void back_writes(const mn_vec_kernels *vec, const mn_state_token_grad *t) {
    memset(t->d_w, 0, (size_t)t->n_v * sizeof *t->d_w);
    if (t->back) memset(t->d_u, 0, (size_t)t->n_v * sizeof *t->d_u);
    for (int i = 0; i < t->n_k; i++) {
        int64_t at = (int64_t)i * t->n_v;
        float *g = t->g + at;
        vec->axpy(g, t->d_out, t->q[i], t->n_v);
        t->d_q[i] = vec->dot(t->after + at, t->d_out, t->n_v);
        t->d_k[i] = vec->dot(g, t->w, t->n_v);
        t->d_decay[i] = vec->dot(g, t->before + at, t->n_v);
        vec->axpy(t->d_w, g, t->k[i], t->n_v);
        if (!t->back) continue;
        t->d_back[i] = -vec->dot(g, t->u, t->n_v);
        vec->axpy(t->d_u, g, -t->back[i], t->n_v);
    }
}

void mn_state_token_backward(const mn_kernels *kernels, const mn_state_token_grad *t) {
    const mn_vec_kernels *vec = &kernels->vec;
    back_writes(vec, t);
    if (t->read && !t->back) vec->scale(t->d_u, t->d_w, -t->u_share, t->n_v);
    for (int i = 0; i < t->n_k; i++) {
        int64_t at = (int64_t)i * t->n_v;
        vec->scale(t->g + at, t->g + at, t->decay[i], t->n_v);
        if (!t->read) continue;
        t->d_read[i] = vec->dot(t->before + at, t->d_u, t->n_v);
        vec->axpy(t->g + at, t->d_u, t->read[i], t->n_v);
    }
}

static int64_t n_chunks(int64_t n_rows, int chunk) { return (n_rows + chunk - 1) / chunk; }

size_t mn_state_walk_floats(int64_t n_rows, int chunk, size_t n_m) {
    return ((size_t)n_chunks(n_rows, chunk) + (size_t)chunk + 1) * n_m;
}

/* States before each chunk. */
static void keep_states(const mn_state_walk *w, float *m) {
    memset(m, 0, w->n_m * sizeof *m);
    for (int64_t row = 0; row < w->n_rows; row++) {
        if (row % w->chunk == 0) memcpy(w->memory + (size_t)(row / w->chunk) * w->n_m, m, w->n_m * sizeof *m);
        w->forward(w->arg, row, m);
    }
}

void mn_state_walk_back(const mn_state_walk *w) {
    int64_t chunks = n_chunks(w->n_rows, w->chunk);
    float *states = w->memory + (size_t)chunks * w->n_m;
    keep_states(w, states);
    for (int64_t c = chunks - 1; c >= 0; c--) {
        int64_t first = c * w->chunk, n = MN_MIN(w->chunk, w->n_rows - first);
        memcpy(states, w->memory + (size_t)c * w->n_m, w->n_m * sizeof *states);
        for (int64_t i = 0; i < n; i++) {
            float *m = states + (size_t)(i + 1) * w->n_m;
            memcpy(m, m - w->n_m, w->n_m * sizeof *m);
            w->forward(w->arg, first + i, m);
        }
        for (int64_t i = n - 1; i >= 0; i--)
            w->back(w->arg, first + i, states + (size_t)i * w->n_m, states + (size_t)(i + 1) * w->n_m);
    }
}
