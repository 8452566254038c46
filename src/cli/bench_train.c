/* mnemo bench --train: tokens a second in training, the share of the machine's peak, and where the time goes. */
#include "bench/training_step.h"

#include "base/checked.h"
#include "base/human.h"
#include "cli/bench.h"
#include "cli/model_file.h"
#include "cli/terminal.h"

#include <stdio.h>

static mn_status measure_peaks(mn_peaks *peaks, mn_cpu_level *level, mn_error *err) {
    mn_pool *pool;
    MN_TRY(mn_cpu_choose(level, err));
    MN_TRY(mn_pool_create((int)mn_given_model.n_threads, &pool, err));
    mn_status status = mn_peaks_measure_within(*level, pool, 0.5, 2 << 20, peaks, err);
    mn_pool_destroy(pool);
    return status;
}

static void show_kinds(const mn_training_step *s) {
    double rest = s->seconds - s->optimiser_seconds;
    mn_print_line(stdout, 2, "%-24s %10s %10s %7s", "", "forward ms", "backward", "share");
    for (int kind = 0; kind < MN_TAPE_KIND_COUNT; kind++) {
        double forward = s->forward_seconds[kind], backward = s->backward_seconds[kind];
        if (forward + backward == 0) continue;
        rest -= forward + backward;
        mn_print_line(stdout, 2, "%-24s %10.2f %10.2f %6.1f%%", mn_tape_kind_name((mn_tape_kind)kind), 1e3 * forward,
                      1e3 * backward, 100 * (forward + backward) / s->seconds);
    }
    mn_print_line(stdout, 2, "%-24s %10.2f %10s %6.1f%%", "optimiser", 1e3 * s->optimiser_seconds, "",
                  100 * s->optimiser_seconds / s->seconds);
    mn_print_line(stdout, 2, "%-24s %10.2f %10s %6.1f%%", "the rest", 1e3 * MN_MAX(rest, 0.0), "",
                  100 * MN_MAX(rest, 0.0) / s->seconds);
}

static json_t *kinds_json(const mn_training_step *s) {
    json_t *kinds = json_array();
    for (int kind = 0; kind < MN_TAPE_KIND_COUNT; kind++)
        if (s->forward_seconds[kind] + s->backward_seconds[kind] > 0)
            json_array_append_new(kinds, json_pack("{s:s, s:f, s:f}", "kind", mn_tape_kind_name((mn_tape_kind)kind),
                                                   "forward_seconds", s->forward_seconds[kind], "backward_seconds",
                                                   s->backward_seconds[kind]));
    return kinds;
}

mn_status mn_bench_train(const mn_bench_options *options, mn_error *err) {
    mn_training_step s;
    mn_peaks peaks;
    mn_cpu_level level;
    mn_human params, planned;
    MN_TRY(measure_peaks(&peaks, &level, err));
    MN_TRY(mn_model_file_find(&mn_given_model.model, err));
    if (options->n_prompt < 1) return mn_fail(err, MN_ERR_ARGUMENT, "--train trains on -p tokens: 1 or more.");
    MN_TRY(mn_training_step_measure(mn_given_model.model, options->n_prompt, (int)mn_given_model.n_threads,
                                    options->n_repeats, &s, err));
    double peak = s.in_bf16 ? peaks.bf16_flops_per_s : peaks.f32_flops_per_s, speed = (double)s.n_tokens / s.seconds;
    double share = s.flops / s.seconds / peak;
    if (options->as_json) {
        mn_bench_print_json(json_pack("{s:{s:s, s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:o}}", "training",
                                      "level", mn_cpu_level_name(level), "products", s.in_bf16 ? "bf16" : "f32",
                                      "parameters", (json_int_t)s.n_params, "tokens", (json_int_t)s.n_tokens,
                                      "tokens_per_s", speed, "peak_share", share, "peak_flops_per_s", peak,
                                      "step_seconds", s.seconds, "optimiser_seconds", s.optimiser_seconds,
                                      "planned_bytes", (double)s.planned_bytes, "kinds", kinds_json(&s)));
        return MN_OK;
    }
    mn_print_line(stdout, 2, "%s parameters, a window of %lld tokens, AdamW; products in %s, %s",
                  mn_human_count(params, s.n_params), (long long)s.n_tokens, s.in_bf16 ? "bf16" : "f32",
                  mn_cpu_level_name(level));
    mn_print_line(stdout, 2, "%.0f tokens/s, %.1f %% of %.0f GFLOP/s; %.1f ms a step; %s planned\n", speed, 100 * share,
                  peak / 1e9, 1e3 * s.seconds, mn_human_bytes(planned, s.planned_bytes));
    show_kinds(&s);
    return MN_OK;
}
