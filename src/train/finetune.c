#include "train/finetune.h"

#include "base/checked.h"

#include <stdarg.h>
#include <stdio.h>

enum { TOKENS_PER_STEP = 8192, VALIDATION_TOKENS = 16384, MAX_VALIDATION_WINDOWS = 16, SHIFT_UNIT = 32 };

/* Formats a setting "section.key=value" and applies it. */
static mn_status set(mn_train_config *c, mn_error *err, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return mn_train_config_set(c, text, err);
}

mn_status mn_finetune_defaults(const mn_config *model, mn_finetune_kind kind, mn_train_config *c, mn_error *err) {
    int64_t window = c->window, steps = c->steps;
    bool beyond = window > model->n_ctx_train && mn_config_rotates(model);
    if (beyond && !c->rope_scaling && c->rope_freq_base <= 0) MN_TRY(set(c, err, "positions.scaling=yarn"));
    MN_TRY(set(c, err, "train.rate=%.6g", (kind == MN_FINETUNE_LORA ? 0.4 : 0.1) / model->n_embd));
    MN_TRY(set(c, err, "train.decay=0"));
    MN_TRY(set(c, err, "train.batch=%lld", (long long)MN_MAX(1, TOKENS_PER_STEP / window)));
    MN_TRY(set(c, err, "train.warmup=%lld", (long long)(steps / 10)));
    MN_TRY(set(c, err, "train.checkpoint-steps=%lld", (long long)MN_MAX(1, MN_MIN(steps / 5, 50))));
    MN_TRY(set(c, err, "train.validate-steps=%lld", (long long)MN_MAX(1, steps / 5)));
    MN_TRY(set(c, err, "train.validation-share=0.05"));
    return set(c, err, "train.validation-windows=%lld",
               (long long)MN_MAX(1, MN_MIN(VALIDATION_TOKENS / window, MAX_VALIDATION_WINDOWS)));
}

static mn_status add_source(mn_train_config *c, const char *name, const char *paths, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    mn_strbuf_printf(&text, "source.%s.paths=%s", name, paths);
    mn_status status = text.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for the names of %s.", name)
                                   : mn_train_config_set(c, text.data, err);
    mn_strbuf_release(&text);
    return status;
}

mn_status mn_finetune_sources(const char *paths, bool needles, mn_train_config *c, mn_error *err) {
    static const struct {
        const char *kind;
        double weight;
    } mix[] = {{"key-value", 0.8}, {"chain", 0.4}, {"values", 0.3}, {"passkey", 0.3}, {"json", 0.2}};
    MN_TRY(add_source(c, "data", paths, err));
    if (!needles) return MN_OK;
    for (size_t i = 0; i < sizeof mix / sizeof *mix; i++) {
        MN_TRY(add_source(c, mix[i].kind, paths, err));
        MN_TRY(set(c, err, "source.%s.needles=%s", mix[i].kind, mix[i].kind));
        MN_TRY(set(c, err, "source.%s.weight=%g", mix[i].kind, mix[i].weight));
    }
    return set(c, err, "loss.text=0.33");
}

mn_status mn_finetune_shift(mn_train_config *c, mn_error *err) {
    int64_t group = MN_MAX(1, c->window / 4 / SHIFT_UNIT) * SHIFT_UNIT;
    return set(c, err, "positions.attn=shifted-sparse:%lld", (long long)group);
}
