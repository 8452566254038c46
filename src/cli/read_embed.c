/* mnemo read --embed: passages ranked by vectors too. */
#include "cli/read.h"

#ifdef MNEMO_HAVE_GRAPH
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/terminal.h"

#include "graph/near.h"

#include <stdio.h>
#include <string.h>

static bool step(void *arg, int64_t done, int64_t all) {
    mn_progress *p = arg;
    if (!p->total) {
        mn_progress_end(p);
        mn_progress_begin(p, "embed", "passages", all);
    }
    mn_progress_at(p, done);
    return !mn_signals_interrupted();
}

static mn_status rank(mn_graph *graph, mn_engine *engine, mn_error *err) {
    const char *name = read_given.embed_type;
    mn_dtype type = name && !strcmp(name, "f32") ? MN_F32 : MN_Q8_0;
    mn_progress progress;
    int64_t n = 0;
    mn_signals_catch_interrupt();
    mn_progress_begin(&progress, "embed", "passages", 0);
    mn_status status = mn_graph_rank_near(graph, engine, name ? &type : NULL, step, &progress, &n, err);
    mn_progress_end(&progress);
    mn_signals_release_interrupt();
    if (n) mn_print_line(stderr, 2, "mnemo read: %lld vectors made by %s", (long long)n, read_given.embed);
    return status;
}

mn_status read_rank_near(mn_graph *graph, mn_engine **engine, mn_error *err) {
    const mn_engine_params params = {.n_threads = (int)mn_given_model.n_threads};
    *engine = NULL;
    if (!read_given.embed) return MN_OK;
    MN_TRY(mn_engine_open(read_given.embed, &params, engine, err));
    return rank(graph, *engine, err);
}
#endif
