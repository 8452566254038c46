/* How `mnemo scaling` reads its options and words its answers. */
#include "cli/scaling.h"

#include "cli/terminal.h"

#include "base/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { INDENT = 9 };

scaling_request scaling_request_new(void) {
    return (scaling_request){.params = NAN, .tokens = NAN, .loss = NAN, .flops = NAN, .days = NAN};
}

int scaling_parse(scaling_request *r, const mn_usage *usage, int argc, char **argv) {
    mn_text_list none;
    mn_error err;
    int code = mn_options_parse(usage, argc, argv, &none);
    if (code >= 0) return code;
    if (!mn_scaling_law_find(r->law_name, &r->law, &err)) return -1;
    code = mn_cli_fail(usage->verb, &err);
    return err.status == MN_ERR_ARGUMENT ? MN_EXIT_USAGE : code;
}

json_t *scaling_units(const mn_scaling_law *law) {
    return json_pack("{s:s, s:s, s:s, s:s}", "loss", "nats per token", "params", law->counts, "tokens", "tokens",
                     "flops", "FLOP");
}

void scaling_put_point(json_t *object, const mn_scaling_point *point) {
    if (isfinite(point->loss)) json_object_set_new(object, "loss", json_real(point->loss));
    if (isfinite(point->params)) json_object_set_new(object, "params", json_real(point->params));
    if (isfinite(point->tokens)) json_object_set_new(object, "tokens", json_real(point->tokens));
    if (isfinite(point->flops)) json_object_set_new(object, "flops", json_real(point->flops));
}

int scaling_print_json(json_t *object) {
    char *text = json_dumps(object, JSON_INDENT(2));
    if (text) puts(text);
    free(text);
    json_decref(object);
    return text ? MN_EXIT_DONE : MN_EXIT_FAILED;
}

void scaling_print_law(const mn_scaling_law *law) {
    char floor[32] = "";
    bool raised = law->gamma != 1;
    if (law->E > 0) snprintf(floor, sizeof floor, "%.5g + ", law->E);
    mn_print_line(stdout, INDENT,
                  raised ? "law      %s: L = (%s%.5g / N^%.4g + %.5g / D^%.4g)^%.4g"
                         : "law      %s: L = %s%.5g / N^%.4g + %.5g / D^%.4g",
                  law->name, floor, law->A, law->alpha, law->B, law->beta, law->gamma);
}

const char *scaling_amount(double value, char text[32]) {
    snprintf(text, 32, "%.5g", value);
    mn_svg_number(strtod(text, NULL), text);
    return text;
}

/* What of the loss nothing helps against, what a larger model would take off, and what more text would. */
static void print_parts(const mn_scaling_law *law, const mn_scaling_point *point) {
    if (law->gamma != 1) return;
    mn_print_line(stdout, INDENT, "         of it %.4f floor of the law, %.4f for the size, %.4f for the text", law->E,
                  law->A / pow(point->params, law->alpha), law->B / pow(point->tokens, law->beta));
}

static void print_point(const mn_scaling_law *law, const mn_scaling_point *point) {
    char text[32], per_parameter[64] = "";
    if (isfinite(point->loss)) printf("loss     %.6g nats per token\n", point->loss);
    if (isfinite(point->loss) && isfinite(point->params) && isfinite(point->tokens)) print_parts(law, point);
    if (isfinite(point->params))
        mn_print_line(stdout, INDENT, "params   %s (%s)", scaling_amount(point->params, text), law->counts);
    if (isfinite(point->params))
        snprintf(per_parameter, sizeof per_parameter, " (%.3g per parameter)", point->tokens / point->params);
    if (isfinite(point->tokens))
        mn_print_line(stdout, INDENT, "tokens   %s%s", scaling_amount(point->tokens, text), per_parameter);
    if (isfinite(point->flops))
        mn_print_line(stdout, INDENT, "flops    %.5g FLOP = %.4g PF-days", point->flops,
                      point->flops / MN_PF_DAY_FLOPS);
    scaling_print_law(law);
}

int scaling_answer(const scaling_request *r, const char *verb, const mn_scaling_point *point, json_t *extra) {
    mn_error err;
    size_t n_points = isfinite(point->params) && isfinite(point->tokens);
    if (r->svg && mn_scaling_draw(&r->law, point, n_points, r->svg, &err)) {
        json_decref(extra);
        return mn_cli_fail(verb, &err);
    }
    if (!r->json) {
        print_point(&r->law, point);
        json_decref(extra);
        return MN_EXIT_DONE;
    }
    json_t *object = json_pack("{s:s}", "law", r->law.name);
    scaling_put_point(object, point);
    json_object_set_new(object, "units", scaling_units(&r->law));
    json_object_update(object, extra);
    json_decref(extra);
    return scaling_print_json(object);
}
