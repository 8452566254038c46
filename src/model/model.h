/* A model: its file, what it is made of, and its weights. Read-only once opened. */
#ifndef MN_MODEL_MODEL_H
#define MN_MODEL_MODEL_H

#include "model/config.h"
#include "model/weights.h"

typedef struct mn_model {
    mn_gguf *gguf;
    mn_config config;
    mn_weights weights;
    bool experts_on_disk; /* set by who opened it: mn_experts.on_disk */
    float *alibi_slopes;  /* [n_layers][n_heads], or NULL */
    mn_arena arena;       /* vectors copied as f32 */
} mn_model;

/* The layer's slopes, NULL without ALiBi. */
static inline const float *mn_model_slopes(const mn_model *m, int layer) {
    return m->alibi_slopes ? m->alibi_slopes + (size_t)layer * (size_t)m->config.n_heads : NULL;
}

/* Opens and checks everything that a forward pass will touch. The caller closes it. */
mn_status mn_model_open(const char *path, mn_model *out, mn_error *err);
/* The same for a file that is open already; takes it over, also on failure. */
mn_status mn_model_bind(mn_gguf *gguf, mn_model *out, mn_error *err);
void mn_model_close(mn_model *model);

#endif
