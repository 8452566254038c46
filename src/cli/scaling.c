/* mnemo scaling: from a budget to a model, and back. */
#include "base/nearest.h"
#include "base/strbuf.h"
#include "cli/scaling.h"

#include "cli/terminal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool given(double value) { return !isnan(value); }

static int cmd_loss(int argc, char **argv) {
    scaling_request r = scaling_request_new();
    const mn_option options[] = {SCALING_PARAMS(r), SCALING_TOKENS(r), SCALING_FLOPS(r), SCALING_COMMON(r)};
    const mn_usage usage = {
        .verb = "scaling loss",
        .synopsis = "--params N --tokens D [--law LAW] [--svg FILE] [--json]",
        .about =
            "The loss that a model of N parameters reaches after reading D tokens. With --params alone: without limit "
            "of text; with --tokens alone: without limit of size; with --flops alone: on the best split of the budget.",
        .example = "mnemo scaling loss --params 70e9 --tokens 15e12",
        .options = options};
    int code = scaling_parse(&r, &usage, argc, argv);
    if (code >= 0) return code;
    mn_scaling_point point = {r.params, r.tokens, r.flops, NAN};
    if (given(r.flops) && (given(r.params) || given(r.tokens)))
        return mn_cli_wrong(&usage, "takes --flops alone: size and text already fix the FLOP.");
    if (given(r.flops)) {
        mn_scaling_optimal(&r.law, r.flops, &point);
    } else if (given(r.params) && given(r.tokens)) {
        point.loss = mn_scaling_loss(&r.law, r.params, r.tokens);
        point.flops = 6 * r.params * r.tokens;
    } else if (given(r.params)) {
        point.loss = mn_scaling_loss_of_params(&r.law, r.params);
    } else if (given(r.tokens)) {
        point.loss = mn_scaling_loss_of_tokens(&r.law, r.tokens);
    } else {
        return mn_cli_wrong(&usage, "needs --params and --tokens, or one of them, or --flops.");
    }
    code = scaling_answer(&r, usage.verb, &point, NULL);
    if (code == MN_EXIT_DONE && !r.json && r.law.family == MN_SCALING_KAPLAN && given(r.flops))
        mn_print_line(stdout, 9, "         flops is C_min; runs whose batch was not chosen for it reached %.6g (L(C))",
                      mn_kaplan_loss_of_flops(r.flops));
    return code;
}

/* Answers that nothing reaches the loss: the sentence on stderr, and for programs null beside the floor. */
static int no_answer(const scaling_request *r, const char *verb, const char *unknown, double floor,
                     const mn_error *err) {
    if (r->json) {
        mn_scaling_point known = {r->params, r->tokens, NAN, r->loss};
        json_t *object = json_pack("{s:s, s:n, s:f}", "law", r->law.name, unknown, "floor", floor);
        scaling_put_point(object, &known);
        json_object_set_new(object, "units", scaling_units(&r->law));
        scaling_print_json(object);
    }
    return mn_cli_fail(verb, err);
}

static int cmd_tokens(int argc, char **argv) {
    scaling_request r = scaling_request_new();
    const mn_option options[] = {SCALING_PARAMS(r), SCALING_LOSS(r), SCALING_COMMON(r)};
    const mn_usage usage = {.verb = "scaling tokens",
                            .synopsis = "--params N --loss L [--law LAW] [--svg FILE] [--json]",
                            .about = "How many tokens a model of N parameters must read to reach the loss L.",
                            .example = "mnemo scaling tokens --params 7B --loss 2.0",
                            .options = options};
    int code = scaling_parse(&r, &usage, argc, argv);
    if (code >= 0) return code;
    if (!given(r.params) || !given(r.loss)) return mn_cli_wrong(&usage, "needs --params and --loss.");
    mn_error err;
    double tokens;
    if (mn_scaling_tokens(&r.law, r.params, r.loss, &tokens, &err))
        return no_answer(&r, usage.verb, "tokens", mn_scaling_loss(&r.law, r.params, INFINITY), &err);
    mn_scaling_point point = {r.params, tokens, 6 * r.params * tokens, r.loss};
    return scaling_answer(&r, usage.verb, &point, NULL);
}

