/* Options of the verbs that draw tokens. */
#ifndef MN_CLI_SAMPLE_OPTIONS_H
#define MN_CLI_SAMPLE_OPTIONS_H

#include "cli/options.h"
#include "sample/sampler.h"

typedef struct mn_sample_options {
    int64_t n_predict, top_k, repeat_last_n, seed;
    double temperature, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    mn_text_list stops;
} mn_sample_options;

/* seed < 0: one from the clock. temperature < 0: the verb's default. */
#define MN_SAMPLE_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        .n_predict = -1, .top_k = 40, .repeat_last_n = 64, .seed = -1, .temperature = -1, .top_p = 0.95,               \
        .min_p = 0.05, .repeat_penalty = 1                                                                             \
    }

#define MN_SAMPLE_OPTION_ROWS(o, temperature_help)                                                                     \
    {"answer", MN_OPT_HEADING, NULL, NULL, NULL, 0, 0}, {"n predict n-predict",                                        \
                                                         MN_OPT_INT,                                                   \
                                                         &(o).n_predict,                                               \
                                                         "N",                                                          \
                                                         "tokens at most (-1: until the model ends)",                  \
                                                         -1,                                                           \
                                                         1e12},                                                        \
        {"temp temperature", MN_OPT_NUMBER, &(o).temperature, "T", temperature_help, 0, 100},                          \
        {"top-k", MN_OPT_INT, &(o).top_k, "K", "draw from the K likeliest (40; 0: all)", 0, 1e9},                      \
        {"top-p", MN_OPT_NUMBER, &(o).top_p, "P", "draw from the likeliest that hold P together (0.95)", 0, 1},        \
        {"min-p", MN_OPT_NUMBER, &(o).min_p, "P", "draw from those at least P times as likely as the best (0.05)", 0,  \
         1},                                                                                                           \
        {"repeat-penalty",                                                                                             \
         MN_OPT_NUMBER,                                                                                                \
         &(o).repeat_penalty,                                                                                          \
         "X",                                                                                                          \
         "divide the scores of repeated tokens (1: off)",                                                              \
         0.01,                                                                                                         \
         100},                                                                                                         \
        {"presence-penalty",                                                                                           \
         MN_OPT_NUMBER,                                                                                                \
         &(o).presence_penalty,                                                                                        \
         "X",                                                                                                          \
         "take X off tokens that occurred (0)",                                                                        \
         -100,                                                                                                         \
         100},                                                                                                         \
        {"frequency-penalty",                                                                                          \
         MN_OPT_NUMBER,                                                                                                \
         &(o).frequency_penalty,                                                                                       \
         "X",                                                                                                          \
         "take X off for every occurrence (0)",                                                                        \
         -100,                                                                                                         \
         100},                                                                                                         \
        {"repeat-last-n",                                                                                              \
         MN_OPT_INT,                                                                                                   \
         &(o).repeat_last_n,                                                                                           \
         "N",                                                                                                          \
         "tokens the penalties look back at (64; -1: all)",                                                            \
         -1,                                                                                                           \
         1e9},                                                                                                         \
        {"s seed", MN_OPT_INT, &(o).seed, "N", "same seed, same text (-1: from the clock)", -1, 9e18}, {               \
        "r reverse-prompt", MN_OPT_TEXTS, &(o).stops, "TEXT", "end the answer before this text; may be repeated", 0, 0 \
    }

/* The caller destroys the sampler. temperature: what -1 stands for. */
mn_status mn_sample_options_create(const mn_sample_options *o, double temperature, int32_t n_vocab, mn_sampler **out,
                                   mn_error *err);

#endif
