/* What a training takes, before it begins. */
#ifndef MN_TRAIN_PLAN_H
#define MN_TRAIN_PLAN_H

#include "train/parameters.h"
#include "train/trainer.h"

/* Decides whether to recompute, and counts what a step of this configuration takes, by running one of whole windows
 * over a dry pool. MN_ERR_MEMORY where it is more than is free. */
mn_status mn_train_plan_make(const mn_train_config *config, mn_parameters *parameters, mn_parameters *adapters,
                             const mn_compute *compute, mn_train_plan *out, mn_error *err);

#endif