static int cmd_params(int argc, char **argv) {
    scaling_request r = scaling_request_new();
    const mn_option options[] = {SCALING_TOKENS(r), SCALING_LOSS(r), SCALING_COMMON(r)};
    const mn_usage usage = {.verb = "scaling params",
                            .synopsis = "--tokens D --loss L [--law LAW] [--svg FILE] [--json]",
                            .about = "How large a model must be to reach the loss L on D tokens.",
                            .example = "mnemo scaling params --tokens 2T --loss 2.0",
                            .options = options};
    int code = scaling_parse(&r, &usage, argc, argv);
    if (code >= 0) return code;
    if (!given(r.tokens) || !given(r.loss)) return mn_cli_wrong(&usage, "needs --tokens and --loss.");
    mn_error err;
    double params;
    if (mn_scaling_params(&r.law, r.tokens, r.loss, &params, &err))
        return no_answer(&r, usage.verb, "params", mn_scaling_loss(&r.law, INFINITY, r.tokens), &err);
    mn_scaling_point point = {params, r.tokens, 6 * params * r.tokens, r.loss};
    return scaling_answer(&r, usage.verb, &point, NULL);
}

/* ---- optimal ---- */

static int unknown_gpu(const char *verb, const char *name) {
    mn_strbuf known = MN_STRBUF_INIT;
    for (const mn_accelerator *a = mn_accelerators; a->name; a++) mn_strbuf_printf(&known, " %s", a->name);
    mn_say("mnemo %s: there is no accelerator \"%s\" in the table; take%s, or give --flops.", verb, name, known.data);
    mn_strbuf_release(&known);
    return MN_EXIT_USAGE;
}

/* Turns machines and days into r->flops; *extra says how. Returns -1 to go on. */
static int budget_of_machines(scaling_request *r, const mn_usage *usage, json_t **extra) {
    const mn_accelerator *a = mn_accelerator_find(r->gpu);
    if (!a) return unknown_gpu(usage->verb, r->gpu);
    if (!given(r->days)) return mn_cli_wrong(usage, "needs --days with --gpu.");
    r->flops = a->bf16_flops * (double)r->count * r->days * 86400 * r->mfu;
    *extra = json_pack("{s:{s:s, s:I, s:f, s:f, s:f, s:s}}", "machines", "gpu", a->name, "count", (json_int_t)r->count,
                       "days", r->days, "mfu", r->mfu, "peak_flops_per_second", a->bf16_flops, "source", a->source);
    if (!r->json)
        mn_print_line(stdout, 9, "machines %lld x %s for %g days at %g of %.4g FLOP/s, dense bf16\n(%s)",
                      (long long)r->count, a->full_name, r->days, r->mfu, a->bf16_flops, a->source);
    return -1;
}

/* Kaplan's frontier tells the batch as well, and what the FLOP stand for. */
static void print_kaplan_plan(const scaling_request *r, double flops) {
    mn_kaplan_plan plan;
    mn_kaplan_optimal(flops, &plan);
    if (r->json || r->law.family != MN_SCALING_KAPLAN) return;
    mn_print_line(stdout, 9,
                  "batch    %.4g tokens, %.4g steps at the least\n"
                  "flops is C_min, the compute at small batches; reading these tokens at the critical batch of %.4g "
                  "tokens takes about twice that, in far fewer steps",
                  plan.batch_tokens, plan.steps_min, mn_kaplan_critical_batch(plan.loss));
}

