/* What the subcommands of `mnemo scaling` share. */
#ifndef MN_CLI_SCALING_H
#define MN_CLI_SCALING_H

#include "cli/options.h"
#include "cli/verbs.h"

#include <mnemo/scaling.h>

#include <jansson.h>

/* What may be asked; NaN = not given. */
typedef struct scaling_request {
    double params, tokens, loss, flops;
    double days, mfu;
    int64_t count;
    const char *gpu, *law_name, *svg;
    bool json;
    mn_scaling_law law; /* the law named */
} scaling_request;

/* Rows of the option table. */
#define SCALING_PARAMS(r) MN_OPTION_AMOUNT("params", &(r).params, "N", 1, 1e18, "size of the model: 70e9, 70B")
#define SCALING_TOKENS(r) MN_OPTION_AMOUNT("tokens", &(r).tokens, "D", 1, 1e24, "training text, tokens: 15e12, 15T")
#define SCALING_LOSS(r) MN_OPTION_AMOUNT("loss", &(r).loss, "L", 1e-3, 100, "loss to reach, nats per token")
#define SCALING_FLOPS(r) MN_OPTION_AMOUNT("flops", &(r).flops, "C", 1e3, 1e40, "budget of the whole training, FLOP")
#define SCALING_COMMON(r)                                                                                              \
    MN_OPTION_TEXT("law", &(r).law_name, "LAW", "chinchilla",                                                          \
                   "chinchilla-exact, kaplan, besiroglu, besiroglu-exact, or a file that fit wrote"),                  \
        MN_OPTION_WRITTEN("svg", &(r).svg, "FILE", "draw lines of equal loss, the best splits and the answer"),        \
        MN_OPTION_FLAG("json", &(r).json, "answer with one JSON object"), MN_OPTIONS_END

scaling_request scaling_request_new(void);
/* Parses, and finds the law. Returns -1 to go on, else the exit code. */
int scaling_parse(scaling_request *r, const mn_usage *usage, int argc, char **argv);

/* {"loss": "nats per token", ...}; the caller owns the reference. */
json_t *scaling_units(const mn_scaling_law *law);
/* Adds the values of the point that are finite. */
void scaling_put_point(json_t *object, const mn_scaling_point *point);
/* Prints and releases object. */
int scaling_print_json(json_t *object);
/* 70e9 as 70B; returns text. */
const char *scaling_amount(double value, char text[32]);
/* The law on one line: "chinchilla: 1.69 + 406.4 / N^0.34 + 410.7 / D^0.28". */
void scaling_print_law(const mn_scaling_law *law);
/* Prints the point in words or as JSON (with what extra holds; released) and draws it where asked. */
int scaling_answer(const scaling_request *r, const char *verb, const mn_scaling_point *point, json_t *extra);

mn_verb_fn cmd_scaling_table, cmd_scaling_fit;

#endif
