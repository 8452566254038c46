/* A training as mnemo train and mnemo finetune show it: what it takes, how far it is, how it ended. */
#ifndef MN_CLI_TRAIN_RUN_H
#define MN_CLI_TRAIN_RUN_H

#include "train/config.h"

/* Prints the configuration with all its keys. */
void mn_train_show(const mn_train_config *config);
/* Trains to the end, or until SIGINT, SIGTERM or max-minutes, which write a checkpoint (MN_ERR_CANCELLED, and a line
 * that says how to go on). Progress goes to standard error: one line that moves on a terminal, one line a validation
 * elsewhere. */
mn_status mn_train_run(const mn_train_config *config, mn_error *err);

#endif
