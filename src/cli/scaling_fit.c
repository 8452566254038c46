/* mnemo scaling fit. */
#include "cli/scaling.h"

#include "base/file.h"
#include "cli/progress.h"
#include "base/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fit_request {
    const char *law, *out, *svg;
    int64_t n_bootstrap, n_threads, seed;
    bool json;
} fit_request;

typedef struct stage {
    mn_progress progress;
    const char *name; /* of the stage that is drawn; NULL = none yet */
} stage;

static bool show_progress(void *arg, const char *name, int64_t done, int64_t total) {
    stage *s = arg;
    if (s->name != name) {
        mn_progress_begin(&s->progress, name, "searches", total);
        s->name = name;
    }
    mn_progress_at(&s->progress, done);
    return true;
}

static void print_constant(const mn_scaling_fit *fit, const char *name, double value, double se) {
    printf("%-9s%.6g", name, value);
    if (fit->n_bootstrap) printf("  (standard error %.3g)", se);
    puts("");
}

static void print_split(const mn_scaling_law *law) {
    double sum = law->alpha + law->beta;
    printf("best     N grows as C^%.3f, D as C^%.3f; tokens per parameter:", law->beta / sum, law->alpha / sum);
    for (double flops = 1e21; flops < 2e25; flops *= 1e3) {
        mn_scaling_point point;
        mn_scaling_optimal(law, flops, &point);
        printf(" %.3g at %.0e FLOP%s", point.tokens / point.params, flops, flops < 1e24 ? "," : "\n");
    }
}

static void print_fit(const mn_scaling_fit *fit, const mn_scaling_run *runs) {
    const mn_scaling_law *law = &fit->law, *se = &fit->se;
    print_constant(fit, "E", law->E, se->E);
    print_constant(fit, "A", law->A, se->A);
    print_constant(fit, "B", law->B, se->B);
    print_constant(fit, "alpha", law->alpha, se->alpha);
    print_constant(fit, "beta", law->beta, se->beta);
    if (fit->n_bootstrap) printf("         from %d resamples of the runs\n", fit->n_bootstrap);
    printf("points   %zu\nobjective %.8g (sum of Huber losses of ln L, delta 0.001); on the same runs", fit->n_runs,
           fit->objective);
    for (int i = 0; mn_scaling_law_names[i]; i++) {
        mn_scaling_law other;
        mn_scaling_law_find(mn_scaling_law_names[i], &other, NULL);
        if (other.family == MN_SCALING_PARAMETRIC)
            printf("\n         %-17s %.8g", other.name, mn_scaling_fit_objective(&other, runs, fit->n_runs));
    }
    puts("");
    print_split(law);
    scaling_print_law(law);
    puts("         loss in the unit of the runs, nats per token if they are; parameters as counted in the runs");
}

static mn_status write_law(const char *path, const char *text, mn_error *err) {
    mn_writer writer;
    MN_TRY(mn_writer_open(path, &writer, err));
    mn_writer_put(&writer, text, strlen(text));
    mn_writer_put(&writer, "\n", 1);
    return mn_writer_commit(&writer, err);
}

static mn_status hand_over(const fit_request *r, const mn_scaling_fit *fit, const mn_scaling_run *runs, mn_error *err) {
    if (r->svg) MN_TRY(mn_scaling_draw_residuals(fit, runs, r->svg, err));
    char *text = mn_scaling_fit_json(fit);
    if (!text) return mn_fail(err, MN_ERR_MEMORY, "no memory to write the law.");
    mn_status status = r->out ? write_law(r->out, text, err) : MN_OK;
    if (!status && r->json) puts(text);
    if (!status && !r->json) print_fit(fit, runs);
    if (!status && !r->json && r->out) printf("written  %s; use it with --law %s\n", r->out, r->out);
    free(text);
    return status;
}

static mn_status fit_file(const fit_request *r, const char *path, mn_error *err) {
    mn_scaling_run *runs;
    size_t n_runs;
    MN_TRY(mn_cli_past_usage(mn_scaling_runs_read(path, &runs, &n_runs, err), err));
    stage s = {0};
    mn_scaling_fit_options options = {.n_threads = (int)r->n_threads,
                                      .n_bootstrap = (int)r->n_bootstrap,
                                      .seed = (uint64_t)r->seed,
                                      .progress = show_progress,
                                      .progress_arg = &s};
    mn_scaling_fit fit;
    mn_status status = mn_scaling_fit_runs(runs, n_runs, &options, &fit, err);
    mn_progress_end(&s.progress);
    status = status ? mn_fail_in(err, mn_cli_past_usage(status, err), path) : hand_over(r, &fit, runs, err);
    free(runs);
    return status;
}

int cmd_scaling_fit(int argc, char **argv) {
    fit_request r = {0};
    const mn_option options[] = {
        MN_OPTION_TEXT("law", &r.law, "LAW", "chinchilla", "the form that is fitted: E + A / N^alpha + B / D^beta"),
        MN_OPTION_INT("bootstrap", &r.n_bootstrap, "N", "0", 0, 1e6,
                      "standard errors from N resamples of the runs; 1000 is usual"),
        MN_OPTION_WRITTEN("o output out", &r.out, "OUT", "write the law for --law of the other subcommands"),
        MN_OPTION_WRITTEN("svg", &r.svg, "FILE", "draw what the law leaves over"),
        MN_OPTION_FLAG("json", &r.json, "print one JSON object"),
        MN_OPTION_INT("s seed", &r.seed, "N", "1", 0, 1e15, "of the resampling"),
        MN_OPTION_INT("t threads", &r.n_threads, "N", "0", 0, 1024, "threads; 0: one per core; changes no result"),
        MN_OPTIONS_END};
    const mn_usage usage = {.verb = "scaling fit",
                            .synopsis = "RUNS.csv [--law chinchilla] [--bootstrap N] [-o OUT] [--svg FILE] [--json]",
                            .about = "Fits a law to training runs, one a line under the header params,tokens,loss: "
                                     "Huber loss on logarithms, L-BFGS from 4500 starts.",
                            .example = "mnemo scaling fit runs.csv --bootstrap 1000 -o law.json --svg residuals.svg",
                            .options = options,
                            .min_positional = 1,
                            .max_positional = 1};
    mn_text_list files;
    mn_error err;
    int code = mn_options_parse(&usage, argc, argv, &files);
    if (code >= 0) return code;
    if (strcmp(r.law, "chinchilla")) return mn_cli_wrong(&usage, "fits the form of --law chinchilla only.");
    if (r.n_bootstrap == 1) return mn_cli_wrong(&usage, "needs at least 2 resamples for --bootstrap.");
    return fit_file(&r, files.items[0], &err) ? mn_cli_fail(usage.verb, &err) : MN_EXIT_DONE;
}
