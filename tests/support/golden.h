/* Reference logits: a model, the tokens fed to it, and float32 rows of what it should answer. */
#ifndef MN_TESTS_GOLDEN_H
#define MN_TESTS_GOLDEN_H

#include "support/support.h"

#include <mnemo/session.h>

typedef struct golden {
    char model_path[4096];
    int32_t *tokens;
    int64_t n_tokens;
    int64_t *rows; /* token indexes, ascending */
    int64_t n_rows;
    float *logits; /* [n_rows, n_vocab] */
    int64_t n_vocab;
    double std; /* of the logits */
} golden;

/* name: "golden/tiny-llama". False when this machine has none of its files. */
bool golden_load(const char *name, golden *out);
void golden_free(golden *g);

/* The golden rows [n_rows, n_vocab] as a session computes them, over a window of the tokens; the caller frees them. */
float *golden_compute(const golden *g, const mn_engine_params *engine_params, mn_session_params params);

/* Fails unless every row is within max_share of the reference's standard deviation and has the same argmax. */
void golden_compare(const golden *g, const float *logits, double max_share, const char *what);

#endif
