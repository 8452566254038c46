/* --session FILE: a run that starts from a saved session and saves its own, without losing either. */
#ifndef MN_CLI_SAVED_SESSION_H
#define MN_CLI_SAVED_SESSION_H

#include <mnemo/session.h>

typedef struct mn_saved_session {
    const char *path; /* NULL: there is no such file, and nothing below does anything */
    bool replace;     /* a file of another text, model or setting gives way */
    bool is_kept;     /* the file stays as it is */
    mn_error failure; /* why the session was not saved, status MN_OK when it was; the answer is given all the same */
} mn_saved_session;

/* Before the prompt is run: restores what the file holds. A file that holds another text than these n tokens is kept,
 * with a line on standard error, unless `replace`; so is one that has no room for what is to be saved. A file of
 * another model or setting is an error, unless `replace`. */
mn_status mn_saved_session_begin(mn_saved_session *saved, mn_session *session, const int32_t *tokens, int64_t n,
                                 mn_error *err);
/* After it: saves the session, also one that was stopped on the way. A failure goes to saved->failure. */
void mn_saved_session_save(mn_saved_session *saved, const mn_session *session);

#endif
