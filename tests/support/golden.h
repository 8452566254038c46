/* Reference logits: a model, the tokens fed to it, and float32 rows of what it should answer. */
#ifndef MN_TESTS_GOLDEN_H
#define MN_TESTS_GOLDEN_H

#include "support/support.h"
#include "tensor/dtype.h"

#include <mnemo/session.h>

typedef struct golden {
    char model_path[4096];
    int32_t *tokens;
    int64_t n_tokens, n_ctx; /* n_ctx: the window that the reference had, or n_tokens */
    int64_t *rows;           /* token indexes, ascending */
    int64_t n_rows;
    float *logits; /* [n_rows, n_vocab] */
    int64_t n_vocab;
    double std; /* of the logits */
} golden;

/* name: "golden/tiny-llama", or with another run than short "golden/tiny-llama4@xlong"; find: data_path, or shared_path
 * for what is not committed. */
golden golden_load(const char *name, const char *(*find)(const char *relative));
void golden_free(golden *g);

/* g with its model's weights in another type, in a file of its own that the caller unlinks; what else g has is shared.
 */
golden golden_convert(const golden *g, mn_dtype type);

/* The golden rows [n_rows, n_vocab] as a session computes them, over a window of the tokens; the caller frees them. */
float *golden_compute(const golden *g, const mn_engine_params *engine_params, mn_session_params params);

typedef void golden_check(const golden *g, const char *name, int level);
/* Checks every model at every level that this test covers (support/levels.h), with MNEMO_CPU set to it. */
void golden_each(const char *const *names, int n, const char *(*find)(const char *relative), golden_check *check);

/* Exact arithmetic within 1e-3 of the reference's standard deviation, the same argmax. */
golden_check golden_check_exact;
/* Not close, the same bits: at once, in steps of several sizes, with several threads. */
golden_check golden_check_chunks;
/* A session that was saved half-way and restored goes on with the same bits. */
golden_check golden_check_restored;
/* The arithmetic that users run, of a prompt and (short texts) token by token, with weights of f32, f16, q8_0 and q4_k:
 * within the bounds for the level (golden_fast.c). */
golden_check golden_check_fast;

/* Models, and what is checked of them at every level: exact arithmetic, chunks, sessions that were saved, and of the
 * first n_fast by `fast` the arithmetic that users run. */
typedef struct golden_suite {
    const char *const *models;
    int n_models, n_fast;
    golden_check *fast;
} golden_suite;
/* Runs these tests; what main returns. */
int golden_run(const golden_suite *suite);

int64_t golden_argmax(const float *x, int64_t n);
/* Fails unless every row is within max_share of the reference's standard deviation and has the same argmax. */
void golden_compare(const golden *g, const float *logits, double max_share, const char *what);

#endif
