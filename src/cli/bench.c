/* mnemo bench: speed by depth of context, next to what the machine can do. */
#include "base/checked.h"
#include "cli/progress.h"
#include "base/svg.h"
#include "bench/kernels.h"
#include "cli/model_options.h"
#include "cli/verbs.h"
#include "bench/peak.h"
#include "session/session.h"
#include "bench/depth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <jansson.h>

enum { MAX_DEPTHS = 64 };

static const char *depth_list, *svg_path;
static int64_t n_prompt, n_generated, n_repeats;
static bool as_json, kernels_only;

static const mn_option options[] = {
    MN_OPTION_TEXT("d depth", &depth_list, "D,...", "0,4096,16384,65536", "tokens already in the cache"),
    MN_OPTION_INT("p n-prompt", &n_prompt, "N", "512", 0, 65536, "tokens prefilled together at each depth; 0: skip"),
    MN_OPTION_INT("n n-gen", &n_generated, "N", "32", 0, 65536, "tokens decoded one by one at each depth; 0: skip"),
    MN_OPTION_INT("r repetitions", &n_repeats, "N", "5", 1, 1000, "repeats; medians are shown"),
    MN_OPTION_FLAG("kernels", &kernels_only,
                   "measure the table of kernels instead, at every level or at that of MNEMO_CPU"),
    MN_OPTION_FLAG("json", &as_json, "one JSON object"),
    MN_OPTION_TEXT("svg", &svg_path, "OUT", NULL, "draw speed by depth"),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "bench",
    .synopsis = "[MODEL] [-d DEPTH,...] [options]",
    .about = "Measures prefill and decode at depths of context. The cache is filled with the repeated KV entries of a "
             "short text, so a deep context costs nothing to reach. Figures are medians, next to the machine's own "
             "peaks, measured in the same run.",
    .example = "mnemo bench -m model.gguf -d 0,16384 -ctk q8_0 -ctv q8_0 --json",
    .options = options,
    .words = "model",
};

typedef struct job {
    mn_engine *engine;
    mn_session *session;
    int64_t depths[MAX_DEPTHS];
    mn_speed speeds[MAX_DEPTHS];
    int n_depths;
    mn_peaks peaks;
} job;

static mn_status parse_depths(job *j, mn_error *err) {
    for (const char *p = depth_list; *p;) {
        char *end;
        errno = 0;
        long long depth = strtoll(p, &end, 10);
        if (end == p || errno || depth < 0 || (*end && *end != ',') || j->n_depths == MAX_DEPTHS)
            return mn_fail(err, MN_ERR_ARGUMENT, "-d %s: wanted at most %d numbers from 0 up, separated by commas.",
                           depth_list, MAX_DEPTHS);
        j->depths[j->n_depths++] = depth;
        p = end + (*end == ',');
    }
    return j->n_depths ? MN_OK : mn_fail(err, MN_ERR_ARGUMENT, "-d names no depth; -d 0 is an empty context.");
}

static mn_status measure(job *j, mn_error *err) {
    int64_t deepest = 0;
    MN_TRY(parse_depths(j, err));
    for (int i = 0; i < j->n_depths; i++) deepest = MN_MAX(deepest, j->depths[i]);
    if (mn_given_model.n_ctx == 0) mn_given_model.n_ctx = deepest + MN_MAX(MN_MAX(n_prompt, n_generated), 1);
    if (mn_given_model.n_batch == 0) mn_given_model.n_batch = MN_MAX(n_prompt, 1);
    mn_given_model.beyond = true; /* speed does not depend on what positions were made for */
    MN_TRY(mn_model_options_open(&mn_given_model, false, &j->engine, &j->session, err));
    MN_TRY(mn_peaks_measure(j->engine->compute.kernels->level, j->engine->pool, 1.0, &j->peaks, err));
    mn_progress progress;
    mn_progress_begin(&progress, "measuring", "depths", j->n_depths);
    mn_status status = MN_OK;
    for (int i = 0; i < j->n_depths && status == MN_OK; i++) {
        mn_speed_shape shape = {j->depths[i], (int)n_prompt, (int)n_generated, (int)n_repeats};
        status = mn_speed_measure(j->session, &shape, &j->speeds[i], err);
        mn_progress_at(&progress, i + 1);
    }
    mn_progress_end(&progress);
    return status;
}

