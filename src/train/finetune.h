/* Fine-tuning to a longer window: what a configuration says where nobody said it. */
#ifndef MN_TRAIN_FINETUNE_H
#define MN_TRAIN_FINETUNE_H

#include "model/config.h"
#include "train/config.h"

/* How much of a model is trained, which decides the rate. */
typedef enum mn_finetune_kind { MN_FINETUNE_ALL, MN_FINETUNE_LORA } mn_finetune_kind;

/* Sets, for config->window and config->steps as they are, what the papers agree on (PI, arXiv:2306.15595; YaRN,
 * arXiv:2309.00071; LongLoRA, arXiv:2309.12307): AdamW without decay, a tenth of the steps to warm up, about 8192
 * tokens a step. The rate is 0.1 / n_embd, 2.4e-5 at their 4096 wide models and 5.2e-4 at 192; of adapters four times
 * that. Positions are scaled by YaRN where the window is beyond what they were made for. Both are first words: what the
 * caller sets afterwards counts. */
mn_status mn_finetune_defaults(const mn_config *model, mn_finetune_kind kind, mn_train_config *config, mn_error *err);

/* Adds a source "data" of the paths and, with needles, sources of needles in haystacks of the same texts, which make
 * two thirds of the documents; the loss then counts ordinary text for a third. */
mn_status mn_finetune_sources(const char *paths, bool needles, mn_train_config *config, mn_error *err);

/* LongLoRA's pattern while training: groups of a quarter of the window, in multiples of 32 tokens. */
mn_status mn_finetune_shift(mn_train_config *config, mn_error *err);

#endif
