/* mnemo convert --mlp-router: small MLPs for easy tokens. */
#include "base/checked.h"
#include "base/strbuf.h"
#include "cli/convert.h"
#include "cli/terminal.h"

#include "convert/small_mlp.h"

#include <stdio.h>

static void print(const mn_small_wish *wish, const mn_small_report *r) {
    if (wish->n_tokens)
        mn_say("small MLPs of %d units in %d layers; over %lld tokens they are off by %.1f %% of the large ones' "
               "energy, and by %.1f %% for the %.0f %% of tokens that their routers find easy",
               r->n_ff, r->n_layers, (long long)wish->n_tokens, 100 * r->error, 100 * r->easy_error, 100 * wish->share);
    else
        mn_say("small MLPs of %d units in %d layers; without a calibration text no token is easy until their routers "
               "have been trained",
               r->n_ff, r->n_layers);
}

static mn_status write_small(void *arg, mn_engine *engine, const mn_change_text *text, const char *path,
                             mn_error *err) {
    const mn_small_options *o = arg;
    uint8_t in_layer[MN_MAX_LAYERS];
    mn_small_wish wish = {.in_layer = in_layer,
                          .share = o->share,
                          .tokens = text->tokens,
                          .n_tokens = MN_MIN(text->n_tokens, o->n_tokens),
                          .window = text->window};
    mn_small_report report;
    MN_TRY(mn_small_parse(o->wish, engine->model.config.n_layers, &wish.divisor, in_layer, err));
    MN_TRY(mn_small_write(&engine->compute, &engine->model, &wish, path, &report, err));
    print(&wish, &report);
    return MN_OK;
}

/* Only what is new learns: at the threshold 1 the model stays what it was. */
static mn_status set_training(void *arg, mn_train_config *config, mn_error *err) {
    const mn_small_options *o = arg;
    char share[48];
    snprintf(share, sizeof share, "router.share=%.9g", o->share);
    MN_TRY(mn_train_config_set(config, share, err));
    return mn_train_config_set(config, "router.only=true", err);
}

mn_status mn_convert_small(const mn_change_order *order, mn_small_options *options, mn_error *err) {
    mn_strbuf name = MN_STRBUF_INIT;
    mn_strbuf_printf(&name, "small-%s-%.9g", options->wish, options->share);
    mn_change change = {.name = name.data, .arg = options, .write = write_small, .set = set_training};
    mn_status status =
        name.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for names of files.") : mn_change_run(&change, order, err);
    mn_strbuf_release(&name);
    return status;
}
