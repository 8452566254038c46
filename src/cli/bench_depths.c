/* mnemo bench: prefill and decode by depth of context. */
#include "base/checked.h"
#include "base/human.h"
#include "base/svg.h"
#include "cli/bench.h"
#include "cli/profile.h"
#include "cli/progress.h"
#include "cli/router_report.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/texts.h"
#include "session/compose.h"
#include "session/session.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct job {
    const mn_bench_options *o;
    mn_engine *engine;
    mn_session *session;
    mn_speed speeds[MN_BENCH_MAX_NUMBERS];
    mn_profile *profiles[MN_BENCH_MAX_NUMBERS][2];     /* prefill, decode */
    mn_router_tally routers[MN_BENCH_MAX_NUMBERS + 1]; /* before each depth, and behind the last */
    mn_peaks peaks;
    mn_tokens text; /* of the files, if any */
} job;

static mn_status create_profiles(job *j, int i, mn_error *err) {
    const int64_t rows[2] = {j->o->n_prompt, j->o->n_generated};
    for (int k = 0; k < 2; k++)
        if (j->o->profiles && rows[k])
            MN_TRY(mn_cli_profile_create(j->engine, &j->peaks, j->o->cpu_time, &j->profiles[i][k], err));
    return MN_OK;
}

/* What was profiled at a depth. Returns how many parts. */
static int profiled_parts(const job *j, int i, mn_profiled parts[2]) {
    const mn_bench_options *o = j->o;
    int n = 0;
    if (j->profiles[i][0]) parts[n++] = (mn_profiled){"prefill", j->profiles[i][0], o->n_prompt * o->n_repeats};
    if (j->profiles[i][1]) parts[n++] = (mn_profiled){"decode", j->profiles[i][1], o->n_generated * o->n_repeats};
    return n;
}

/* The tokens of the files: enough for the deepest measurement. */
static mn_status read_text(job *j, int64_t rows, mn_error *err) {
    mn_strbuf document = MN_STRBUF_INIT;
    int n_texts = 0;
    int64_t wanted = mn_bench_largest(&j->o->depths) + rows;
    mn_status status = mn_texts_read(&j->o->files, true, NULL, true, &document, &n_texts, err);
    if (status == MN_OK) status = mn_compose_ask(j->engine, NULL, document.data, NULL, true, &j->text, err);
    mn_strbuf_release(&document);
    if (status == MN_OK && (int64_t)j->text.n < wanted)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "the text has %zu tokens, and the largest depth wants %lld: give a longer one.", j->text.n,
                       (long long)wanted);
    return status;
}

static mn_status measure(job *j, mn_error *err) {
    const mn_bench_options *o = j->o;
    int64_t rows = MN_MAX(MN_MAX(o->n_prompt, o->n_generated), 1);
    if (mn_given_model.n_ctx == 0) mn_given_model.n_ctx = mn_bench_largest(&o->depths) + rows;
    if (mn_given_model.n_batch == 0) mn_given_model.n_batch = MN_MAX(o->n_prompt, 1);
    MN_TRY(mn_bench_open(&j->engine, &j->peaks, err));
    if (o->files.n) MN_TRY(read_text(j, rows, err));
    MN_TRY(mn_model_options_session(&mn_given_model, j->engine, &j->session, err));
    mn_progress progress;
    mn_progress_begin(&progress, "measuring", "depths", o->depths.n);
    j->routers[0] = mn_router_tally_of(j->session);
    mn_status status = MN_OK;
    for (int i = 0; i < o->depths.n && status == MN_OK; i++) {
        status = create_profiles(j, i, err);
        mn_speed_shape shape = {.depth = o->depths.at[i],
                                .n_prompt = (int)o->n_prompt,
                                .n_generated = (int)o->n_generated,
                                .n_repeats = (int)o->n_repeats,
                                .text = j->text.data,
                                .cold = o->cold,
                                .prefill_profile = j->profiles[i][0],
                                .decode_profile = j->profiles[i][1]};
        if (status == MN_OK) status = mn_speed_measure(j->session, &shape, &j->speeds[i], err);
        j->routers[i + 1] = mn_router_tally_of(j->session);
        mn_progress_at(&progress, i + 1);
    }
    mn_progress_end(&progress);
    return status;
}

/* The widest dot products this level has: what prefill is compared with. */
static double best_flops(const mn_peaks *p) { return MN_MAX(p->f32_flops_per_s, p->bf16_flops_per_s); }

