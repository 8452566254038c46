/* Models with small MLPs for easy tokens, made of those of the test data. */
#ifndef MN_TESTS_SUPPORT_EASY_MODEL_H
#define MN_TESTS_SUPPORT_EASY_MODEL_H

#include "convert/small_mlp.h"

/* Writes the model at `path` with small MLPs of 1 / divisor in all layers, calibrated by 256 tokens (the same every
 * time) or not at all. Returns the name, which is good until the next call. */
const char *easy_model(const char *path, int divisor, bool calibrated);
/* The model at `path` with its small MLPs in the place of the large ones, and no routers. The same. */
const char *easy_model_small_alone(const char *path);

#endif
