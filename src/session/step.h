/* Inside a step: what mn_engine_step, mn_session_extend and mn_session_sync have in common. */
#ifndef MN_SESSION_STEP_H
#define MN_SESSION_STEP_H

#include "session/session.h"

#include <mnemo/step.h>

/* mn_engine_step with a progress callback between passes, which counts the tokens of all entries; MN_ERR_CANCELLED for
 * those that are not done when it stops. */
mn_status mn_step_run(mn_engine *engine, mn_step_entry *entries, int n_entries, mn_progress_fn *progress,
                      void *progress_arg, mn_error *err);

/* One pass through the model: its lists, in scratch memory. */
typedef struct mn_pass {
    mn_slice *slices;
    int *entries;    /* [n_slices]: whose they are */
    int64_t *held;   /* [n_slices]: tokens that their sessions held before */
    int32_t *tokens; /* [n_rows] */
    int64_t *wanted; /* rows whose logits are wanted */
    float *logits;   /* [n_wanted, n_vocab] */
    int n_slices;
    int64_t n_rows, n_wanted;
} mn_pass;

/* Room for so many slices, for their rows, and for logits. false: memory has ended. A plan of memory takes what a pass
 * takes. */
bool mn_pass_alloc(mn_pass *pass, mn_arena *scratch, int n_slices);
bool mn_pass_alloc_rows(mn_pass *pass, mn_arena *scratch, int64_t n_rows);
bool mn_pass_alloc_logits(mn_pass *pass, mn_arena *scratch, int64_t n_wanted, int64_t n_vocab);

#endif
