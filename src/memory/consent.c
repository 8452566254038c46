/* Calls that wait for the user's consent. That a call waits is not written down: its message is in recall without a
 * result. The decision is committed together with what it brings, a result. */
#include "memory/agent_inside.h"

#include "llm/wire.h"

#include <stdlib.h>
#include <string.h>

bool mn_agent_needs_consent(const mn_agent *a, const char *name) {
    const char *list = a->params.consent;
    size_t n = strlen(name);
    if (!list || !strcmp(name, "send_message")) return false;
    for (const char *at = list; *at; at += strspn(at, ", ")) {
        size_t bytes = strcspn(at, ", ");
        if ((bytes == 1 && *at == '*') || (bytes == n && !strncmp(at, name, n))) return true;
        at += bytes;
    }
    return false;
}

/* The open unit whose next call waits; -1 = none does. */
static int64_t waiting_unit(const mn_agent *a, size_t *call) {
    int64_t unit = mn_agent_open_unit(a, call);
    if (unit < 0 || *call >= a->queue.items[unit].calls.n_calls) return -1;
    return mn_agent_needs_consent(a, a->queue.items[unit].calls.calls[*call].name) ? unit : -1;
}

bool mn_agent_is_waiting(const mn_agent *a) {
    size_t call;
    return waiting_unit(a, &call) >= 0;
}

mn_status mn_agent_waits(const mn_agent *a, bool *waits, mn_llm_reply *call, mn_error *err) {
    size_t index;
    int64_t unit = waiting_unit(a, &index);
    mn_llm_reply calls = {0};
    *call = (mn_llm_reply){0};
    *waits = unit >= 0;
    if (unit < 0) return MN_OK;
    /* As the message has it: what the queue shows may be shortened. */
    bool ok = mn_llm_calls_parse(a->queue.items[unit].message.at.calls, &calls) && index < calls.n_calls &&
              mn_llm_reply_add_call(call, calls.calls[index].id, calls.calls[index].name, calls.calls[index].arguments);
    mn_llm_reply_release(&calls);
    return ok ? MN_OK : mn_fail(err, MN_ERR_FORMAT, "The call that waits for your consent cannot be read.");
}

mn_status mn_agent_refuse_input(const mn_agent *a, mn_error *err) {
    size_t call;
    int64_t unit = waiting_unit(a, &call);
    if (unit < 0) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "The agent waits for your consent to %.60s; allow or refuse it, then it listens again.",
                   a->queue.items[unit].calls.calls[call].name);
}

mn_status mn_agent_decide(mn_agent *a, bool allowed, const char *reason, mn_error *err) {
    size_t call;
    if (a->is_stale) MN_TRY(mn_agent_reload(a, err));
    int64_t unit = waiting_unit(a, &call);
    if (unit < 0) return mn_fail(err, MN_ERR_ARGUMENT, "No call waits for your consent.");
    char *text = mn_clean_text(reason ? reason : "", reason ? strlen(reason) : 0);
    if (!text) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a reason.");
    mn_status status = mn_agent_execute(a, (size_t)unit, call, allowed ? NULL : text, err);
    if (status != MN_OK) a->is_stale = true;
    free(text);
    return status;
}
