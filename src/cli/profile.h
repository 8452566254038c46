/* Where the time of a run went, as tables, JSON and a picture (kernels/profile.h). */
#ifndef MN_CLI_PROFILE_H
#define MN_CLI_PROFILE_H

#include "session/engine.h"

#include <jansson.h>
#include <stdio.h>

/* A part of a run: the prefill of a prompt, or the decoding of an answer. */
typedef struct mn_profiled {
    const char *title; /* "prefill" */
    const mn_profile *profile;
    int64_t n_tokens;
} mn_profiled;

/* A profile for a model; cpu_time: by the CPU time of the only thread, or MN_ERR_ARGUMENT. The caller destroys it. */
mn_status mn_cli_profile_create(const mn_engine *engine, const mn_peaks *peaks, bool cpu_time, mn_profile **out,
                                mn_error *err);
/* Peaks in half a second, for runs that have not measured them otherwise. */
mn_status mn_cli_profile_peaks(const mn_engine *engine, mn_peaks *out, mn_error *err);
/* Milliseconds by kind of operation and range of layers that are alike, and what these operations had to do. */
void mn_profile_print(FILE *out, const mn_profiled *part);
/* {"tokens": .., "seconds": .., "operations": [{"layers": "0-1", "operation": "products", "ms": ..}, ..]} */
json_t *mn_profile_json(const mn_profiled *part);
/* Each layer's share of the time, by kind; two parts at most, one above the other. */
mn_status mn_profile_draw(const mn_profiled *parts, int n_parts, const char *path, mn_error *err);

#endif
