/* Typed reads of "ARCH.SUFFIX" keys. */
#include "model/config.h"

#include "base/checked.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct key_name {
    char text[128];
} key_name;

/* Of the spellings in suffix ("a|b") the first that the file has; the first of all when it has none. */
static key_name key_of(const mn_gguf *gguf, const char *arch, const char *suffix) {
    key_name key, first = {""};
    for (const char *at = suffix; *at; at += strspn(at, "|")) {
        size_t bytes = strcspn(at, "|");
        snprintf(key.text, sizeof key.text, "%s.%.*s", arch, (int)bytes, at);
        if (mn_gguf_find(gguf, key.text)) return key;
        if (at == suffix) first = key;
        at += bytes;
    }
    return first;
}

bool mn_config_has(const mn_gguf *gguf, const char *arch, const char *suffix) {
    return mn_gguf_find(gguf, key_of(gguf, arch, suffix).text) != NULL;
}

static mn_status missing(const mn_gguf *gguf, const key_name *key, mn_error *err) {
    return mn_fail(err, MN_ERR_FORMAT, "%s: key %s is missing; this architecture needs it.", mn_gguf_path(gguf),
                   key->text);
}

/* An error of the getters, which do not name the file. */
static mn_status in_file(mn_status status, const mn_gguf *gguf, mn_error *err) {
    return status == MN_OK ? MN_OK : mn_fail_in(err, status, mn_gguf_path(gguf));
}

static mn_status check_range(const mn_gguf *gguf, const key_name *key, int64_t value, int64_t lo, int64_t hi,
                             mn_error *err) {
    if (value >= lo && value <= hi) return MN_OK;
    return mn_fail(err, MN_ERR_FORMAT, "%s: %s is %lld; it must be %lld to %lld.", mn_gguf_path(gguf), key->text,
                   (long long)value, (long long)lo, (long long)hi);
}

mn_status mn_config_i64(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, int64_t lo, int64_t hi,
                        int64_t *out, mn_error *err) {
    key_name key = key_of(gguf, arch, suffix);
    bool found = false;
    int64_t value = 0;
    MN_TRY(in_file(mn_gguf_get_i64(gguf, key.text, &value, &found, err), gguf, err));
    if (!found) return need ? missing(gguf, &key, err) : MN_OK;
    MN_TRY(check_range(gguf, &key, value, lo, hi, err));
    *out = value;
    return MN_OK;
}

mn_status mn_config_int(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, int64_t lo, int64_t hi,
                        int *out, mn_error *err) {
    int64_t value = *out;
    MN_TRY(mn_config_i64(gguf, arch, suffix, need, lo, hi, &value, err));
    *out = (int)value;
    return MN_OK;
}

mn_status mn_config_tokens(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, int64_t lo,
                           int64_t *out, mn_error *err) {
    MN_TRY(mn_config_i64(gguf, arch, suffix, need, lo, INT64_MAX, out, err));
    *out = MN_MIN(*out, MN_MAX_CTX_TOKENS);
    return MN_OK;
}

/* A key of a list with one value for each layer; a list of one number is a number. */
static bool is_list(const mn_gguf *gguf, const key_name *key) {
    const mn_gguf_kv *kv = mn_gguf_find(gguf, key->text);
    return kv && kv->type == MN_GGUF_ARRAY && (kv->n_items != 1 || kv->item_type == MN_GGUF_BOOL);
}

static mn_status read_list(const mn_gguf *gguf, const key_name *key, int n_layers, int64_t lo, int64_t hi, int *out,
                           mn_error *err) {
    int32_t *items;
    size_t n;
    bool found;
    MN_TRY(in_file(mn_gguf_get_i32s(gguf, key->text, &items, &n, &found, err), gguf, err));
    mn_status status = MN_OK;
    if (n != (size_t)n_layers)
        status = mn_fail(err, MN_ERR_FORMAT, "%s: %s is a list of %zu values; the model has %d layers.",
                         mn_gguf_path(gguf), key->text, n, n_layers);
    for (int i = 0; i < n_layers && status == MN_OK; i++) {
        status = check_range(gguf, key, items[i], lo, hi, err);
        out[i] = items[i];
    }
    free(items);
    return status;
}

mn_status mn_config_ints(const mn_gguf *gguf, const mn_config *c, const char *suffix, bool need, int64_t lo, int64_t hi,
                         int *out, mn_error *err) {
    key_name key = key_of(gguf, c->arch, suffix);
    if (is_list(gguf, &key)) return read_list(gguf, &key, c->n_layers, lo, hi, out, err);
    if (!need && !mn_gguf_find(gguf, key.text)) return MN_OK;
    int value = 0;
    MN_TRY(mn_config_int(gguf, c->arch, suffix, need, lo, hi, &value, err));
    for (int i = 0; i < c->n_layers; i++) out[i] = value;
    return MN_OK;
}