static double peak_rss_bytes(void) {
    struct rusage usage_now;
    getrusage(RUSAGE_SELF, &usage_now);
    return (double)usage_now.ru_maxrss * 1024;
}

/* The widest dot products this level has: what prefill is compared with. */
static double best_flops(const mn_peaks *p) { return MN_MAX(p->f32_flops_per_s, p->bf16_flops_per_s); }

static double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

static json_t *rate_json(json_t *row, const char *name, mn_rate rate) {
    char key[64];
    json_object_set_new(row, name, json_real(rate.median));
    snprintf(key, sizeof key, "%s_min", name);
    json_object_set_new(row, key, json_real(rate.min));
    snprintf(key, sizeof key, "%s_max", name);
    json_object_set_new(row, key, json_real(rate.max));
    return row;
}

static double disk_rate(const mn_disk_figures *d) {
    return d->read_seconds > 0 ? (double)d->read_bytes / d->read_seconds : 0;
}

static void disk_json(json_t *row, const mn_disk_figures *d) {
    json_object_set_new(row, "disk_held_bytes", json_integer((json_int_t)d->held_bytes));
    json_object_set_new(row, "disk_read_bytes", json_integer((json_int_t)d->read_bytes));
    json_object_set_new(row, "disk_written_bytes", json_integer((json_int_t)d->written_bytes));
    json_object_set_new(row, "disk_read_bytes_per_s", json_real(disk_rate(d)));
}

static json_t *rows_json(const job *j) {
    json_t *rows = json_array();
    for (int i = 0; i < j->n_depths; i++) {
        const mn_speed *s = &j->speeds[i];
        json_t *row = json_pack("{s:I, s:I}", "depth", (json_int_t)j->depths[i], "kv_bytes", (json_int_t)s->kv_bytes);
        if (n_prompt) rate_json(row, "prefill_tps", s->prefill);
        if (n_generated) rate_json(row, "decode_tps", s->decode);
        json_object_set_new(row, "attention_prefill_ms", json_real(s->attention_prefill_s * 1e3));
        json_object_set_new(row, "attention_prefill_flops_per_s", json_real(s->attention_flops_per_s));
        json_object_set_new(row, "attention_prefill_percent_of_peak",
                            json_real(percent(s->attention_flops_per_s, best_flops(&j->peaks))));
        json_object_set_new(row, "attention_decode_ms", json_real(s->attention_decode_s * 1e3));
        json_object_set_new(row, "attention_decode_bytes_per_s", json_real(s->attention_bytes_per_s));
        json_object_set_new(row, "attention_decode_percent_of_bandwidth",
                            json_real(percent(s->attention_bytes_per_s, j->peaks.read_bytes_per_s)));
        if (mn_given_model.kv_disk) disk_json(row, &s->disk);
        json_array_append_new(rows, row);
    }
    return rows;
}

static void print_json(const job *j) {
    mn_model_info info = mn_engine_info(j->engine);
    json_t *object = json_pack(
        "{s:o, s:{s:s, s:i, s:f, s:f, s:f, s:f}, s:{s:s, s:s, s:I, s:I, s:s}, s:{s:I, s:I, s:I, s:s, s:s, s:s?, s:I}, "
        "s:f}",
        "rows", rows_json(j), "machine", "level", mn_cpu_level_name(j->engine->compute.kernels->level), "threads",
        mn_pool_threads(j->engine->pool), "f32_flops_per_s", j->peaks.f32_flops_per_s, "bf16_flops_per_s",
        j->peaks.bf16_flops_per_s, "int8_ops_per_s", j->peaks.int8_ops_per_s, "read_bytes_per_s",
        j->peaks.read_bytes_per_s, "model", "path", info.path, "architecture", info.architecture, "parameters",
        (json_int_t)info.n_params, "weight_bytes", (json_int_t)info.weight_bytes, "weight_type", info.weight_type,
        "settings", "n_prompt", (json_int_t)n_prompt, "n_gen", (json_int_t)n_generated, "repetitions",
        (json_int_t)n_repeats, "cache_type_k", mn_dtype_get(mn_kvcache_shape(j->session->sequence.cache)->k_type)->name,
        "cache_type_v", mn_dtype_get(mn_kvcache_shape(j->session->sequence.cache)->v_type)->name, "kv_disk",
        mn_given_model.kv_disk, "kv_ram_bytes", (json_int_t)mn_given_model.kv_ram, "peak_rss_bytes", peak_rss_bytes());
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(object);
}

