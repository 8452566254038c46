/* Whole models run in tests: every row of logits that a session gives for a text. */
#ifndef MN_TESTS_SESSION_ROWS_H
#define MN_TESTS_SESSION_ROWS_H

#include "model/backend_cpu.h"
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
/* Runs a check with each model and its rows_tokens. */
typedef void rows_check(mn_engine *engine, const int32_t *tokens);
void rows_each_model(const char *const *names, int n, rows_check *check);
/* Fails where steps of these sizes (ended by 0) change a bit. */
void rows_same_in_steps(mn_engine *engine, mn_session_params params, const int32_t *sizes, const int32_t *tokens);
/* Fails where a token changes a row before its own, or not its own. */
void rows_look_back_only(mn_engine *engine, mn_session_params params, const int32_t *tokens);
/* An oracle's attention of a step: query i of a head and layer, by its definition. */
typedef void rows_attend_row(const mn_sequence *t, const mn_config *c, int layer, int head, int64_t i, const float *q,
                             float *out);
void rows_attend(const mn_step *s, int layer, mn_rows out, mn_rows q, rows_attend_row *attend);
/* A row of the f32 cache. */
const float *rows_cached(const void *const *pages, size_t row_bytes, int head, int64_t token);

#endif
