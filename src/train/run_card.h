/* What a finished training says of itself: RUN/card.md, and keys of the model. */
#ifndef MN_TRAIN_RUN_CARD_H
#define MN_TRAIN_RUN_CARD_H

#include "train/model_file.h"
#include "train/trainer.h"

/* general.name; general.description: what was done, in a sentence; general.base_model.* where it began with a model;
 * training.*: tokens, steps, window and date, as texts. model: as it was trained, its positions set. */
void mn_run_card_keys(const mn_train_config *config, const mn_model *model, const mn_train_state *state,
                      mn_key_changes *out);
/* Data, settings, losses, time and machine, as Markdown. */
mn_status mn_run_card_write(const char *path, const mn_train_config *config, const mn_train_plan *plan,
                            const mn_train_state *state, const mn_run_log *log, const char *config_text, mn_error *err);

#endif
