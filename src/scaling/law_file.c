/* Laws as JSON. */
#include <mnemo/scaling.h>

#include "base/file.h"
#include "base/status.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *constants_json(const mn_scaling_law *law) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "E", law->E, "A", law->A, "B", law->B, "alpha", law->alpha, "beta",
                     law->beta);
}

char *mn_scaling_fit_json(const mn_scaling_fit *fit) {
    json_t *root = json_pack("{s:s}", "law", fit->law.name), *constants = constants_json(&fit->law);
    if (root) json_object_update(root, constants);
    json_decref(constants);
    if (root) {
        json_object_set_new(root, "objective", json_real(fit->objective));
        json_object_set_new(root, "points", json_integer((json_int_t)fit->n_runs));
        json_object_set_new(root, "units",
                            json_pack("{s:s, s:s}", "loss", "nats per token", "params", fit->law.counts));
    }
    if (root && fit->n_bootstrap > 0) {
        json_object_set_new(root, "se", constants_json(&fit->se));
        json_object_set_new(root, "bootstrap", json_integer(fit->n_bootstrap));
    }
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    return text;
}

static mn_status read_constant(json_t *root, const char *name, double min, double max, double *out, mn_error *err) {
    json_t *value = json_object_get(root, name);
    if (!json_is_number(value))
        return mn_fail(err, MN_ERR_FORMAT, "has no number \"%s\"; a fitted law is wanted.", name);
    *out = json_number_value(value);
    if (*out >= min && *out <= max) return MN_OK;
    return mn_fail(err, MN_ERR_FORMAT, "%s is %g; it must lie between %g and %g.", name, *out, min, max);
}

static mn_status read_law(json_t *root, mn_scaling_law *out, mn_error *err) {
    *out = (mn_scaling_law){.gamma = 1, .counts = "parameters as counted in the runs"};
    const char *name = json_string_value(json_object_get(root, "law"));
    snprintf(out->name, sizeof out->name, "%s", name ? name : "fit");
    MN_TRY(read_constant(root, "E", 0, 100, &out->E, err));
    MN_TRY(read_constant(root, "A", 1e-300, 1e300, &out->A, err));
    MN_TRY(read_constant(root, "B", 1e-300, 1e300, &out->B, err));
    MN_TRY(read_constant(root, "alpha", 1e-3, 10, &out->alpha, err));
    return read_constant(root, "beta", 1e-3, 10, &out->beta, err);
}

mn_status mn_scaling_law_read(const char *path, mn_scaling_law *out, mn_error *err) {
    char *text;
    size_t bytes;
    MN_TRY(mn_file_read(path, 1 << 20, &text, &bytes, err));
    json_error_t wrong;
    json_t *root = json_loadb(text, bytes, 0, &wrong);
    free(text);
    if (!root) return mn_fail(err, MN_ERR_FORMAT, "%s:%d: is not JSON: %s.", path, wrong.line, wrong.text);
    mn_status status = read_law(root, out, err);
    json_decref(root);
    return status ? mn_fail_in(err, status, path) : MN_OK;
}
