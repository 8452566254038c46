/* The weights of a model in training: f32 in memory that can be written, with gradients and moments beside them.
 *
 * The model is an ordinary one, bound to an f32 GGUF that is mapped privately: changing a weight changes what forward.c
 * multiplies with. Gradients lie in a second block of the same layout, so that the gradient of the weight at address w
 * stands at a constant distance from it, whatever part of a tensor w points to (mn_gradient_of).
 */
#ifndef MN_TRAIN_PARAMETERS_H
#define MN_TRAIN_PARAMETERS_H

#include "model/model.h"
#include "train/config.h"

typedef struct mn_parameter {
    const char *name;    /* the tensor's; borrowed from the model */
    int64_t n_in, n_out; /* a matrix: rows of n_in; a stack counts its rows together; a vector: n_out 1 */
    bool is_matrix;
    float *weights, *gradients; /* [n_out][n_in] */
    float *moments[2];          /* AdamW's two, Muon's one; NULL where frozen */
    bool frozen;
    bool moves; /* frozen, but changed by a rule of its own: a checkpoint keeps it */
    mn_optimiser optimiser;
    double rate, decay; /* before the schedule */
} mn_parameter;

typedef struct mn_parameters {
    mn_model model;  /* of a model's file; its gguf is owned here */
    mn_gguf *gguf;   /* of a file of adapters alone */
    mn_mapfile map;  /* of the model, private and writable */
    char *gradients; /* as many bytes as the model's tensors take */
    float *moments;
    mn_parameter *items;        /* by ascending address */
    int64_t n_items, n_trained; /* tensors; numbers that are trained */
} mn_parameters;

/* Maps the f32 model at `path` (mn_gguf_convert makes one) and decides for each tensor how it is trained: the config's
 * groups, else Muon or AdamW for matrices of layers, AdamW for the token table, position table and output; no decay for
 * norms, gates, biases, taps and routers. With adapters (config->lora_rank) everything is frozen here. RoPE factors are
 * never trained. Errors: a tensor that is not f32, memory, a group that matches nothing. The caller closes it. */
mn_status mn_parameters_open(const char *path, const mn_train_config *config, mn_parameters *out, mn_error *err);
/* The same for a file of adapters (f32), all of whose matrices are trained by AdamW. */
mn_status mn_parameters_open_adapters(const char *path, const mn_train_config *config, mn_parameters *out,
                                      mn_error *err);
/* A model of any types that is not trained itself: it takes no gradients, and nothing but its mapping. */
mn_status mn_parameters_open_frozen(const char *path, mn_parameters *out, mn_error *err);
void mn_parameters_close(mn_parameters *parameters);

/* Where the gradient of a weight is added up; NULL for an address that is no weight of this model. */
static inline float *mn_gradient_of(const mn_parameters *p, const float *weight) {
    uintptr_t at = (uintptr_t)weight, begin = (uintptr_t)p->map.data;
    if (at < begin || at >= begin + p->map.bytes) return NULL;
    return (float *)(void *)(p->gradients + (at - begin));
}
/* The same, but NULL for weights that are frozen. O(log n_items). */
float *mn_parameters_trained(const mn_parameters *p, const void *weight);
/* Sets all gradients to 0. */
void mn_parameters_clear_gradients(mn_parameters *parameters);

/* Bytes of weights, gradients and moments for a model of n_params numbers of which n_trained are trained by AdamW. */
size_t mn_parameters_bytes(int64_t n_params, int64_t n_trained);

#endif