static void print_table(const job *j) {
    mn_model_info info = mn_engine_info(j->engine);
    printf("%s, %.0f M parameters, %s; %d threads, %s\n", info.architecture, (double)info.n_params / 1e6,
           info.weight_type, mn_pool_threads(j->engine->pool), mn_cpu_level_name(j->engine->compute.kernels->level));
    printf("machine: %.0f GFLOP/s f32, %.0f GFLOP/s bf16, %.0f GOP/s int8, %.1f GB/s read\n\n",
           j->peaks.f32_flops_per_s / 1e9, j->peaks.bf16_flops_per_s / 1e9, j->peaks.int8_ops_per_s / 1e9,
           j->peaks.read_bytes_per_s / 1e9);
    printf("%8s  %26s  %26s  %18s  %16s\n", "depth", "prefill tokens/s (range)", "decode tokens/s (range)",
           "attention, prefill", "attention, decode");
    for (int i = 0; i < j->n_depths; i++) {
        const mn_speed *s = &j->speeds[i];
        printf("%8lld  %9.1f (%6.1f-%6.1f)  %10.1f (%6.1f-%6.1f)  %5.0f GFLOP/s %3.0f%%  %6.1f GB/s %3.0f%%\n",
               (long long)j->depths[i], s->prefill.median, s->prefill.min, s->prefill.max, s->decode.median,
               s->decode.min, s->decode.max, s->attention_flops_per_s / 1e9,
               percent(s->attention_flops_per_s, best_flops(&j->peaks)), s->attention_bytes_per_s / 1e9,
               percent(s->attention_bytes_per_s, j->peaks.read_bytes_per_s));
    }
    for (int i = 0; mn_given_model.kv_disk && i < j->n_depths; i++) {
        const mn_disk_figures *d = &j->speeds[i].disk;
        printf("%8lld  disk: %.2f GiB held, %.2f GiB read at %.2f GB/s\n", (long long)j->depths[i],
               (double)d->held_bytes / 0x1p30, (double)d->read_bytes / 0x1p30, disk_rate(d) / 1e9);
    }
    printf("\npeak memory %.0f MiB\n", peak_rss_bytes() / 0x1p20);
}

static mn_status draw(const job *j, mn_error *err) {
    double depths[MAX_DEPTHS], prefill[MAX_DEPTHS], decode[MAX_DEPTHS];
    for (int i = 0; i < j->n_depths; i++) {
        depths[i] = (double)j->depths[i];
        prefill[i] = j->speeds[i].prefill.median;
        decode[i] = j->speeds[i].decode.median;
    }
    mn_svg_axis x = {.label = "tokens in context"}, y = {.label = "tokens per second", .log = true};
    mn_svg_axis_include(&x, depths, (size_t)j->n_depths);
    if (n_prompt) mn_svg_axis_include(&y, prefill, (size_t)j->n_depths);
    if (n_generated) mn_svg_axis_include(&y, decode, (size_t)j->n_depths);
    mn_svg_axis_pad(&x, 0.02);
    mn_svg_axis_pad(&y, 0.05);
    mn_svg svg;
    mn_svg_begin(&svg, "Speed by depth of context", x, y);
    if (n_prompt) mn_svg_line(&svg, 0, "reading", depths, prefill, (size_t)j->n_depths);
    if (n_generated) mn_svg_line(&svg, 1, "writing", depths, decode, (size_t)j->n_depths);
    if (n_prompt) mn_svg_points(&svg, 0, NULL, depths, prefill, (size_t)j->n_depths);
    if (n_generated) mn_svg_points(&svg, 1, NULL, depths, decode, (size_t)j->n_depths);
    return mn_svg_write(&svg, svg_path, err);
}

static mn_status run(job *j, mn_error *err) {
    if (kernels_only) return mn_bench_kernels((int)mn_given_model.n_threads, as_json, err);
    MN_TRY(measure(j, err));
    if (as_json)
        print_json(j);
    else
        print_table(j);
    return svg_path ? draw(j, err) : MN_OK;
}

int cmd_bench(int argc, char **argv) {
    mn_text_list positional;
    int code = mn_options_parse(&usage, argc, argv, &positional);
    if (code >= 0) return code;
    static job j;
    mn_error err;
    mn_status status = run(&j, &err);
    mn_session_close(j.session);
    mn_engine_close(j.engine);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("bench", &err);
}
