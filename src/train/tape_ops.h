/* Inside the tape: what its files share. */
#ifndef MN_TRAIN_TAPE_OPS_H
#define MN_TRAIN_TAPE_OPS_H

#include "train/tape.h"

#include <string.h>

static inline mn_tape *mn_tape_of(const mn_step *s) { return s->backend->context; }

/* The step as the CPU's backend is given it. */
static inline mn_step mn_tape_inner(const mn_step *s) {
    mn_step step = *s;
    step.backend = &mn_tape_of(s)->cpu;
    return step;
}

/* mn_backend.take of the tape. */
mn_status mn_tape_take(const mn_step *s, int64_t n_rows, int n_heads, int64_t n, mn_rows *out, mn_error *err);
/* Appends an entry, unless the tape does not record. */
mn_status mn_tape_record(mn_tape *t, mn_tape_entry entry, mn_error *err);

static inline int64_t mn_tape_n_floats(mn_rows x) { return x.n_rows * x.n_heads * x.n; }

/* Room for n floats until the entry's backward ends, or NULL. */
static inline float *mn_tape_floats(const mn_tape *t, int64_t n) {
    return mn_arena_alloc(t->compute->scratch, (size_t)n, sizeof(float));
}

/* A gradient that is about to be added to: zeros where nothing was. */
static inline float *mn_tape_ready(mn_tape *t, mn_rows x) {
    bool held = mn_tape_claim(t, x);
    if (!held && !mn_pool_is_dry(t->compute->pool))
        memset(mn_tape_gradient(t, x), 0, (size_t)mn_tape_n_floats(x) * sizeof(float));
    return mn_tape_gradient(t, x);
}

/* to = from, or to += from; without gaps. */
void mn_tape_give(const mn_tape *t, float *to, const float *from, int64_t n, bool add);
/* The gradient of a result that is handed to an operand as it is. */
void mn_tape_pass_on(mn_tape *t, mn_rows to, mn_rows from);

/* to = from, of the same shape and without gaps. */
void mn_tape_copy(const mn_tape *t, mn_rows to, mn_rows from);

/* tape_easy.c */
mn_status mn_tape_split(const mn_step *s, int layer, mn_split *out, mn_rows x, const int64_t *rows, mn_error *err);
mn_status mn_tape_join(const mn_step *s, int layer, mn_split *split, int part, mn_rows out, mn_rows y, mn_error *err);
mn_status mn_tape_easy_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);

/* What cannot be trained through. */
mn_status mn_tape_refuse(const char *what, mn_error *err);

/* tape_attention.c */
mn_status mn_tape_prepare(const mn_step *s, mn_error *err);
mn_status mn_tape_append(const mn_step *s, int layer, int plane, mn_rows k, mn_rows v, mn_error *err);
mn_status mn_tape_attend(const mn_step *s, int layer, int range, mn_rows out, mn_rows lse, mn_rows q, mn_error *err);
mn_status mn_tape_attend_latent(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                                mn_error *err);
mn_status mn_tape_choose(const mn_step *s, int layer, mn_rows chosen, mn_rows q, mn_rows k, mn_rows weights,
                         mn_rows angles, mn_error *err);
mn_status mn_tape_share_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);
mn_status mn_tape_attend_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);
mn_status mn_tape_attend_latent_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);

/* tape_compressed.c */
mn_status mn_tape_compress(const mn_step *s, int layer, bool of_indexer, mn_rows u, mn_rows sc, mn_error *err);
mn_status mn_tape_attend_compressed(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                                    mn_error *err);
mn_status mn_tape_merge(const mn_step *s, mn_rows out, mn_rows lse, mn_rows x, mn_rows x_lse, mn_rows y, mn_rows y_lse,
                        mn_error *err);
mn_status mn_tape_compress_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);
mn_status mn_tape_attend_compressed_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);
mn_status mn_tape_merge_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);

/* tape_streams.c */
mn_status mn_tape_merge_streams(const mn_step *s, const mn_hyper_weights *w, mn_rows out, mn_rows gates, mn_rows x,
                                mn_rows mixes, mn_error *err);
mn_status mn_tape_spread_streams(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_rows gates, mn_error *err);
mn_status mn_tape_merge_streams_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);
mn_status mn_tape_spread_streams_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);

/* tape_experts.c */
mn_status mn_tape_experts(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_rows routed, const int64_t *rows,
                          mn_error *err);
mn_status mn_tape_experts_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);

/* tape_mixer.c */
mn_status mn_tape_convolve_mixer(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_error *err);
mn_status mn_tape_mix_shifted(const mn_step *s, int layer, bool before_mlp, mn_rows out, mn_rows x, mn_error *err);
mn_status mn_tape_mix_state(const mn_step *s, int layer, mn_rows out, const mn_mixer_inputs *in, mn_error *err);
mn_status mn_tape_gate(const mn_step *s, mn_gate gate, mn_rows out, mn_rows x, mn_rows g, mn_error *err);
mn_status mn_tape_convolve_mixer_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);
mn_status mn_tape_mix_shifted_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);
mn_status mn_tape_mix_state_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);
mn_status mn_tape_gate_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);

/* tape_recurrent.c */
mn_status mn_tape_mix_recurrent(const mn_step *s, int layer, mn_rows out, mn_rows softmax, mn_rows y, mn_rows q,
                                mn_rows k, mn_rows v, mn_error *err);
mn_status mn_tape_mix_recurrent_backward(mn_tape *t, const mn_step *s, const mn_tape_entry *e, mn_error *err);

#endif
