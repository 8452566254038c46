/* mnemo bench --sessions: how many tokens per second sessions get that decode together. */
#include "base/checked.h"
#include "cli/bench.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "session/session.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct job {
    const mn_bench_options *o;
    mn_engine *engine;
    mn_session **sessions;
    int n_sessions; /* opened */
    int counts[MN_BENCH_MAX_NUMBERS];
    mn_rate (*rates)[MN_BENCH_MAX_NUMBERS]; /* of a depth */
    mn_peaks peaks;
} job;

static mn_status open_sessions(job *j, mn_error *err) {
    int64_t most = mn_bench_largest(&j->o->sessions);
    if (mn_given_model.n_ctx == 0) mn_given_model.n_ctx = mn_bench_largest(&j->o->depths) + j->o->n_generated;
    j->rates = calloc((size_t)j->o->depths.n, sizeof *j->rates);
    j->sessions = calloc((size_t)most, sizeof(mn_session *));
    if (!j->sessions || !j->rates) return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld sessions.", (long long)most);
    for (; j->n_sessions < most; j->n_sessions++)
        MN_TRY(mn_model_options_session(&mn_given_model, j->engine, &j->sessions[j->n_sessions], err));
    return MN_OK;
}

static mn_status measure(job *j, mn_error *err) {
    const mn_bench_options *o = j->o;
    if (mn_bench_largest(&o->sessions) > INT32_MAX || o->n_generated < 1)
        return mn_fail(err, MN_ERR_ARGUMENT, "--sessions decodes: it wants -n from 1 up, and less than 2^31 sessions.");
    for (int i = 0; i < o->sessions.n; i++) j->counts[i] = (int)o->sessions.at[i];
    MN_TRY(mn_bench_open(&j->engine, &j->peaks, err));
    MN_TRY(open_sessions(j, err));
    mn_progress progress;
    mn_progress_begin(&progress, "measuring", "depths", o->depths.n);
    mn_status status = MN_OK;
    for (int i = 0; i < o->depths.n && status == MN_OK; i++) {
        mn_speed_shape shape = {
            .depth = o->depths.at[i], .n_generated = (int)o->n_generated, .n_repeats = (int)o->n_repeats};
        status = mn_speed_together(j->sessions, j->counts, o->sessions.n, &shape, j->rates[i], err);
        mn_progress_at(&progress, i + 1);
    }
    mn_progress_end(&progress);
    return status;
}

/* The rate beside that of one session at this depth; 0 when that was not measured. */
static double gain(const job *j, int depth, int count) {
    for (int i = 0; i < j->o->sessions.n; i++)
        if (j->counts[i] == 1) return j->rates[depth][count].median / j->rates[depth][i].median;
    return 0;
}

static void print_json(const job *j) {
    json_t *object = mn_bench_json(j->engine, &j->peaks, j->o, j->sessions[0]), *rows = json_array();
    for (int d = 0; d < j->o->depths.n; d++)
        for (int i = 0; i < j->o->sessions.n; i++) {
            json_t *row = json_pack("{s:I, s:i}", "depth", (json_int_t)j->o->depths.at[d], "sessions", j->counts[i]);
            mn_bench_rate_json(row, "decode_tps", j->rates[d][i]);
            if (gain(j, d, i) > 0) json_object_set_new(row, "times_one_session", json_real(gain(j, d, i)));
            json_array_append_new(rows, row);
        }
    json_object_set_new(object, "sessions", rows);
    mn_bench_print_json(object);
}

static void print_table(const job *j) {
    static const char *const titles[] = {"depth",   "sessions",    "tokens/s of all (range)",
                                         "of each", "one session", NULL};
    mn_table table;
    mn_bench_print_machine(j->engine, &j->peaks);
    mn_table_begin(&table, titles, 0);
    for (int d = 0; d < j->o->depths.n; d++)
        for (int i = 0; i < j->o->sessions.n; i++) {
            mn_rate r = j->rates[d][i];
            mn_table_add(&table, "%lld", (long long)j->o->depths.at[d]);
            mn_table_add(&table, "%d", j->counts[i]);
            mn_table_add(&table, "%.1f (%.1f-%.1f)", r.median, r.min, r.max);
            mn_table_add(&table, "%.1f", r.median / j->counts[i]);
            mn_table_add(&table, gain(j, d, i) > 0 ? "x %.2f" : " ", gain(j, d, i));
        }
    mn_table_end(&table, stdout);
    printf("\npeak memory %.0f MiB\n", mn_bench_peak_rss_bytes() / 0x1p20);
}

mn_status mn_bench_sessions(const mn_bench_options *options, mn_error *err) {
    job j = {.o = options};
    mn_status status = measure(&j, err);
    if (status == MN_OK && options->as_json)
        print_json(&j);
    else if (status == MN_OK)
        print_table(&j);
    for (int i = 0; i < j.n_sessions; i++) mn_session_close(j.sessions[i]);
    free(j.sessions);
    free(j.rates);
    mn_engine_close(j.engine);
    return status;
}
