#include "cli/sample_options.h"

#include "base/clock.h"
#include "cli/answer_grammar.h"

#include <sys/random.h>

mn_sample_options mn_given_sampling = {.n_predict = MN_NO_LIMIT_GIVEN, .temperature = -1};

#define o mn_given_sampling
const mn_option mn_sample_option_rows[] = {
    MN_OPTION_HEADING("answer"),
    MN_OPTION_INT("n predict n-predict", &o.n_predict, "N", NULL, -1, 1e12,
                  "tokens at most; -1: until the model ends or the window is full"),
    MN_OPTION_NUMBER("temp temperature", &o.temperature, "T", NULL, 0, 100,
                     "0: the likeliest token (0.8; 0 when it is about a text)"),
    MN_OPTION_INT("top-k", &o.top_k, "K", "40", 0, 1e9, "draw from the K likeliest; 0: all"),
    MN_OPTION_NUMBER("top-p", &o.top_p, "P", "0.95", 0, 1, "draw from the likeliest that hold P together"),
    MN_OPTION_NUMBER("min-p", &o.min_p, "P", "0.05", 0, 1, "draw from those at least P times as likely as the best"),
    MN_OPTION_NUMBER("repeat-penalty", &o.repeat_penalty, "X", "1", 0.01, 100,
                     "divide the scores of repeated tokens; 1: off"),
    MN_OPTION_NUMBER("presence-penalty", &o.presence_penalty, "X", "0", -100, 100, "take X off tokens that occurred"),
    MN_OPTION_NUMBER("frequency-penalty", &o.frequency_penalty, "X", "0", -100, 100, "take X off for every occurrence"),
    MN_OPTION_INT("repeat-last-n", &o.repeat_last_n, "N", "64", -1, 1e9, "tokens the penalties look back at; -1: all"),
    MN_OPTION_INT("s seed", &o.seed, "N", "-1", -1, 9e18, "same seed, same text; -1: from the system"),
    MN_OPTION_TEXTS("r reverse-prompt", &o.stops, "TEXT", "end the answer before this text; may be repeated"),
    MN_OPTION_TEXT("json-schema", &o.schema_path, "FILE", NULL, "answer with JSON that this schema accepts"),
    MN_OPTION_TEXT("json-blanks", &o.json_blanks, "KIND", "one",
                   "between its parts: none, one space at most, or lines (indented too)"),
    MN_OPTION_TEXT("grammar", &o.grammar_path, "FILE", NULL, "answer with a text of this GBNF grammar"),
    MN_OPTION_FLAG("ignore-eos", &o.ignore_eos, "never end the text by a token that ends texts"),
    MN_OPTIONS_END,
};
#undef o

/* 32 bits: short enough to be typed again. */
uint64_t mn_sample_options_seed(const mn_sample_options *o) {
    uint32_t seed;
    if (o->seed >= 0) return (uint64_t)o->seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) {
        double now = mn_clock_seconds() * 1e6;
        seed = (uint32_t)(uint64_t)now;
    }
    return seed;
}

mn_status mn_sample_options_check(const mn_sample_options *o, mn_error *err) {
    mn_sampler *sampler;
    MN_TRY(mn_sample_options_create(o, 0, 0, 1, &sampler, err));
    mn_sampler_destroy(sampler);
    return mn_answer_grammar_read(o, err);
}

mn_status mn_sample_options_create(const mn_sample_options *o, double temperature, uint64_t seed, int32_t n_vocab,
                                   mn_sampler **out, mn_error *err) {
    mn_sampler_params params = {
        .temperature = (float)(o->temperature < 0 ? temperature : o->temperature),
        .top_k = (int32_t)o->top_k,
        .top_p = (float)o->top_p,
        .min_p = (float)o->min_p,
        .repeat_penalty = (float)o->repeat_penalty,
        .presence_penalty = (float)o->presence_penalty,
        .frequency_penalty = (float)o->frequency_penalty,
        .repeat_last_n = (int32_t)o->repeat_last_n,
        .seed = seed,
    };
    return mn_sampler_create(&params, n_vocab, out, err);
}