static double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

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
    for (int i = 0; i < j->o->depths.n; i++) {
        const mn_speed *s = &j->speeds[i];
        json_t *row =
            json_pack("{s:I, s:I}", "depth", (json_int_t)j->o->depths.at[i], "kv_bytes", (json_int_t)s->kv_bytes);
        if (j->o->n_prompt) {
            mn_bench_rate_json(row, "prefill_tps", s->prefill);
            json_object_set_new(row, "prefill_keys_read", json_real(s->prefill_keys));
        }
        if (j->o->n_generated) {
            mn_bench_rate_json(row, "decode_tps", s->decode);
            json_object_set_new(row, "decode_keys_read", json_real(s->decode_keys));
        }
        json_object_set_new(row, "attention_prefill_ms", json_real(s->attention_prefill_s * 1e3));
        json_object_set_new(row, "attention_prefill_flops_per_s", json_real(s->attention_flops_per_s));
        json_object_set_new(row, "attention_prefill_percent_of_peak",
                            json_real(percent(s->attention_flops_per_s, best_flops(&j->peaks))));
        json_object_set_new(row, "attention_decode_ms", json_real(s->attention_decode_s * 1e3));
        json_object_set_new(row, "attention_decode_bytes_per_s", json_real(s->attention_bytes_per_s));
        json_object_set_new(row, "attention_decode_percent_of_bandwidth",
                            json_real(percent(s->attention_bytes_per_s, j->peaks.read_bytes_per_s)));
        if (mn_given_model.kv_disk) disk_json(row, &s->disk);
        mn_profiled parts[2];
        int n_parts = profiled_parts(j, i, parts);
        for (int k = 0; k < n_parts; k++) {
            char name[32];
            snprintf(name, sizeof name, "%s_profile", parts[k].title);
            json_object_set_new(row, name, mn_profile_json(&parts[k]));
        }
        for (int decode = 0; decode < 2 && j->routers[0].n_layers; decode++)
            json_object_set_new(row, decode ? "router_decode" : "router_prefill",
                                mn_router_json(&j->routers[i], &j->routers[i + 1], decode));
        json_array_append_new(rows, row);
    }
    return rows;
}

static void print_json(const job *j) {
    json_t *object = mn_bench_json(j->engine, &j->peaks, j->o, j->session);
    json_object_set_new(object, "rows", rows_json(j));
    mn_bench_print_json(object);
}

/* "63.1 (53.6-78.1)", or a dash for what was left out. */
static void add_rate(mn_table *table, const mn_rate *rate, bool measured) {
    if (measured)
        mn_table_add(table, "%.1f (%.1f-%.1f)", rate->median, rate->min, rate->max);
    else
        mn_table_add(table, "-");
}

/* "41.2 GB/s  96%"; what is above the whole is marked. */
static void add_share(mn_table *table, double rate, const char *unit, double whole, bool measured, bool *above) {
    double share = percent(rate, whole);
    if (!measured) {
        mn_table_add(table, "-");
        return;
    }
    mn_table_add(table, "%.1f %s %3.0f%%%s", rate / 1e9, unit, share, share > 100 ? "*" : "");
    *above |= share > 100;
}

static void print_profiles(const job *j) {
    mn_profiled parts[2];
    for (int i = 0; i < j->o->depths.n; i++) {
        int n = profiled_parts(j, i, parts);
        if (n) printf("\ndepth %lld\n", (long long)j->o->depths.at[i]);
        for (int k = 0; k < n; k++) mn_profile_print(stdout, &parts[k]);
    }
}

/* "100%, 3.2%": of prefill and decode. */
static void add_keys(const job *j, mn_table *table, const mn_speed *s) {
    char prefill[16] = "-", decode[16] = "-";
    if (j->o->n_prompt) snprintf(prefill, sizeof prefill, "%.3g%%", 100 * s->prefill_keys);
    if (j->o->n_generated) snprintf(decode, sizeof decode, "%.3g%%", 100 * s->decode_keys);
    mn_table_add(table, "%s, %s", prefill, decode);
}

/* Warming up and all repeats together. */
static void print_routers(const job *j) {
    for (int i = 0; j->routers[0].n_layers && i < j->o->depths.n; i++) {
        mn_strbuf line = MN_STRBUF_INIT;
        for (int decode = 0; decode < 2; decode++) {
            line.bytes = 0;
            mn_router_put(&line, &j->routers[i], &j->routers[i + 1], decode);
            if (line.bytes && !line.failed)
                mn_print_line(stdout, 2, "%8lld  small MLPs: %s", (long long)j->o->depths.at[i], line.data);
        }
        mn_strbuf_release(&line);
    }
}

