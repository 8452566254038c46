/* Settings of mnemo eval compare: the flags that change a session, as NAME=VALUE. */
#include "cli/eval.h"
#include "cli/numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { TEXT, INT, NUMBER } kind;

static const struct {
    const char *name;
    kind kind;
    size_t offset;
} keys[] = {
    {"c", INT, offsetof(mn_model_options, n_ctx)},
    {"b", INT, offsetof(mn_model_options, n_batch)},
    {"ctk", TEXT, offsetof(mn_model_options, type_k)},
    {"ctv", TEXT, offsetof(mn_model_options, type_v)},
    {"attn", TEXT, offsetof(mn_model_options, attn)},
    {"attn-layers", TEXT, offsetof(mn_model_options, attn_layers)},
    {"pos", TEXT, offsetof(mn_model_options, map)},
    {"kv-disk", TEXT, offsetof(mn_model_options, kv_disk)},
    {"kv-ram", INT, offsetof(mn_model_options, kv_ram)},
    {"rope-scaling", TEXT, offsetof(mn_model_options, rope_scaling)},
    {"rope-scale", NUMBER, offsetof(mn_model_options, rope_scale)},
    {"rope-freq-base", NUMBER, offsetof(mn_model_options, rope_freq_base)},
    {"yarn-orig-ctx", INT, offsetof(mn_model_options, yarn_orig_ctx)},
    {"yarn-ext-factor", NUMBER, offsetof(mn_model_options, yarn_ext_factor)},
    {"yarn-attn-factor", NUMBER, offsetof(mn_model_options, yarn_attn_factor)},
    {"yarn-beta-slow", NUMBER, offsetof(mn_model_options, yarn_beta_slow)},
    {"yarn-beta-fast", NUMBER, offsetof(mn_model_options, yarn_beta_fast)},
};

/* Where the value ends: at a comma behind which a NAME= stands, or at the end. */
static size_t value_bytes(const char *value) {
    size_t n = strcspn(value, ",");
    while (value[n]) {
        size_t next = strcspn(value + n + 1, ",=");
        if (value[n + 1 + next] == '=') break;
        n += 1 + next;
    }
    return n;
}

/* "full" is what a session does without being told. */
static bool store(mn_model_options *o, size_t i, char *value) {
    void *at = (char *)o + keys[i].offset;
    char *behind = value;
    const char *end;
    switch (keys[i].kind) {
    case TEXT: *(const char **)at = value; return true;
    case INT: return mn_number_read(value, &end, at) && !*end;
    case NUMBER: *(double *)at = strtod(value, &behind); break;
    }
    return behind != value && !*behind;
}

/* Copies of values, which live as long as the program, as those in argv do. */
typedef struct copy {
    struct copy *next;
    char text[];
} copy;

static char *keep(const char *value, size_t bytes) {
    static copy *kept;
    copy *c = calloc(1, sizeof *c + bytes + 1);
    if (!c) return NULL;
    memcpy(c->text, value, bytes);
    c->next = kept;
    kept = c;
    return c->text;
}

static mn_status apply_one(mn_model_options *o, const char *name, size_t name_bytes, const char *value, size_t bytes,
                           mn_error *err) {
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strlen(keys[i].name) != name_bytes || memcmp(keys[i].name, name, name_bytes)) continue;
        char *own = keep(value, bytes);
        if (!own) return mn_fail(err, MN_ERR_MEMORY, "no memory for a setting.");
        if (store(o, i, own)) return MN_OK;
        return mn_fail(err, MN_ERR_ARGUMENT, "--settings: %s is \"%s\", which is no number.", keys[i].name, own);
    }
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "--settings: there is no setting \"%.*s\"; known are the flags that change a "
                   "session, as attn, ctk, ctv, pos, rope-scaling, c.",
                   (int)name_bytes, name);
}

mn_status mn_eval_apply_setting(mn_model_options *o, const char *text, mn_error *err) {
    for (const char *p = text; *p;) {
        size_t name = strcspn(p, "=");
        if (!p[name]) return mn_fail(err, MN_ERR_ARGUMENT, "--settings: \"%s\" is no NAME=VALUE.", p);
        const char *value = p + name + 1;
        size_t bytes = value_bytes(value);
        MN_TRY(apply_one(o, p, name, value, bytes, err));
        p = value + bytes + (value[bytes] == ',');
    }
    return MN_OK;
}
