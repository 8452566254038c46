#include "cli/terminal.h"
#include "cli/saved_session.h"

#include "base/checked.h"
#include "base/status.h"
#include "cli/remedy.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the file holds a session that fits nothing here; what is no session, or damaged, is never replaced. */
static bool may_replace(mn_status status) {
    return status == MN_ERR_ARGUMENT || status == MN_ERR_UNSUPPORTED || status == MN_ERR_LIMIT;
}

/* Nothing is lost with a file of no bytes, as mktemp makes them. */
static bool is_empty(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

static void add_remedy(mn_error *err, mn_remedy_kind kind) {
    int i = 0;
    while (i < MN_MAX_REMEDIES && err->remedies[i].kind != MN_REMEDY_NONE) i++;
    if (i < MN_MAX_REMEDIES) err->remedies[i].kind = kind;
}

static mn_status restore(mn_saved_session *s, mn_session *session, mn_error *err) {
    mn_sentence sentence;
    if (access(s->path, F_OK) || is_empty(s->path)) return MN_OK;
    mn_status status = mn_session_restore(session, s->path, err);
    if (status == MN_OK || !may_replace(status)) return status;
    if (!s->replace) {
        add_remedy(err, MN_REMEDY_REPLACE);
        return status;
    }
    mn_say("mnemo: %s It will be replaced.", mn_cli_sentence(sentence, err));
    return MN_OK;
}

/* Less than half of what is saved belongs to the new text: it is another one. */
static bool is_other_text(const mn_session *session, const int32_t *tokens, int64_t n, int64_t *shared) {
    const int32_t *held = mn_session_tokens(session);
    int64_t n_held = mn_session_n_tokens(session);
    for (*shared = 0; *shared < MN_MIN(n, n_held) && held[*shared] == tokens[*shared];) ++*shared;
    return 2 * *shared < n_held;
}

mn_status mn_saved_session_begin(mn_saved_session *s, mn_session *session, const int32_t *tokens, int64_t n,
                                 mn_error *err) {
    int64_t shared;
    mn_sentence sentence;
    if (!s->path) return MN_OK;
    MN_TRY(restore(s, session, err));
    if (is_other_text(session, tokens, n, &shared) && !s->replace) {
        s->is_kept = true;
        mn_say(
            "mnemo: %s: holds another text (%lld tokens, of which this one shares %lld); it is kept, and this text is "
            "not saved. --session-replace replaces it.",
            s->path, (long long)mn_session_n_tokens(session), (long long)shared);
    } else if (mn_session_check_save(session, s->path, n, &s->failure) != MN_OK) {
        s->is_kept = true;
        mn_say("mnemo: %s The session will not be saved.", mn_cli_sentence(sentence, &s->failure));
    } else {
        s->failure.status = MN_OK;
    }
    return MN_OK;
}

void mn_saved_session_save(mn_saved_session *s, const mn_session *session) {
    if (!s->path || s->is_kept) return;
    if (mn_session_save(session, s->path, &s->failure) == MN_OK) s->failure.status = MN_OK;
}
