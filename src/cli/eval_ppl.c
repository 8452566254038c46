/* mnemo eval ppl: loss and bits per byte of texts, overall and by position. */
#include "base/checked.h"
#include "base/strbuf.h"
#include "base/svg.h"
#include "cli/eval.h"
#include "cli/json_text.h"
#include "cli/numbers.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/texts.h"
#include "eval/perplexity.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *windows_text, *svg_path;
static mn_text_list files;
static int64_t stride, max_windows, n_buckets;
static bool as_json;

static const mn_option options[] = {
    MN_OPTION_TEXTS("f file", &files, "FILE", "a text to score; may be repeated"),
    MN_OPTION_TEXT("windows", &windows_text, "N,...", "512", "tokens of a window; several are compared"),
    MN_OPTION_INT("stride", &stride, "S", "0", 0, 1e12,
                  "tokens from one window to the next (0: the window, no overlap)"),
    MN_OPTION_INT("max-windows", &max_windows, "N", "0", 0, 1e9, "at most so many windows of each text; 0: all"),
    MN_OPTION_INT("buckets", &n_buckets, "N", "8", 1, MN_TEXT_LOSS_BUCKETS,
                  "parts of the window in the table by position"),
    MN_OPTION_FLAG("json", &as_json, "print one JSON object"),
    MN_OPTION_WRITTEN("svg", &svg_path, "FILE", "draw the loss by position"),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTION_GROUP(mn_position_option_rows),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "eval ppl",
    .synopsis = "[MODEL] -f TEXT... [--windows N,...] [--stride S]",
    .about = "Measures the loss of texts (nats per token, perplexity, bits per byte), overall and by position in the "
             "window.",
    .example = "mnemo eval ppl -m model.gguf -f book.txt --windows 512,1024,2048 --svg loss.svg",
    .options = options,
    .words = "model",
};

typedef struct job {
    int64_t windows[MN_MAX_LENGTHS];
    mn_text_loss losses[MN_MAX_LENGTHS];
    int n_windows;
    mn_engine *engine;
    mn_session *session;
    mn_progress progress;
    int64_t *visits; /* [n_layers, n_experts] of all windows; NULL without experts */
} job;

static bool show_progress(void *arg, int64_t done, int64_t total) {
    (void)total;
    mn_progress_at(arg, done);
    return true;
}

static mn_status score_file(job *j, int w, const char *path, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    int32_t *ids = NULL;
    size_t n = 0;
    mn_text_loss_params p = {.window = j->windows[w],
                             .stride = stride ? MN_MIN(stride, j->windows[w]) : j->windows[w],
                             .n_buckets = (int)n_buckets,
                             .max_windows = max_windows,
                             .n_vocab = mn_engine_info(j->engine).n_vocab};
    mn_status status = mn_text_read(path, false, &text, err);
    if (status == MN_OK)
        status = mn_tokenize(mn_engine_tokenizer(j->engine), text.data, text.bytes, false, false, &ids, &n, err);
    if (status == MN_OK) {
        mn_progress_begin(&j->progress, "scoring", "tokens", (int64_t)n);
        status = mn_text_loss_add(j->session, &p, ids, (int64_t)n, show_progress, &j->progress, &j->losses[w], err);
        mn_progress_end(&j->progress);
    }
    free(ids);
    mn_strbuf_release(&text);
    return status;
}

static void add_visits(job *j) {
    mn_model_info info = mn_engine_info(j->engine);
    size_t n = (size_t)info.n_layers * (size_t)info.n_experts;
    if (n && !j->visits) j->visits = calloc(n, sizeof *j->visits);
    for (int layer = 0; j->visits && layer < info.n_layers; layer++) {
        const int64_t *visits = mn_session_expert_visits(j->session, layer);
        for (int e = 0; visits && e < info.n_experts; e++) j->visits[layer * info.n_experts + e] += visits[e];
    }
}

