/* Inside the CPU's backend: what its files share. */
#ifndef MN_MODEL_BACKEND_CPU_OPS_H
#define MN_MODEL_BACKEND_CPU_OPS_H

#include "mlp/moe.h"
#include "model/backend_cpu.h"
#include "recurrent/causal_conv.h"
#include "recurrent/gated_delta.h"
#include "recurrent/mamba2.h"
#include "recurrent/rwkv7.h"

/* backend_cpu_attention.c */
mn_status mn_cpu_append(const mn_step *s, int layer, int plane, mn_rows k, mn_rows v, mn_error *err);
mn_status mn_cpu_attend(const mn_step *s, int layer, int range, mn_rows out, mn_rows lse, mn_rows q, mn_error *err);
mn_status mn_cpu_attend_latent(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                               mn_error *err);

/* The call made one over a copy of the few entries that its only row has chosen of many, where that pays. */
mn_status mn_cpu_gather_chosen(const mn_step *s, mn_attend *a, mn_error *err);
/* A call's pairs of a query and a key, for the sequence's share of keys and for a profile. all: whether full attention
 * of the same rows counts with it. */
void mn_cpu_count_call(const mn_step *s, const mn_slice *slice, const mn_attend *a, bool all);
/* Lets rows of the slice weigh nothing. */
void mn_cpu_clear_lse(const mn_slice *slice, mn_rows lse);

/* backend_cpu_compressed.c */
mn_status mn_cpu_compress(const mn_step *s, int layer, bool of_indexer, mn_rows u, mn_rows sc, mn_error *err);
mn_status mn_cpu_attend_compressed(const mn_step *s, int layer, mn_rows out, mn_rows lse, mn_rows q, mn_rows chosen,
                                   mn_error *err);

/* backend_cpu_streams.c */
mn_status mn_cpu_merge_streams(const mn_step *s, const mn_hyper_weights *w, mn_rows out, mn_rows gates, mn_rows x,
                               mn_rows mixes, mn_error *err);
mn_status mn_cpu_spread_streams(const mn_step *s, mn_rows out, mn_rows x, mn_rows y, mn_rows gates, mn_error *err);

/* backend_cpu_indexer.c */
mn_status mn_cpu_choose_keys(const mn_step *s, int layer, mn_rows chosen, mn_rows q, mn_rows k, mn_rows weights,
                             mn_rows angles, mn_error *err);
/* The bits of a row. */
static inline uint64_t *mn_cpu_chosen(mn_rows chosen, int64_t row) {
    return (uint64_t *)(void *)mn_cpu_row(chosen, row);
}
mn_status mn_cpu_merge(const mn_step *s, mn_rows out, mn_rows lse, mn_rows x, mn_rows x_lse, mn_rows y, mn_rows y_lse,
                       mn_error *err);

/* backend_cpu_recurrent.c */
mn_status mn_cpu_convolve(const mn_step *s, int layer, mn_rows q_out, mn_rows k_out, mn_rows q, mn_rows k,
                          mn_error *err);
mn_status mn_cpu_mix_recurrent(const mn_step *s, int layer, mn_rows out, mn_rows softmax, mn_rows y, mn_rows q,
                               mn_rows k, mn_rows v, mn_error *err);

/* backend_cpu_easy.c */
mn_status mn_cpu_split(const mn_step *s, int layer, mn_split *out, mn_rows x, const int64_t *rows, mn_error *err);
mn_status mn_cpu_join(const mn_step *s, int layer, mn_split *split, int part, mn_rows out, mn_rows y, mn_error *err);

/* A layer's experts. */
mn_experts mn_cpu_experts(const mn_model *m, int layer);
/* What the queries of a row of the step are multiplied with. */
float mn_cpu_temperature(const mn_step *s, int64_t row);
/* backend_cpu_mixer.c */
mn_status mn_cpu_convolve_mixer(const mn_step *s, int layer, mn_rows out, mn_rows x, mn_error *err);
mn_status mn_cpu_mix_shifted(const mn_step *s, int layer, bool before_mlp, mn_rows out, mn_rows x, mn_error *err);
mn_status mn_cpu_mix_state(const mn_step *s, int layer, mn_rows out, const mn_mixer_inputs *in, mn_error *err);
/* A layer's mixer as the files of recurrent/ take it, and a slice's rows for it. */
mn_causal_conv mn_cpu_mixer_conv(const mn_model *model, int layer);
void mn_cpu_convolve_by(const mn_step *s, const mn_causal_conv *conv, int layer, mn_rows out, mn_rows x);
mn_gated_delta mn_cpu_gated_delta(const mn_model *model, int layer);
mn_mamba2 mn_cpu_mamba2(const mn_model *model, int layer);
mn_rwkv7 mn_cpu_rwkv7(const mn_model *model, int layer);
mn_matrix_rows mn_cpu_mixer_rows(const mn_slice *slice, mn_rows out, const mn_mixer_inputs *in);
mn_delta_gates mn_cpu_delta_gates(const mn_slice *slice, const mn_mixer_inputs *in);
mn_rwkv7_rows mn_cpu_rwkv7_rows(const mn_slice *slice, mn_rows out, const mn_mixer_inputs *in);

/* out += scale B (A x), for each adapter: two thin products. */
mn_status mn_cpu_add_adapters(const mn_step *s, mn_rows out, const mn_lora *lora, mn_rows x, mn_error *err);

/* Rows per range of a loop, so that waking a thread pays. */
int64_t mn_cpu_grain(int64_t floats_per_row);
/* [n_rows * n] floats of scratch, or NULL. */
static inline float *mn_cpu_floats(const mn_step *s, int64_t n_rows, int64_t n) {
    return mn_arena_alloc(mn_cpu_compute(s)->scratch, (size_t)n_rows * (size_t)n, sizeof(float));
}

#endif
