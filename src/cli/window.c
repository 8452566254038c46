#include "cli/window.h"

#include "base/ram.h"
#include "session/session.h"

#include <stdio.h>
#include <stdlib.h>

/* Whether a session with these parameters could be opened here; it takes no memory to find out. */
static bool can_open(mn_engine *engine, const mn_session_params *params) {
    mn_window window;
    mn_memory_plan plan;
    mn_error why;
    mn_session *s = calloc(1, sizeof *s);
    if (!s) return false;
    s->engine = engine;
    mn_room room = {.free_bytes = mn_ram_free()};
    bool can = mn_session_resolve(s, params, &window, &why) == MN_OK &&
               mn_memory_plan_make(engine, &window, &plan, &why) == MN_OK &&
               mn_memory_plan_check(engine, &window, &plan, &room, &why) == MN_OK;
    mn_session_close(s);
    return can;
}

bool mn_window_flags(const mn_model_options *o, mn_engine *engine, int64_t n_ctx, mn_window_flags_text out) {
    bool scaled = o->rope_scaling || o->rope_scale > 0 || o->rope_freq_scale > 0 || o->rope_freq_base > 0;
    bool typed = o->type_k || o->type_v;
    for (int cache = 0; cache <= !typed; cache++)
        for (int yarn = 0; yarn <= !scaled; yarn++) {
            mn_model_options tried = *o;
            tried.n_ctx = n_ctx;
            if (yarn) tried.rope_scaling = "yarn";
            if (cache) tried.type_k = tried.type_v = "q8_0";
            mn_session_params params = mn_model_options_params(&tried);
            if (!can_open(engine, &params)) continue;
            snprintf(out, sizeof(mn_window_flags_text), "-c %lld%s%s", (long long)n_ctx,
                     yarn ? " --rope-scaling yarn" : "", cache ? " -ctk q8_0 -ctv q8_0" : "");
            return true;
        }
    return false;
}

mn_status mn_window_check(const mn_model_options *o, mn_engine *engine, const mn_session *session, int64_t n_tokens,
                          int64_t room, mn_error *err) {
    int64_t n_ctx = mn_session_n_ctx(session);
    mn_window_flags_text flags;
    if (n_tokens < n_ctx) return MN_OK;
    if (mn_window_flags(o, engine, n_tokens + room, flags))
        return mn_fail(err, MN_ERR_LIMIT,
                       "the text is %lld tokens; the window holds %lld. Use %s, which leaves %lld for the answer, or a "
                       "shorter text.",
                       (long long)n_tokens, (long long)n_ctx, flags, (long long)room);
    return mn_fail(err, MN_ERR_LIMIT,
                   "the text is %lld tokens; the window holds %lld, and no flag makes one of %lld here, which would "
                   "leave %lld for the answer. Use a shorter text.",
                   (long long)n_tokens, (long long)n_ctx, (long long)(n_tokens + room), (long long)room);
}
