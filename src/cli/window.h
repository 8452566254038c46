/* A text that does not fit, and what to type so that it does. */
#ifndef MN_CLI_WINDOW_H
#define MN_CLI_WINDOW_H

#include "cli/model_options.h"

enum { MN_ANSWER_TOKENS = 256 }; /* an answer's, where nothing else ends it */

typedef char mn_window_flags_text[96];

/* Fills out with the flags that, added to those given, make a window of n_ctx tokens: "-c 8000", or with
 * "--rope-scaling yarn" or "-ctk q8_0 -ctv q8_0" behind it where only that helps, by what the model's positions reach
 * and this machine's memory holds. False when none of them does. */
bool mn_window_flags(const mn_model_options *o, mn_engine *engine, int64_t n_ctx, mn_window_flags_text out);

/* MN_ERR_LIMIT when the tokens leave no place for an answer, with the flags that leave `room` tokens for it. */
mn_status mn_window_check(const mn_model_options *o, mn_engine *engine, const mn_session *session, int64_t n_tokens,
                          int64_t room, mn_error *err);

#endif
