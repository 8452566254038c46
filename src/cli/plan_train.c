/* mnemo plan --train: what a training takes before it is begun. */
#include "cli/plan_train.h"

#include "base/human.h"
#include "cli/options.h"
#include "cli/train_run.h"
#include "cli/verbs.h"

#include <jansson.h>
#include <string.h>

static const char *config_path;
static bool as_json;

static const mn_option options[] = {
    MN_OPTION_TEXT("train", &config_path, "CONFIG", NULL, "the configuration of the training (mnemo train --keys)"),
    MN_OPTION_FLAG("json", &as_json, "print one JSON object"),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "plan",
    .synopsis = "--train CONFIG [KEY=VALUE]... [--json]",
    .about =
        "Says what the training that CONFIG describes takes: memory for weights, gradients, the optimiser's moments, "
        "activations and the program itself, and operations of a step, with the time they take at least on this "
        "machine. Nothing is trained. Exit code 1 when it does not fit.",
    .example = "mnemo plan --train models/recipes/toy.ini window=4096",
    .options = options,
    .max_positional = 64,
};

bool mn_plan_is_of_training(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--train") || !strncmp(argv[i], "--train=", 8)) return true;
    return false;
}

static double flops_per_step(const mn_train_plan *p, const mn_train_config *c) {
    return p->flops_per_token * (double)(c->window * c->batch * c->accumulate);
}

static void print_text(const mn_train_plan *p, const mn_train_config *c, double peak) {
    double step = flops_per_step(p, c);
    mn_human step_time, time;
    mn_train_print_plan(p, c, stdout);
    printf("a step: %.4g GFLOP, at least %s at this machine's %.0f GFLOP/s; %lld steps: %s\n", step / 1e9,
           mn_human_seconds(step_time, step / peak), peak / 1e9, (long long)c->steps,
           mn_human_seconds(time, step / peak * (double)c->steps));
}

static void print_json(const mn_train_plan *p, const mn_train_config *c, double peak) {
    json_t *root =
        json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:f,s:f}", "n_params", (json_int_t)p->n_params,
                  "n_trained", (json_int_t)p->n_trained, "weights_bytes", (json_int_t)p->weights_bytes,
                  "optimiser_bytes", (json_int_t)p->optimiser_bytes, "activation_bytes",
                  (json_int_t)mn_train_plan_activations(p), "cache_bytes", (json_int_t)p->cache_bytes, "teacher_bytes",
                  (json_int_t)p->teacher_bytes, "fit_bytes", (json_int_t)p->fit_bytes, "program_bytes",
                  (json_int_t)p->program_bytes, "total_bytes", (json_int_t)p->total_bytes, "recomputes", p->recomputes,
                  "flops_per_step", flops_per_step(p, c), "peak_flops_per_s", peak);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

static mn_status plan(const mn_text_list *changes, mn_train_config *c, mn_error *err) {
    mn_train_plan p;
    double peak;
    mn_train_config_init(c);
    MN_TRY(mn_train_config_read(c, config_path, err));
    for (int i = 0; i < changes->n; i++) MN_TRY(mn_train_config_set(c, changes->items[i], err));
    MN_TRY(mn_trainer_plan_only(c, &p, err));
    MN_TRY(mn_train_peak(c, &peak, err));
    (as_json ? print_json : print_text)(&p, c, peak);
    return MN_OK;
}

int mn_plan_training(int argc, char **argv) {
    mn_error err;
    mn_text_list changes;
    mn_train_config config;
    int code = mn_options_parse(&usage, argc, argv, &changes);
    if (code >= 0) return code;
    mn_status status = plan(&changes, &config, &err);
    mn_train_config_release(&config);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("plan", &err);
}
