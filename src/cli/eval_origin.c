/* What the results of a run of mnemo eval were made with: another run goes on where they stop only with the same. */
#include "cli/eval.h"

#include <string.h>

/* How fast an answer comes, and not which one: what may differ between the run that began and the one that goes on. */
static const char *const without_effect[] = {"m model", "t threads", "b batch-size", "ub ubatch-size",
                                             "experts-on-disk"};

static bool has_effect(const mn_option *o) {
    for (size_t i = 0; i < sizeof without_effect / sizeof *without_effect; i++)
        if (!strcmp(o->names, without_effect[i])) return false;
    return true;
}

static void put_option(mn_strbuf *out, const mn_option *o) {
    int bytes = (int)strcspn(o->names, " ");
    if (o->kind == MN_OPT_TEXT && *o->to.text) mn_strbuf_printf(out, " %.*s=%s", bytes, o->names, *o->to.text);
    if (o->kind == MN_OPT_INT && *o->to.integer)
        mn_strbuf_printf(out, " %.*s=%lld", bytes, o->names, (long long)*o->to.integer);
    double standard = o->standard ? -1 : 0; /* of the numbers that change a session */
    if (o->kind == MN_OPT_NUMBER && *o->to.number != standard)
        mn_strbuf_printf(out, " %.*s=%.9g", bytes, o->names, *o->to.number);
}

void mn_eval_put_origin(mn_strbuf *out, const mn_eval_grid *g) {
    const mn_option *const groups[] = {mn_model_option_rows, mn_position_option_rows};
    const char *slash = strrchr(g->model, '/');
    mn_strbuf_printf(out, "model=%s seed=%lld", slash ? slash + 1 : g->model, (long long)g->seed);
    for (size_t i = 0; i < 2; i++)
        for (const mn_option *o = groups[i]; o->kind != MN_OPT_END; o++)
            if (has_effect(o)) put_option(out, o);
}
