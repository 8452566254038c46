#include "scaling/scaling.h"

#include "base/status.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

const char *const mn_scaling_law_names[] = {"kaplan",    "chinchilla",      "chinchilla-exact",
                                            "besiroglu", "besiroglu-exact", NULL};

static mn_scaling_law (*const makers[])(void) = {mn_kaplan_law, mn_chinchilla_law, mn_chinchilla_exact_law,
                                                 mn_besiroglu_law, mn_besiroglu_exact_law};

mn_status mn_scaling_law_find(const char *name_or_path, mn_scaling_law *out, mn_error *err) {
    for (int i = 0; mn_scaling_law_names[i]; i++)
        if (!strcmp(name_or_path, mn_scaling_law_names[i])) {
            *out = makers[i]();
            return MN_OK;
        }
    if (access(name_or_path, F_OK))
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "there is no law \"%s\"; take kaplan, chinchilla, chinchilla-exact, besiroglu, "
                       "besiroglu-exact, or name a file written by a fit.",
                       name_or_path);
    return mn_scaling_law_read(name_or_path, out, err);
}

/* What limited size, and limited text, add inside the power. */
static double size_term(const mn_scaling_law *law, double params) { return law->A / pow(params, law->alpha); }
static double text_term(const mn_scaling_law *law, double tokens) { return law->B / pow(tokens, law->beta); }

double mn_scaling_loss(const mn_scaling_law *law, double params, double tokens) {
    return pow(law->E + size_term(law, params) + text_term(law, tokens), law->gamma);
}

double mn_scaling_loss_of_params(const mn_scaling_law *law, double params) {
    if (law->family == MN_SCALING_KAPLAN) return mn_kaplan_loss_of_params(params);
    return mn_scaling_loss(law, params, INFINITY);
}

double mn_scaling_loss_of_tokens(const mn_scaling_law *law, double tokens) {
    if (law->family == MN_SCALING_KAPLAN) return mn_kaplan_loss_of_tokens(tokens);
    return mn_scaling_loss(law, INFINITY, tokens);
}

mn_status mn_scaling_tokens(const mn_scaling_law *law, double params, double loss, double *tokens, mn_error *err) {
    double left = pow(loss, 1 / law->gamma) - law->E - size_term(law, params);
    *tokens = left > 0 ? pow(law->B / left, 1 / law->beta) : INFINITY;
    if (isfinite(*tokens)) return MN_OK;
    return mn_fail(err, MN_ERR_LIMIT,
                   "no number of tokens reaches it: the floor for this N is %.6g nats per token, and %.6g was asked of "
                   "%.4g parameters; take a larger model or a higher loss.",
                   mn_scaling_loss(law, params, INFINITY), loss, params);
}

mn_status mn_scaling_params(const mn_scaling_law *law, double tokens, double loss, double *params, mn_error *err) {
    double left = pow(loss, 1 / law->gamma) - law->E - text_term(law, tokens);
    *params = left > 0 ? pow(law->A / left, 1 / law->alpha) : INFINITY;
    if (isfinite(*params)) return MN_OK;
    return mn_fail(
        err, MN_ERR_LIMIT,
        "no number of parameters reaches it: the floor for this D is %.6g nats per token, and %.6g was asked "
        "of %.4g tokens; take more text or a higher loss.",
        mn_scaling_loss(law, INFINITY, tokens), loss, tokens);
}

static void kaplan_point(double flops, mn_scaling_point *out) {
    mn_kaplan_plan plan;
    mn_kaplan_optimal(flops, &plan);
    *out = (mn_scaling_point){.params = plan.params, .tokens = plan.tokens, .flops = flops, .loss = plan.loss};
}

void mn_scaling_optimal(const mn_scaling_law *law, double flops, mn_scaling_point *out) {
    if (law->family == MN_SCALING_KAPLAN) {
        kaplan_point(flops, out);
        return;
    }
    double sum = law->alpha + law->beta, scale = pow(law->alpha * law->A / (law->beta * law->B), 1 / sum);
    double params = scale * pow(flops / 6, law->beta / sum), tokens = flops / (6 * params);
    *out = (mn_scaling_point){
        .params = params, .tokens = tokens, .flops = flops, .loss = mn_scaling_loss(law, params, tokens)};
}

mn_status mn_scaling_cheapest(const mn_scaling_law *law, double loss, mn_scaling_point *out, mn_error *err) {
    if (law->family == MN_SCALING_KAPLAN) {
        kaplan_point(mn_kaplan_flops_min_of_loss(loss), out);
        return MN_OK;
    }
    /* On the best split the two terms stand to each other as beta to alpha, whatever the budget. */
    double left = pow(loss, 1 / law->gamma) - law->E, sum = law->alpha + law->beta;
    double params = pow(law->A / (left * law->beta / sum), 1 / law->alpha);
    double tokens = pow(law->B / (left * law->alpha / sum), 1 / law->beta);
    if (!(left > 0) || !isfinite(params) || !isfinite(tokens))
        return mn_fail(err, MN_ERR_LIMIT,
                       "no budget reaches a loss of %.6g: the floor of the law %s is %.6g nats per token; ask for more "
                       "than that.",
                       loss, law->name, pow(law->E, law->gamma));
    *out = (mn_scaling_point){.params = params, .tokens = tokens, .flops = 6 * params * tokens, .loss = loss};
    return MN_OK;
}

void mn_scaling_optimal_for_params(const mn_scaling_law *law, double params, mn_scaling_point *out) {
    /* N grows as a power of C in every law: two points give the exponent, and the power is inverted. */
    mn_scaling_point low, high;
    mn_scaling_optimal(law, 1e18, &low);
    mn_scaling_optimal(law, 1e24, &high);
    double exponent = log(high.params / low.params) / log(1e24 / 1e18);
    mn_scaling_optimal(law, 1e18 * pow(params / low.params, 1 / exponent), out);
}
