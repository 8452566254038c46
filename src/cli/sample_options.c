#include "cli/sample_options.h"

#include <time.h>

mn_status mn_sample_options_create(const mn_sample_options *o, double temperature, int32_t n_vocab, mn_sampler **out,
                                   mn_error *err) {
    mn_sampler_params params = {
        .temperature = (float)(o->temperature < 0 ? temperature : o->temperature),
        .top_k = (int32_t)o->top_k,
        .top_p = (float)o->top_p,
        .min_p = (float)o->min_p,
        .repeat_penalty = (float)o->repeat_penalty,
        .presence_penalty = (float)o->presence_penalty,
        .frequency_penalty = (float)o->frequency_penalty,
        .repeat_last_n = (int32_t)o->repeat_last_n,
        .seed = o->seed < 0 ? (uint64_t)time(NULL) : (uint64_t)o->seed,
    };
    return mn_sampler_create(&params, n_vocab, out, err);
}