static mn_status score_window(job *j, int w, mn_error *err) {
    mn_model_options o = mn_given_model;
    if (o.n_ctx == 0) o.n_ctx = j->windows[w];
    o.beyond = true; /* to measure what happens there */
    MN_TRY(mn_model_options_session(&o, j->engine, &j->session, err));
    mn_status status = MN_OK;
    for (int i = 0; i < files.n && status == MN_OK; i++) status = score_file(j, w, files.items[i], err);
    add_visits(j);
    mn_session_close(j->session);
    j->session = NULL;
    return status;
}

static double bucket_mean(const mn_text_loss *l, int b) {
    return l->bucket_tokens[b] ? l->bucket_nats[b] / (double)l->bucket_tokens[b] : NAN;
}

static void print_windows(const job *j) {
    static const char *const titles[] = {"window", "tokens", "nats/token", "perplexity", "bits/byte", NULL};
    mn_table table;
    mn_table_begin(&table, titles, 0);
    for (int w = 0; w < j->n_windows; w++) {
        const mn_text_loss *l = &j->losses[w];
        mn_table_add(&table, "%lld", (long long)j->windows[w]);
        mn_table_add(&table, "%lld", (long long)l->n_tokens);
        mn_table_add(&table, "%.4f +- %.4f", mn_text_loss_mean(l), mn_text_loss_error(l));
        mn_table_add(&table, "%.3f", exp(mn_text_loss_mean(l)));
        mn_table_add(&table, "%.4f", mn_text_loss_bits_per_byte(l));
    }
    mn_table_end(&table, stdout);
}

static void print_positions(const job *j, int w) {
    static const char *const titles[] = {"positions", "nats/token", "tokens", NULL};
    const mn_text_loss *l = &j->losses[w];
    mn_table table;
    printf("\nby position, window %lld\n", (long long)j->windows[w]);
    mn_table_begin(&table, titles, 0);
    for (int b = 0; b < n_buckets; b++) {
        mn_table_add(&table, "%lld to %lld", (long long)(b * j->windows[w] / n_buckets),
                     (long long)((b + 1) * j->windows[w] / n_buckets - 1));
        if (l->bucket_tokens[b])
            mn_table_add(&table, "%.4f", bucket_mean(l, b));
        else
            mn_table_add(&table, "-");
        mn_table_add(&table, "%lld", (long long)l->bucket_tokens[b]);
    }
    mn_table_end(&table, stdout);
}

/* The load of each expert, in percent of a layer's visits; of many the busiest and the least busy alone. */
static void print_experts(const job *j) {
    enum { MOST = 32 };
    mn_model_info info = mn_engine_info(j->engine);
    if (!j->visits) return;
    printf("\nload of experts by layer, %% (even: %.1f)\n", 100.0 / info.n_experts);
    for (int layer = 0; layer < info.n_layers; layer++) {
        const int64_t *visits = j->visits + (int64_t)layer * info.n_experts;
        int64_t sum = 0, least = INT64_MAX, most = 0;
        mn_strbuf line = MN_STRBUF_INIT;
        for (int e = 0; e < info.n_experts; e++) {
            sum += visits[e];
            least = MN_MIN(least, visits[e]);
            most = MN_MAX(most, visits[e]);
        }
        if (sum == 0) continue;
        mn_strbuf_printf(&line, "%3d ", layer);
        for (int e = 0; e < info.n_experts && info.n_experts <= MOST; e++)
            mn_strbuf_printf(&line, " %4.1f", 100 * (double)visits[e] / (double)sum);
        if (info.n_experts > MOST)
            mn_strbuf_printf(&line, " %.2f to %.2f", 100 * (double)least / (double)sum,
                             100 * (double)most / (double)sum);
        if (!line.failed) mn_print_line(stdout, 4, "%s", line.data);
        mn_strbuf_release(&line);
    }
}

static void print(const job *j) {
    print_windows(j);
    for (int w = 0; w < j->n_windows; w++) print_positions(j, w);
    print_experts(j);
}

