/* Options of the verbs that draw tokens. */
#ifndef MN_CLI_SAMPLE_OPTIONS_H
#define MN_CLI_SAMPLE_OPTIONS_H

#include "cli/options.h"
#include "sample/sampler.h"

typedef struct mn_sample_options {
    int64_t n_predict; /* MN_NO_LIMIT_GIVEN: the verb decides */
    int64_t top_k, repeat_last_n, seed;
    double temperature; /* below 0: the verb's */
    double top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    mn_text_list stops;
    bool ignore_eos;                        /* never draw a token that ends the text */
    const char *schema_path, *grammar_path; /* what the answer has to follow; NULL = nothing */
    const char *json_blanks;                /* "none", "one", "lines" */
} mn_sample_options;

enum { MN_NO_LIMIT_GIVEN = -2 };

/* What was given to the verb that runs, and the rows for its table: MN_OPTION_GROUP(mn_sample_option_rows). */
extern mn_sample_options mn_given_sampling;
extern const mn_option mn_sample_option_rows[];

/* The seed given, else one from the system. */
uint64_t mn_sample_options_seed(const mn_sample_options *o);
/* What is wrong with the options, before anything is read. */
mn_status mn_sample_options_check(const mn_sample_options *o, mn_error *err);
/* The caller destroys the sampler. temperature: what no --temp stands for. */
mn_status mn_sample_options_create(const mn_sample_options *o, double temperature, uint64_t seed, int32_t n_vocab,
                                   mn_sampler **out, mn_error *err);

#endif
