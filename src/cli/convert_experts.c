/* mnemo convert --experts: experts made of dense MLPs. */
#include "cli/convert.h"
#include "cli/terminal.h"

#include "convert/upcycle.h"

#include <math.h>
#include <stdio.h>

enum { NAME_BYTES = 160 };
#define REACH 0.25
#define LEAST_RATE 0.001 /* DeepSeek-V3's */

static mn_status write_experts(void *arg, mn_engine *engine, const mn_change_text *text, const char *path,
                               mn_error *err) {
    const mn_upcycle_wish *wish = arg;
    (void)text;
    MN_TRY(mn_upcycle_write(&engine->model, wish, path, err));
    mn_say("%d experts in each of %d layers, of which a token uses %d; the routers begin at random", wish->n_experts,
           engine->model.config.n_layers, wish->n_used);
    return MN_OK;
}

/* Biases are there to be moved, by REACH in all: the scores of a router that begins at random differ by less from
 * expert to expert. The rate falls to 0, so that half of steps * rate is what they move. */
static mn_status set_training(void *arg, mn_train_config *config, mn_error *err) {
    const mn_upcycle_wish *wish = arg;
    char rate[64];
    snprintf(rate, sizeof rate, "loss.balance-bias-rate=%.9g", fmax(LEAST_RATE, 2 * REACH / (double)config->steps));
    if (!wish->biased) return MN_OK;
    MN_TRY(mn_train_config_set(config, rate, err));
    return mn_train_config_set(config, "loss.balance-bias=true", err);
}

mn_status mn_convert_experts(const mn_change_order *order, const mn_expert_options *options, mn_error *err) {
    mn_upcycle_wish wish = {.noise = options->noise, .seed = (uint64_t)options->seed, .type = order->type};
    char name[NAME_BYTES];
    MN_TRY(mn_upcycle_parse(options->wish, &wish, err));
    snprintf(name, sizeof name, "experts-%s-%.9g-%llu", options->wish, wish.noise, (unsigned long long)wish.seed);
    mn_change change = {.name = name, .arg = &wish, .write = write_experts, .set = set_training};
    return mn_change_run(&change, order, err);
}
