/* mnemo bench: how fast this machine runs a model, next to what the machine can do. */
#include "cli/bench.h"

#include "base/checked.h"
#include "base/ram.h"
#include "cli/json_text.h"
#include "cli/numbers.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "session/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *depth_list, *session_list;
static mn_bench_options given;
static bool kernels_only, trains;

static const mn_option options[] = {
    MN_OPTION_TEXT("d depth", &depth_list, "D,...", NULL,
                   "tokens already in the cache (0,4096,16384,65536; with --sessions 1024)"),
    MN_OPTION_TEXTS("f file", &given.files, "FILE",
                    "a text that is prefilled to each depth: what patterns that look at keys need"),
    MN_OPTION_INT("p n-prompt", &given.n_prompt, "N", "512", 0, 65536,
                  "tokens prefilled together at each depth; 0: skip"),
    MN_OPTION_INT("n n-gen", &given.n_generated, "N", "32", 0, 65536,
                  "tokens decoded one by one at each depth; 0: skip"),
    MN_OPTION_INT("r repetitions", &given.n_repeats, "N", "5", 1, 1000, "repeats; medians are shown"),
    MN_OPTION_TEXT("sessions", &session_list, "N,...", NULL,
                   "measure so many sessions that decode together instead, as 1,2,4,8"),
    MN_OPTION_FLAG("kernels", &kernels_only,
                   "measure the table of kernels instead, at every level or at that of MNEMO_CPU"),
    MN_OPTION_FLAG("train", &trains, "measure steps of training on a window of -p tokens instead"),
    MN_OPTION_FLAG("cold", &given.cold, "drop the weights of experts from memory before each step"),
    MN_OPTION_FLAG("json", &given.as_json, "print one JSON object"),
    MN_OPTION_FLAG("profile", &given.profiles, "say where the time goes: by operation and layers, at each depth"),
    MN_OPTION_FLAG("cpu-time", &given.cpu_time,
                   "let --profile count CPU time, which other programs do not disturb (-t 1)"),
    MN_OPTION_WRITTEN("svg", &given.svg_path, "FILE", "draw speed by depth; with --profile, the last depth's time"),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTION_GROUP(mn_position_option_rows),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "bench",
    .synopsis = "[MODEL] [-d DEPTH,...] [options]",
    .about = "Measures prefill and decode at depths of context, or how many sessions decode together. The cache is "
             "filled with the repeated KV entries of a short text, so a deep context costs nothing to reach. Figures "
             "are medians, next to the machine's own peaks, measured in the same run.",
    .example = "mnemo bench -m model.gguf -d 0,16384 -ctk q8_0 -ctv q8_0 --json",
    .options = options,
    .words = "model",
};

static mn_status read_list(const char *flag, const char *text, int64_t least, mn_bench_list *out, mn_error *err) {
    return mn_numbers_read(flag, text, least, INT64_C(1) << 40, out->at, MN_BENCH_MAX_NUMBERS, &out->n, err);
}

int64_t mn_bench_largest(const mn_bench_list *list) {
    int64_t largest = 0;
    for (int i = 0; i < list->n; i++) largest = MN_MAX(largest, list->at[i]);
    return largest;
}

mn_status mn_bench_open(mn_engine **engine, mn_peaks *peaks, mn_error *err) {
    mn_given_model.beyond = true; /* speed does not depend on what positions were made for */
    MN_TRY(mn_model_options_engine(&mn_given_model, false, engine, err));
    return mn_peaks_measure((*engine)->compute.kernels->level, (*engine)->pool, 1.0, peaks, err);
}

double mn_bench_peak_rss_bytes(void) { return (double)mn_ram_peak(); }

