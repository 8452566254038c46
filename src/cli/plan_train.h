/* mnemo plan --train, which takes a training's configuration where mnemo plan takes a model. */
#ifndef MN_CLI_PLAN_TRAIN_H
#define MN_CLI_PLAN_TRAIN_H

#include <stdbool.h>

/* Whether these arguments of mnemo plan are of a training. */
bool mn_plan_is_of_training(int argc, char **argv);
/* The verb with such arguments; the result is the exit code. */
int mn_plan_training(int argc, char **argv);

#endif
