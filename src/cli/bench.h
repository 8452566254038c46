/* What the measurements of `mnemo bench` share. */
#ifndef MN_CLI_BENCH_H
#define MN_CLI_BENCH_H

#include "bench/depth.h"
#include "bench/peak.h"
#include "cli/model_options.h"
#include "cli/options.h"

#include <jansson.h>

enum { MN_BENCH_MAX_NUMBERS = 64 };

/* A list of numbers from the command line. */
typedef struct mn_bench_list {
    int64_t at[MN_BENCH_MAX_NUMBERS];
    int n;
} mn_bench_list;

typedef struct mn_bench_options {
    mn_bench_list depths, sessions;
    int64_t n_prompt, n_generated, n_repeats;
    bool as_json, profiles, cpu_time, cold;
    const char *svg_path;
    mn_text_list files; /* what depths are made of; none: repeated rows */
} mn_bench_options;

/* One verb each: by depth of context, many sessions together, kernels, training. All print. */
mn_status mn_bench_depths(const mn_bench_options *options, mn_error *err);
mn_status mn_bench_sessions(const mn_bench_options *options, mn_error *err);
mn_status mn_bench_kernels(const mn_bench_options *options, mn_error *err);
mn_status mn_bench_train(const mn_bench_options *options, mn_error *err);

int64_t mn_bench_largest(const mn_bench_list *list);
/* The engine of the options of a model; peaks of its level and threads. The caller closes the engine, NULL after a
 * failure. */
mn_status mn_bench_open(mn_engine **engine, mn_peaks *peaks, mn_error *err);
/* Two lines: the model, and what the machine can do at most. */
void mn_bench_print_machine(const mn_engine *engine, const mn_peaks *peaks);
/* A line that says how a share of a peak, marked with '*', can be above 100 %. */
void mn_bench_explain_shares(void);
/* {"machine": .., "model": .., "settings": .., "peak_rss_bytes": ..} */
json_t *mn_bench_json(const mn_engine *engine, const mn_peaks *peaks, const mn_bench_options *options,
                      const mn_session *session);
/* name, name_min and name_max. */
void mn_bench_rate_json(json_t *row, const char *name, mn_rate rate);
/* Prints and frees it. */
void mn_bench_print_json(json_t *object);
double mn_bench_peak_rss_bytes(void);

#endif
