/* Model files of a training: where it starts, in f32, and what it ends as, in the type wanted; the same tensors, with
 * keys that say what was done.
 */
#ifndef MN_TRAIN_MODEL_FILE_H
#define MN_TRAIN_MODEL_FILE_H

#include "model/adapter.h"
#include "model/config.h"
#include "model/gguf_precision.h"
#include "train/config.h"

enum { MN_MAX_KEY_CHANGES = 32 };

/* Keys that take the place of a file's own, or are new. */
typedef struct mn_key_change {
    char key[96];
    enum { MN_KEY_U32, MN_KEY_F32, MN_KEY_BOOL, MN_KEY_STRING, MN_KEY_GONE } kind;
    uint32_t whole;
    float number;
    char text[MN_KEY_TEXT_BYTES];
} mn_key_change;

typedef struct mn_key_changes {
    mn_key_change items[MN_MAX_KEY_CHANGES];
    int n;
} mn_key_changes;

/* A later change of a key replaces an earlier one. */
void mn_change_u32(mn_key_changes *c, const char *key, uint32_t value);
void mn_change_f32(mn_key_changes *c, const char *key, float value);
void mn_change_string(mn_key_changes *c, const char *key, const char *value);
void mn_change_remove(mn_key_changes *c, const char *key);

/* The types in which tensors are written: all in f32; as mn_precision_pick decides for the type asked for; as they
 * are. */
typedef enum mn_tensor_types { MN_TYPES_ALL_F32, MN_TYPES_PICKED, MN_TYPES_KEPT } mn_tensor_types;

/* Writes `in` to path with its keys changed and its tensors in the types wanted; type counts with MN_TYPES_PICKED
 * alone. All or nothing (mn_writer). */
mn_status mn_model_file_write(const mn_gguf *in, const char *path, const mn_key_changes *changes, mn_tensor_types types,
                              mn_dtype type, mn_pool *pool, mn_error *err);

/* The keys alone, into a writer to which the caller gives the tensors. */
void mn_model_file_put_keys(const mn_gguf *in, const mn_key_changes *changes, mn_tensor_types types, mn_dtype type,
                            mn_gguf_writer *to);

/* The keys that [positions] and the window change in a model: context_length, rope.scaling.*, rope.freq_base. A factor
 * of 0 becomes window / trained window; ntk becomes the base b s^(d / (d - 2)) of bloc97 (2023), which every engine
 * knows, and takes the place of what the file scaled by, as "none" does. MN_ERR_ARGUMENT for a window beyond the
 * trained one without scaling, with the factor that covers it. */
mn_status mn_positions_changes(const mn_train_config *config, const mn_config *model, mn_key_changes *out,
                               mn_error *err);

/* Writes the model that a training starts from: config->from, or a new one; in f32, or, where adapters alone are
 * trained, in the types that it has. path is in the run's folder; a vocabulary from a .model file goes beside it. */
mn_status mn_start_model_write(const mn_train_config *config, const char *path, mn_pool *pool, mn_error *err);

/* Whether weights of the model itself are trained, beside adapters or without any. */
static inline bool mn_trains_model(const mn_train_config *c) {
    return c->lora_rank == 0 || c->lora_norms || c->lora_embeddings;
}

/* Writes adapters of config->lora_rank for the matrices that config->lora_targets names, in f32: A drawn with deviation
 * 1 / sqrt(n_in), B zero, so that they change nothing yet. Errors: a target that is none, one that the model has in a
 * fused matrix. */
mn_status mn_start_adapters_write(const mn_train_config *config, mn_model *model, const char *path, mn_error *err);

#endif
