/* mnemo convert --experts: experts made of dense MLPs. */
#include "cli/convert.h"
#include "cli/terminal.h"

#include "convert/upcycle.h"

mn_status mn_convert_experts(const char *in, const char *out, const mn_expert_options *options, mn_dtype type,
                             mn_error *err) {
    mn_model model;
    mn_upcycle_wish wish = {.noise = options->noise, .seed = (uint64_t)options->seed, .type = type};
    MN_TRY(mn_upcycle_parse(options->wish, &wish, err));
    MN_TRY(mn_model_open(in, &model, err));
    mn_status status = mn_upcycle_write(&model, &wish, out, err);
    if (status == MN_OK)
        mn_say("%s: %d experts in each of %d layers, of which a token uses %d; the routers begin at random", out,
               wish.n_experts, model.config.n_layers, wish.n_used);
    mn_model_close(&model);
    return status;
}