mn_status mn_config_number(const mn_gguf *gguf, const char *arch, const char *suffix, double lo, double hi, double *out,
                           bool *found, mn_error *err) {
    key_name key = key_of(gguf, arch, suffix);
    double value = 0;
    MN_TRY(in_file(mn_gguf_get_f64(gguf, key.text, &value, found, err), gguf, err));
    if (!*found) return MN_OK;
    if (!(value >= lo && value <= hi))
        return mn_fail(err, MN_ERR_FORMAT, "%s: %s is %g; it must be a number from %g to %g.", mn_gguf_path(gguf),
                       key.text, value, lo, hi);
    *out = value;
    return MN_OK;
}

mn_status mn_config_float(const mn_gguf *gguf, const char *arch, const char *suffix, bool need, float *out,
                          mn_error *err) {
    bool found = false;
    double value = *out;
    MN_TRY(mn_config_number(gguf, arch, suffix, 0, FLT_MAX, &value, &found, err));
    if (need && !found) {
        key_name key = key_of(gguf, arch, suffix);
        return missing(gguf, &key, err);
    }
    *out = (float)value;
    return MN_OK;
}

mn_status mn_config_floats(const mn_gguf *gguf, const mn_config *c, const char *suffix, float *out, mn_error *err) {
    key_name key = key_of(gguf, c->arch, suffix);
    float *items, value = out[0];
    size_t n;
    bool found;
    if (!is_list(gguf, &key)) {
        MN_TRY(mn_config_float(gguf, c->arch, suffix, false, &value, err));
        for (int i = 0; i < c->n_layers && mn_gguf_find(gguf, key.text); i++) out[i] = value;
        return MN_OK;
    }
    MN_TRY(in_file(mn_gguf_get_f32s(gguf, key.text, &items, &n, &found, err), gguf, err));
    mn_status status = MN_OK;
    if (n != (size_t)c->n_layers)
        status = mn_fail(err, MN_ERR_FORMAT, "%s: %s is a list of %zu values; the model has %d layers.",
                         mn_gguf_path(gguf), key.text, n, c->n_layers);
    for (int i = 0; i < c->n_layers && status == MN_OK; i++) {
        if (!(items[i] >= 0 && items[i] <= FLT_MAX))
            status = mn_fail(err, MN_ERR_FORMAT, "%s: %s is %g in layer %d; it must be a number from 0 up.",
                             mn_gguf_path(gguf), key.text, (double)items[i], i);
        out[i] = items[i];
    }
    free(items);
    return status;
}

mn_status mn_config_bool(const mn_gguf *gguf, const char *arch, const char *suffix, bool *out, mn_error *err) {
    key_name key = key_of(gguf, arch, suffix);
    bool found = false;
    return in_file(mn_gguf_get_bool(gguf, key.text, out, &found, err), gguf, err);
}

mn_status mn_config_text(const mn_gguf *gguf, const char *arch, const char *suffix, char *out, size_t out_bytes,
                         bool *found, mn_error *err) {
    key_name key = key_of(gguf, arch, suffix);
    mn_gguf_string value;
    MN_TRY(in_file(mn_gguf_get_string(gguf, key.text, &value, found, err), gguf, err));
    if (*found) snprintf(out, out_bytes, "%.*s", (int)MN_MIN(value.bytes, out_bytes - 1), value.data);
    return MN_OK;
}

/* Layer i has a window unless i % period == period - 1; 0: all have one. */
static void set_period(mn_config *c, int period) {
    for (int i = 0; i < c->n_layers; i++) c->layers[i].window = period > 0 && i % period == period - 1 ? 0 : c->window;
}

mn_status mn_config_windows(const mn_gguf *gguf, mn_config *c, int64_t window, int period, mn_error *err) {
    static const char pattern[] = "attention.sliding_window_pattern";
    key_name key = key_of(gguf, c->arch, pattern);
    int windowed[MN_MAX_LAYERS];
    c->window = window;
    MN_TRY(mn_config_tokens(gguf, c->arch, "attention.sliding_window", false, 0, &c->window, err));
    if (!is_list(gguf, &key)) {
        MN_TRY(mn_config_int(gguf, c->arch, pattern, false, 0, INT32_MAX, &period, err));
        set_period(c, period);
        return MN_OK;
    }
    MN_TRY(read_list(gguf, &key, c->n_layers, 0, 1, windowed, err));
    for (int i = 0; i < c->n_layers; i++) c->layers[i].window = windowed[i] ? c->window : 0;
    return MN_OK;
}
