#include "session/adapters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "FILE=SCALE" or "FILE". */
static mn_status open_one(const char *text, mn_model *model, mn_adapters *out, mn_error *err) {
    char path[4096];
    double scale = 1;
    snprintf(path, sizeof path, "%s", text);
    char *equals = strrchr(path, '='), *end = NULL;
    if (equals) {
        scale = strtod(equals + 1, &end);
        if (end == equals + 1 || *end || !isfinite(scale) || fabs(scale) > 1000)
            return mn_fail(err, MN_ERR_ARGUMENT, "%s: \"%s\" is no scale between -1000 and 1000.", text, equals + 1);
        *equals = 0;
    }
    MN_TRY(mn_adapter_open(path, (float)scale, model, &out->items[out->n], err));
    out->n++;
    return MN_OK;
}

mn_status mn_adapters_open(const char *list, mn_model *model, mn_adapters *out, mn_error *err) {
    char one[4096];
    *out = (mn_adapters){0};
    for (const char *p = list; p && *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        if (out->n == MN_MAX_ADAPTERS)
            return mn_fail(err, MN_ERR_ARGUMENT, "more than %d adapters; merge some into the model.", MN_MAX_ADAPTERS);
        if (n == 0 || n >= sizeof one)
            return mn_fail(err, MN_ERR_ARGUMENT, "adapters: \"%.100s\" is no list FILE[=SCALE],FILE[=SCALE].", list);
        snprintf(one, sizeof one, "%.*s", (int)n, p);
        MN_TRY(open_one(one, model, out, err));
        p += n;
    }
    return MN_OK;
}

void mn_adapters_close(mn_adapters *a) {
    for (int i = 0; i < a->n; i++) mn_adapter_close(&a->items[i]);
    *a = (mn_adapters){0};
}

mn_status mn_adapters_identity(const mn_adapters *a, mn_pool *pool, mn_identity *inout, mn_error *err) {
    for (int i = 0; i < a->n; i++) {
        mn_identity one;
        float scales[2] = {a->items[i].scale, a->items[i].alpha};
        MN_TRY(mn_identity_of(a->items[i].gguf, pool, &one, err));
        *inout = mn_identity_join(*inout, one, scales, sizeof scales);
    }
    return MN_OK;
}