void mn_bench_print_machine(const mn_engine *engine, const mn_peaks *peaks) {
    mn_model_info info = mn_engine_info(engine);
    mn_print_line(stdout, 2, "%s, %.1f M parameters, %s; %d threads, %s", info.architecture,
                  (double)info.n_params / 1e6, info.weight_type, mn_pool_threads(engine->pool),
                  mn_cpu_level_name(engine->compute.kernels->level));
    mn_print_line(stdout, 2, "machine: %.0f GFLOP/s f32, %.0f GFLOP/s bf16, %.0f GOP/s int8, %.1f GB/s read\n",
                  peaks->f32_flops_per_s / 1e9, peaks->bf16_flops_per_s / 1e9, peaks->int8_ops_per_s / 1e9,
                  peaks->read_bytes_per_s / 1e9);
}

void mn_bench_explain_shares(void) {
    mn_print_line(
        stdout, 2,
        "* above 100 %%: what is read is small enough to stay in the processor's caches, which are faster than "
        "memory; or the machine was busier while its peak was measured");
}

void mn_bench_rate_json(json_t *row, const char *name, mn_rate rate) {
    char key[64];
    json_object_set_new(row, name, json_real(rate.median));
    snprintf(key, sizeof key, "%s_min", name);
    json_object_set_new(row, key, json_real(rate.min));
    snprintf(key, sizeof key, "%s_max", name);
    json_object_set_new(row, key, json_real(rate.max));
}

json_t *mn_bench_json(const mn_engine *engine, const mn_peaks *peaks, const mn_bench_options *o,
                      const mn_session *session) {
    mn_model_info info = mn_engine_info(engine);
    const mn_kv_shape *kv = mn_kvcache_shape(session->sequence.cache);
    return json_pack("{s:{s:s, s:i, s:f, s:f, s:f, s:f}, s:{s:o, s:s, s:I, s:I, s:s}, "
                     "s:{s:I, s:I, s:I, s:s, s:s, s:s?, s:I}, s:f}",
                     "machine", "level", mn_cpu_level_name(engine->compute.kernels->level), "threads",
                     mn_pool_threads(engine->pool), "f32_flops_per_s", peaks->f32_flops_per_s, "bf16_flops_per_s",
                     peaks->bf16_flops_per_s, "int8_ops_per_s", peaks->int8_ops_per_s, "read_bytes_per_s",
                     peaks->read_bytes_per_s, "model", "path", mn_json_name(info.path), "architecture",
                     info.architecture, "parameters", (json_int_t)info.n_params, "weight_bytes",
                     (json_int_t)info.weight_bytes, "weight_type", info.weight_type, "settings", "n_prompt",
                     (json_int_t)o->n_prompt, "n_gen", (json_int_t)o->n_generated, "repetitions",
                     (json_int_t)o->n_repeats, "cache_type_k", mn_dtype_get(kv->k_type)->name, "cache_type_v",
                     mn_dtype_get(kv->v_type)->name, "kv_disk", mn_given_model.kv_disk, "kv_ram_bytes",
                     (json_int_t)mn_given_model.kv_ram, "peak_rss_bytes", mn_bench_peak_rss_bytes());
}

void mn_bench_print_json(json_t *object) {
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(object);
}

static mn_status run(mn_error *err) {
    if (kernels_only) return mn_bench_kernels(&given, err);
    if (trains) return mn_bench_train(&given, err);
    if (!depth_list) depth_list = session_list ? "1024" : "0,4096,16384,65536";
    MN_TRY(read_list("-d", depth_list, 0, &given.depths, err));
    if (!session_list) return mn_bench_depths(&given, err);
    MN_TRY(read_list("--sessions", session_list, 1, &given.sessions, err));
    return mn_bench_sessions(&given, err);
}

int cmd_bench(int argc, char **argv) {
    mn_text_list positional;
    int code = mn_options_parse(&usage, argc, argv, &positional);
    if (code >= 0) return code;
    if (given.cpu_time && !given.profiles)
        return mn_cli_wrong(&usage, "--cpu-time is about what --profile says: give both.");
    mn_error err;
    return run(&err) == MN_OK ? MN_EXIT_DONE : mn_cli_fail("bench", &err);
}
