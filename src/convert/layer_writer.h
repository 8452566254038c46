/* Writes a model again with some tensors of its layers replaced by others: how every change of heads ends. */
#ifndef MN_CONVERT_LAYER_WRITER_H
#define MN_CONVERT_LAYER_WRITER_H

#include "model/gguf_precision.h"

enum { MN_MAX_NEW_TENSORS = 16 };

/* A tensor "blk.LAYER.NAME" that takes the place of others. */
typedef struct mn_new_tensor {
    const char *name; /* what stands behind "blk.LAYER." */
    mn_dtype type;    /* in which the model has what it is made of; MN_F32 where mn_precision_is_kept */
    bool precise;     /* f16 or better, whatever type is asked for */
    int n_dims;
    int64_t ne[3];
    const void *data; /* in `type`, borrowed from the model; NULL: `make` computes it */
} mn_new_tensor;

typedef struct mn_layer_change {
    const mn_gguf *in;
    int n_layers; /* tensors of further ones, which the model does not read, are left out */
    /* Names that are left out, of a layer's tensors without the layer, ended by NULL; new tensors come where the first
     * one of the layer was. */
    const char *const *dropped;
    /* Lists the new tensors of a layer; returns how many. */
    int (*list)(void *arg, int layer, mn_new_tensor out[MN_MAX_NEW_TENSORS]);
    /* Computes the i-th of a layer's list, f32 [ne[2]][ne[1]][ne[0]]; called in the order of the file, and when this
     * layer was the last that was listed. */
    mn_status (*make)(void *arg, int layer, int i, float *out, mn_error *err);
    void *arg;
    mn_dtype type; /* of the weights (mn_precision_pick); MN_DTYPE_COUNT: as they are, f16 where that is only read */
} mn_layer_change;

/* Puts the keys that say in which types the tensors are. */
void mn_layer_change_put_types(const mn_layer_change *change, mn_gguf_writer *to);

/* Writes the tensors behind the keys that the caller has put. Holds one tensor in memory. All or nothing. Errors:
 * values that their type cannot represent, and those of `make`. */
mn_status mn_layer_change_write(const mn_layer_change *change, mn_gguf_writer *to, const char *path, mn_error *err);

#endif
