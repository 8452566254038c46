/* Whole models run in tests: every row of logits that a session gives for a text. */
#ifndef MN_TESTS_SESSION_ROWS_H
#define MN_TESTS_SESSION_ROWS_H

#include "session/session.h"
#include "support/support.h"

enum { ROWS_TOKENS = 300, ROWS_MAX_DIM = 1024 };

typedef struct session_rows {
    float *data; /* [ROWS_TOKENS, n_vocab], freed by the caller */
    int n_vocab;
} session_rows;

/* An engine in exact mode over a model of the test data or, by "models/default.gguf", of the sources. */
mn_engine *rows_engine(const char *name);
/* ROWS_TOKENS ids, the same every time. */
void rows_tokens(const mn_engine *engine, int32_t *tokens);
/* Logits after every token, in a session of its own; params->n_ctx and position.beyond are set here. */
session_rows rows_run(mn_engine *engine, mn_session_params params, const int32_t *tokens);
size_t rows_bytes(session_rows rows);
/* Fails where the largest difference is beyond a share of the logits' deviation. */
void rows_close(session_rows got, session_rows want, double share, const char *what);
/* A row of the f32 cache. */
const float *rows_cached(const void *const *pages, size_t row_bytes, int head, int64_t token);

#endif