static int cmd_optimal(int argc, char **argv) {
    scaling_request r = scaling_request_new();
    const mn_option options[] = {
        SCALING_FLOPS(r),
        SCALING_LOSS(r),
        MN_OPTION_TEXT("gpu", &r.gpu, "NAME", NULL,
                       "the budget in machines: a100 h100 h200 b200 l4 l40s 3090 4090 mi300x"),
        MN_OPTION_INT("count", &r.count, "N", "1", 1, 1e9, "how many of them"),
        MN_OPTION_NUMBER("days", &r.days, "DAYS", NULL, 1e-6, 1e6, "for how long"),
        MN_OPTION_NUMBER("mfu", &r.mfu, "SHARE", "0.4", 1e-6, 1, "share of the peak that training reaches"),
        SCALING_COMMON(r)};
    const mn_usage usage = {
        .verb = "scaling optimal",
        .synopsis = "--flops C | --loss L | --gpu NAME --count N --days DAYS [--mfu SHARE] [--law LAW] ...",
        .about = "The size and the text that make the best of a budget, or that reach a loss at the least cost.",
        .example = "mnemo scaling optimal --gpu h200 --count 8 --days 30 --mfu 0.4",
        .options = options};
    int code = scaling_parse(&r, &usage, argc, argv);
    if (code >= 0) return code;
    if (given(r.flops) + given(r.loss) + (r.gpu != NULL) != 1)
        return mn_cli_wrong(&usage, "needs one of --flops, --loss and --gpu.");
    json_t *extra = NULL;
    if (r.gpu && (code = budget_of_machines(&r, &usage, &extra)) >= 0) return code;
    mn_error err;
    mn_scaling_point point;
    if (given(r.flops))
        mn_scaling_optimal(&r.law, r.flops, &point);
    else if (mn_scaling_cheapest(&r.law, r.loss, &point, &err))
        return mn_cli_fail(usage.verb, &err);
    code = scaling_answer(&r, usage.verb, &point, extra);
    if (code == MN_EXIT_DONE) print_kaplan_plan(&r, point.flops);
    return code;
}

/* ---- the verb ---- */

static const struct {
    const char *name, *summary;
    mn_verb_fn *run;
} subcommands[] = {{"loss", "the loss of a size and a text", cmd_loss},
                   {"tokens", "the text that a size needs to reach a loss", cmd_tokens},
                   {"params", "the size that reaches a loss on a text", cmd_params},
                   {"optimal", "the best split of a budget, or the cheapest way to a loss", cmd_optimal},
                   {"table", "best splits for many sizes, or of one budget by every law", cmd_scaling_table},
                   {"fit", "a law of your own from your runs", cmd_scaling_fit}};

enum { WIDEST_HELP = 110, N_SUBCOMMANDS = sizeof subcommands / sizeof *subcommands };

static void print_help(FILE *out) {
    int columns = mn_terminal_columns(out);
    if (columns == 0 || columns > WIDEST_HELP) columns = WIDEST_HELP;
    mn_print_folded(
        out,
        "usage: mnemo scaling loss|tokens|params|optimal|table|fit ...\n\n"
        "Scaling laws: what loss (nats per token) a model of N parameters reaches after reading D tokens, which costs "
        "6 N D FLOP to train. Numbers may be written 70e9 or 70B (k, M, B, T).\n\n",
        0, 0, columns);
    for (int i = 0; i < N_SUBCOMMANDS; i++) {
        fprintf(out, "  %-10s ", subcommands[i].name);
        mn_print_folded(out, subcommands[i].summary, 13, 13, columns);
        fputc('\n', out);
    }
    fputs("\nmnemo scaling WHAT --help tells more.\n\nexample:\n  ", out);
    mn_print_folded(out, "mnemo scaling loss --params 70e9 --tokens 15e12 --law chinchilla\n", 2, 4, columns);
}

static int no_such(const char *name) {
    mn_nearest nearest = {.given = name};
    for (int i = 0; i < N_SUBCOMMANDS; i++) mn_nearest_try(&nearest, subcommands[i].name);
    if (nearest.best)
        mn_say("mnemo scaling: there is no \"%s\"; is %s meant?", name, nearest.best);
    else
        mn_say("mnemo scaling: there is no \"%s\"; mnemo scaling --help lists what there is.", name);
    return MN_EXIT_USAGE;
}

int cmd_scaling(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name && (!strcmp(name, "--help") || !strcmp(name, "-h"))) {
        print_help(stdout);
        return MN_EXIT_DONE;
    }
    for (int i = 0; name && i < N_SUBCOMMANDS; i++)
        if (!strcmp(name, subcommands[i].name)) return subcommands[i].run(argc - 1, argv + 1);
    if (name) return no_such(name);
    print_help(stderr);
    return MN_EXIT_USAGE;
}
