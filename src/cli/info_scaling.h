/* The part of `mnemo info` that scaling laws answer. */
#ifndef MN_CLI_INFO_SCALING_H
#define MN_CLI_INFO_SCALING_H

#include "cli/model_facts.h"

#include <jansson.h>

/* Prints FLOP per training token and what each law expects; nothing where the file does not state the shape. */
void info_print_scaling(const mn_model_facts *facts);
/* Adds "train_flops_per_token" and "scaling", a list of one object for each law. */
void info_put_scaling(json_t *object, const mn_model_facts *facts);

#endif
