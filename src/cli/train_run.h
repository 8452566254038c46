/* A training as mnemo train and mnemo finetune show it: what it takes, how far it is, how it ended. */
#ifndef MN_CLI_TRAIN_RUN_H
#define MN_CLI_TRAIN_RUN_H

#include "train/trainer.h"

#include <stdio.h>

/* Prints the configuration with all its keys. */
void mn_train_show(const mn_train_config *config);
/* What a training takes, in lines. */
void mn_train_print_plan(const mn_train_plan *plan, const mn_train_config *config, FILE *to);
/* Trains to the end, or until SIGINT, SIGTERM or max-minutes, which write a checkpoint (MN_ERR_CANCELLED, and a line
 * that says how to go on). Progress goes to standard error: one line that moves on a terminal, one line a validation
 * elsewhere. */
mn_status mn_train_run(const mn_train_config *config, mn_error *err);
/* Operations a second of the products of training on this machine: bf16 where the level has them, else, and in exact
 * arithmetic, f32. Takes a third of a second. */
mn_status mn_train_peak(const mn_train_config *config, double *flops_per_s, mn_error *err);

#endif