/* [n_layers][n_experts] */
static json_t *visits_json(const job *j) {
    mn_model_info info = mn_engine_info(j->engine);
    json_t *layers = json_array();
    for (int layer = 0; layer < info.n_layers; layer++) {
        json_t *layer_visits = json_array();
        for (int e = 0; e < info.n_experts; e++)
            json_array_append_new(layer_visits, json_integer(j->visits[(int64_t)layer * info.n_experts + e]));
        json_array_append_new(layers, layer_visits);
    }
    return layers;
}

static void print_json(const job *j) {
    json_t *list = json_array();
    for (int w = 0; w < j->n_windows; w++) {
        const mn_text_loss *l = &j->losses[w];
        json_t *buckets = json_array();
        for (int b = 0; b < n_buckets; b++) json_array_append_new(buckets, mn_json_real(bucket_mean(l, b)));
        json_array_append_new(list,
                              json_pack("{s:I, s:I, s:o, s:o, s:o, s:o}", "window", (json_int_t)j->windows[w], "tokens",
                                        (json_int_t)l->n_tokens, "nats_per_token", mn_json_real(mn_text_loss_mean(l)),
                                        "standard_error", mn_json_real(mn_text_loss_error(l)), "bits_per_byte",
                                        mn_json_real(mn_text_loss_bits_per_byte(l)), "nats_by_position", buckets));
    }
    json_t *whole = json_pack("{s:o, s:o}", "model", mn_json_name(mn_engine_info(j->engine).path), "windows", list);
    if (j->visits) json_object_set_new(whole, "expert_visits", visits_json(j));
    json_dumpf(whole, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(8));
    putchar('\n');
    json_decref(whole);
}

static mn_status draw(const job *j, mn_error *err) {
    double x[MN_TEXT_LOSS_BUCKETS], y[MN_TEXT_LOSS_BUCKETS];
    mn_svg_axis position = {"position in the window (tokens)", 0, 0, .log = false},
                nats = {"nats per token", 0, 0, .log = false};
    mn_svg svg;
    for (int w = 0; w < j->n_windows; w++)
        for (int b = 0; b < n_buckets; b++) {
            double at = (b + 1.0) * (double)j->windows[w] / (double)n_buckets, mean = bucket_mean(&j->losses[w], b);
            mn_svg_axis_include(&position, &at, 1);
            mn_svg_axis_include(&nats, &mean, 1);
        }
    mn_svg_axis_pad(&nats, 0.05);
    mn_svg_begin(&svg, "Loss by position", position, nats);
    for (int w = 0; w < j->n_windows; w++) {
        char label[48];
        for (int b = 0; b < n_buckets; b++) {
            x[b] = (b + 0.5) * (double)j->windows[w] / (double)n_buckets;
            y[b] = bucket_mean(&j->losses[w], b);
        }
        snprintf(label, sizeof label, "window %lld", (long long)j->windows[w]);
        mn_svg_line(&svg, w, label, x, y, (size_t)n_buckets);
    }
    return mn_svg_write(&svg, svg_path, err);
}

static mn_status run(job *j, mn_error *err) {
    MN_TRY(mn_numbers_read("--windows", windows_text, 2, INT64_C(1) << 32, j->windows, MN_MAX_LENGTHS, &j->n_windows,
                           err));
    MN_TRY(mn_model_options_engine(&mn_given_model, false, &j->engine, err));
    for (int w = 0; w < j->n_windows; w++) MN_TRY(mn_cli_past_usage(score_window(j, w, err), err));
    if (as_json)
        print_json(j);
    else
        print(j);
    return svg_path ? draw(j, err) : MN_OK;
}

int mn_eval_ppl(const mn_eval_verb *verb, int argc, char **argv) {
    mn_text_list none;
    mn_error err;
    job j = {0};
    (void)verb;
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    if (files.n == 0) return mn_cli_wrong(&usage, "needs -f TEXT.");
    mn_status status = run(&j, &err);
    free(j.visits);
    mn_session_close(j.session);
    mn_engine_close(j.engine);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("eval ppl", &err);
}