static void print_table(const job *j) {
    static const char *const titles[] = {"depth",
                                         "prefill tokens/s (range)",
                                         "decode tokens/s (range)",
                                         "attention, prefill",
                                         "attention, decode",
                                         "keys read",
                                         NULL};
    bool above = false;
    mn_table table;
    mn_bench_print_machine(j->engine, &j->peaks);
    mn_table_begin(&table, titles, 0);
    for (int i = 0; i < j->o->depths.n; i++) {
        const mn_speed *s = &j->speeds[i];
        mn_table_add(&table, "%lld", (long long)j->o->depths.at[i]);
        add_rate(&table, &s->prefill, j->o->n_prompt > 0);
        add_rate(&table, &s->decode, j->o->n_generated > 0);
        add_share(&table, s->attention_flops_per_s, "GFLOP/s", best_flops(&j->peaks),
                  j->o->n_prompt > 0 && !j->text.data, &above);
        add_share(&table, s->attention_bytes_per_s, "GB/s", j->peaks.read_bytes_per_s,
                  j->o->n_generated > 0 && !j->text.data, &above);
        add_keys(j, &table, s);
    }
    mn_table_end(&table, stdout);
    if (above) mn_bench_explain_shares();
    for (int i = 0; mn_given_model.kv_disk && i < j->o->depths.n; i++) {
        const mn_disk_figures *d = &j->speeds[i].disk;
        mn_human held, read;
        mn_print_line(stdout, 2, "%8lld  disk: %s held, %s read at %.2f GB/s", (long long)j->o->depths.at[i],
                      mn_human_bytes(held, (size_t)d->held_bytes), mn_human_bytes(read, (size_t)d->read_bytes),
                      disk_rate(d) / 1e9);
    }
    print_profiles(j);
    print_routers(j);
    printf("\npeak memory %.0f MiB\n", mn_bench_peak_rss_bytes() / 0x1p20);
}

static mn_status draw(const job *j, mn_error *err) {
    double depths[MN_BENCH_MAX_NUMBERS], prefill[MN_BENCH_MAX_NUMBERS], decode[MN_BENCH_MAX_NUMBERS];
    for (int i = 0; i < j->o->depths.n; i++) {
        depths[i] = (double)j->o->depths.at[i];
        prefill[i] = j->speeds[i].prefill.median;
        decode[i] = j->speeds[i].decode.median;
    }
    mn_svg_axis x = {.label = "tokens in context"}, y = {.label = "tokens per second", .log = true};
    mn_svg_axis_include(&x, depths, (size_t)j->o->depths.n);
    if (j->o->n_prompt) mn_svg_axis_include(&y, prefill, (size_t)j->o->depths.n);
    if (j->o->n_generated) mn_svg_axis_include(&y, decode, (size_t)j->o->depths.n);
    mn_svg_axis_pad(&x, 0.02);
    mn_svg_axis_pad(&y, 0.05);
    mn_svg svg;
    mn_svg_begin(&svg, "Speed by depth of context", x, y);
    if (j->o->n_prompt) mn_svg_line(&svg, 0, "prefill", depths, prefill, (size_t)j->o->depths.n);
    if (j->o->n_generated) mn_svg_line(&svg, 1, "decode", depths, decode, (size_t)j->o->depths.n);
    if (j->o->n_prompt) mn_svg_points(&svg, 0, NULL, depths, prefill, (size_t)j->o->depths.n);
    if (j->o->n_generated) mn_svg_points(&svg, 1, NULL, depths, decode, (size_t)j->o->depths.n);
    return mn_svg_write(&svg, j->o->svg_path, err);
}

static mn_status run(job *j, mn_error *err) {
    MN_TRY(measure(j, err));
    if (j->o->as_json)
        print_json(j);
    else
        print_table(j);
    if (!j->o->svg_path) return MN_OK;
    mn_profiled parts[2];
    int n = profiled_parts(j, j->o->depths.n - 1, parts);
    return n ? mn_profile_draw(parts, n, j->o->svg_path, err) : draw(j, err);
}

mn_status mn_bench_depths(const mn_bench_options *options, mn_error *err) {
    job j = {.o = options};
    mn_status status = run(&j, err);
    for (int i = 0; i < MN_BENCH_MAX_NUMBERS; i++)
        for (int k = 0; k < 2; k++) mn_profile_destroy(j.profiles[i][k]);
    for (int i = 0; i <= MN_BENCH_MAX_NUMBERS; i++) mn_router_tally_release(&j.routers[i]);
    mn_session_close(j.session);
    mn_engine_close(j.engine);
    free(j.text.data);
    return status;
}
