/* mnemo read index --extract: facts by a model, with their cost before it starts. */
#include "cli/read.h"

#ifdef MNEMO_HAVE_GRAPH
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/terminal.h"

#include "graph/extract.h"

#include <stdio.h>

static bool step(void *arg, int64_t done, int64_t all) {
    (void)all;
    mn_progress_at(arg, done);
    return !mn_signals_interrupted();
}

static void print_figures(const mn_extract_figures *f) {
    mn_print_line(stderr, 2,
                  "mnemo read: %lld passages asked about, %lld known; %lld facts with %lld keys (%lld facts and %lld "
                  "keys not in the text, left out), %lld passages given up",
                  (long long)f->n_passages, (long long)f->n_known, (long long)f->n_facts, (long long)f->n_keys,
                  (long long)f->n_lost_facts, (long long)f->n_lost_keys, (long long)f->n_given_up);
}

static mn_status extract(mn_store *store, mn_llm *llm, mn_error *err) {
    int64_t n, prompt, answer;
    mn_progress progress;
    mn_extract_figures figures = {0};
    const mn_extract_options options = {.progress = step, .arg = &progress};
    MN_TRY(mn_llm_set_journal(llm, store, err));
    MN_TRY(mn_extract_cost(store, llm, &n, &prompt, &answer, err));
    mn_print_line(stderr, 2,
                  "mnemo read: %s is asked %lld times or more where its answers are of no use, with %lld tokens of "
                  "prompts and at most %lld of answers",
                  mn_llm_name(llm), (long long)n, (long long)prompt, (long long)answer);
    mn_llm_set_budget(llm, read_given.max_calls, read_given.max_tokens);
    mn_signals_catch_interrupt();
    mn_progress_begin(&progress, "extract", "passages", n);
    mn_status status = mn_extract_run(store, llm, &options, &figures, err);
    mn_progress_end(&progress);
    mn_signals_release_interrupt();
    print_figures(&figures);
    return status;
}

mn_status read_extract(mn_store *store, mn_error *err) {
    read_model model;
    bool reads_only = false;
    mn_status status = read_open_model(&model, &reads_only, err);
    if (status == MN_OK && reads_only)
        status = mn_fail(err, MN_ERR_UNSUPPORTED,
                         "This model has no chat template, and follows no instructions: it cannot take facts out of a "
                         "text.");
    if (status == MN_OK) status = extract(store, model.llm, err);
    read_close_model(&model);
    return status;
}
#endif
