/* Model files of a training: where it starts, in f32, and what it ends as, in the type wanted; the same tensors, with
 * keys that say what was done.
 */
#ifndef MN_TRAIN_MODEL_FILE_H
#define MN_TRAIN_MODEL_FILE_H

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
    char text[200];
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

/* Writes `in` to path with its keys changed and its tensors in `type` (as mn_precision_pick decides), or all of them in
 * f32 when all_f32. All or nothing (mn_writer). */
mn_status mn_model_file_write(const mn_gguf *in, const char *path, const mn_key_changes *changes, mn_dtype type,
                              bool all_f32, mn_pool *pool, mn_error *err);

/* The keys that [positions] and the window change in a model: context_length, rope.scaling.*, rope.freq_base. A factor
 * of 0 becomes window / trained window; ntk becomes the base b s^(d / (d - 2)) of bloc97 (2023), which every engine
 * knows. MN_ERR_ARGUMENT for a window beyond the trained one without scaling, with the factor that covers it. */
mn_status mn_positions_changes(const mn_train_config *config, const mn_config *model, mn_key_changes *out,
                               mn_error *err);

/* Writes the f32 model that a training starts from: config->from, or a new one. path is in the run's folder; a
 * vocabulary from a .model file goes beside it. */
mn_status mn_start_model_write(const mn_train_config *config, const char *path, mn_pool *pool, mn_error *err);

#endif
