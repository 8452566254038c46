/* What run has to say besides the answer. */
#ifndef MN_CLI_RUN_REPORT_H
#define MN_CLI_RUN_REPORT_H

#include "cli/profile.h"
#include "session/generate.h"

typedef struct mn_run_figures {
    int64_t n_prompt, n_reused;
    double prefill_s, decode_s;
    /* The first tenth of the prefill, and all but the last tenth: where a long text becomes slow shows. */
    int64_t n_first, n_before_last;
    double first_s, before_last_s;
    mn_generated answer;
    uint64_t seed;
    bool has_disk;
    mn_key_figures keys[2];  /* of the session, after the prefill and after the answer */
    mn_profile *profiles[2]; /* prefill, decode; NULL: not asked for */
} mn_run_figures;

/* Lines on standard error. */
void mn_run_print_figures(const mn_run_figures *f, const mn_session *session);
/* The profiles, as tables on standard error; nothing without them. */
void mn_run_print_profiles(const mn_run_figures *f);
mn_status mn_run_draw_profiles(const mn_run_figures *f, const char *path, mn_error *err);
/* One JSON object on standard output: answer (bytes that are no UTF-8 as U+FFFD), finish, figures, ids of the answer.
 */
mn_status mn_run_print_json(const mn_run_figures *f, const mn_session *session, const char *model, const char *answer,
                            size_t answer_bytes, mn_error *err);

#endif
