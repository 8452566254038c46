#include "bench/mixer_case.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/random.h"
#include "recurrent/gated_delta.h"
#include "recurrent/mamba2.h"
#include "recurrent/rwkv7.h"

#include <string.h>

enum { STATES_BYTES = 64 << 20 }; /* more than caches hold of it */

typedef struct mixer_case {
    const mn_compute *c;
    mn_mixer_rule rule;
    int n_heads, k_dim, v_dim;
    int64_t n_rows, wide; /* of a row: the widest of q, k, v and the gates */
    float *x[5], *vector; /* [n_rows, wide]; [wide] */
    float *out, *states;
    int64_t n_states; /* numbers of one layer */
    int n_copies;
} mixer_case;

static mn_status take_memory(mixer_case *m, mn_error *err) {
    mn_arena *a = m->c->scratch;
    size_t state_bytes = (size_t)m->n_states * sizeof(float);
    m->n_copies = m->n_rows > 1 ? 1 : (int)(STATES_BYTES / state_bytes) + 1;
    bool all = true;
    for (int i = 0; i < 5; i++) {
        m->x[i] = mn_arena_alloc(a, (size_t)m->n_rows * (size_t)m->wide, sizeof(float));
        all &= m->x[i] != NULL;
    }
    m->vector = mn_arena_alloc(a, (size_t)m->wide, sizeof(float));
    m->out = mn_arena_alloc(a, (size_t)m->n_rows * (size_t)m->wide, sizeof(float));
    m->states = mn_arena_zalloc(a, (size_t)m->n_copies, state_bytes);
    return all && m->vector && m->out && m->states ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a mixer.");
}

/* Keys of length one, as models make them. */
static void fill(mixer_case *m) {
    mn_random rng;
    mn_random_seed(&rng, 1, 1);
    for (int i = 0; i < 5; i++)
        for (int64_t j = 0; j < m->n_rows * m->wide; j++)
            m->x[i][j] = (float)(2 * mn_random_double(&rng) - 1) * (i < 2 ? 0.15f : 1);
    for (int64_t j = 0; j < m->wide; j++) m->vector[j] = -0.5f;
}

static mn_status call_rwkv7(const mixer_case *m, float *states, mn_error *err) {
    int64_t w = m->wide;
    mn_rwkv7 layer = {m->n_heads, m->k_dim, m->vector, m->vector, m->vector, m->vector, NULL, 64e-5f};
    mn_rwkv7_rows rows = {.r = m->x[0],
                          .k = m->x[1],
                          .v = m->x[2],
                          .decay = m->x[3],
                          .a = m->x[4],
                          .r_stride = w,
                          .k_stride = w,
                          .v_stride = w,
                          .decay_stride = w,
                          .a_stride = w,
                          .out = m->out,
                          .out_stride = w,
                          .n_rows = m->n_rows};
    return mn_rwkv7_step(m->c, &layer, states, &rows, err);
}

static mn_status call(const mixer_case *m, float *states, mn_error *err) {
    int64_t w = m->wide;
    mn_matrix_state shape = {m->n_heads, m->n_heads, m->k_dim, m->v_dim, false, m->rule == MN_RULE_KDA, true};
    mn_matrix_rows rows = {.q = m->x[0],
                           .k = m->x[1],
                           .v = m->x[2],
                           .q_stride = w,
                           .k_stride = w,
                           .v_stride = w,
                           .out = m->out,
                           .out_stride = w,
                           .n_rows = m->n_rows};
    if (m->rule == MN_RULE_RWKV7) return call_rwkv7(m, states, err);
    if (m->rule == MN_RULE_MAMBA2) {
        shape.corrects = false;
        shape.n_k_heads = 1;
        mn_mamba2 layer = {shape, m->vector, m->vector, m->vector};
        return mn_mamba2_step(m->c, &layer, states, &rows, m->x[3], w, err);
    }
    mn_gated_delta layer = {shape, m->vector, m->vector};
    return mn_gated_delta_step(
        m->c, &layer, states, &rows,
        &(mn_delta_gates){.decay = m->x[3], .beta = m->x[4], .decay_stride = w, .beta_stride = w}, err);
}

static mn_status measure(mixer_case *m, int n_calls, mn_mixer_speed *out, mn_error *err) {
    static const double flops[] = {6, 6, 4, 8};
    MN_TRY(take_memory(m, err));
    fill(m);
    out->seconds = 1e30;
    for (int i = -1; i < n_calls; i++) {
        double started = mn_clock_seconds();
        MN_TRY(call(m, m->states + (i + 1) % m->n_copies * m->n_states, err));
        if (i >= 0) out->seconds = MN_MIN(out->seconds, mn_clock_seconds() - started);
    }
    out->flops = flops[m->rule] * (double)m->n_states * (double)m->n_rows;
    out->bytes = 2 * sizeof(float) * (double)m->n_states;
    return MN_OK;
}

mn_status mn_mixer_measure(const mn_compute *c, mn_mixer_rule rule, int n_heads, int k_dim, int v_dim, int64_t n_rows,
                           int n_calls, mn_mixer_speed *out, mn_error *err) {
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    mixer_case m = {.c = c, .rule = rule, .n_heads = n_heads, .k_dim = k_dim, .v_dim = v_dim, .n_rows = n_rows};
    m.wide = (int64_t)n_heads * MN_MAX(k_dim, v_dim);
    m.n_states = (int64_t)n_heads * k_dim * v_dim;
    mn_status status = measure(&m, n_calls, out, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}
