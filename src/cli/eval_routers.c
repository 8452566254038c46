/* mnemo eval routers: what the choice of tokens for small MLPs is worth, against other ways to choose as many. */
#include "base/strbuf.h"
#include "base/svg.h"
#include "cli/eval.h"
#include "cli/json_text.h"
#include "cli/numbers.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/texts.h"
#include "eval/routers.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *shares_text, *svg_path;
static mn_text_list files;
static int64_t window, n_windows, n_repeats, seed;
static bool as_json;

static const mn_option options[] = {
    MN_OPTION_TEXTS("f file", &files, "FILE", "a text to score; may be repeated"),
    MN_OPTION_TEXT("shares", &shares_text, "P,...", "25,50,75", "percent of tokens in small MLPs that are compared"),
    MN_OPTION_INT("window", &window, "N", "512", 65, 1 << 20, "tokens of a window"),
    MN_OPTION_INT("windows", &n_windows, "N", "32", 1, 1 << 20, "how many, from the start of the text"),
    MN_OPTION_INT("r repetitions", &n_repeats, "N", "5", 0, 64, "of each measurement of speed; 0: none"),
    MN_OPTION_INT("s seed", &seed, "N", "1", 0, 1e12, "of the random way"),
    MN_OPTION_FLAG("json", &as_json, "print one JSON object"),
    MN_OPTION_WRITTEN("svg", &svg_path, "FILE", "draw the loss by share"),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTION_GROUP(mn_position_option_rows),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "eval routers",
    .synopsis = "[MODEL] -f TEXT... [--shares P,...]",
    .about = "For a model with small MLPs for easy tokens: loss and speed when its routers choose which tokens are "
             "easy, and when as many are chosen at random, by position, or by an oracle that has seen the loss.",
    .example = "mnemo eval routers -m easy.gguf -f book.txt --shares 25,50,75 --svg routers.svg",
    .options = options,
    .words = "model",
};

typedef struct job {
    mn_routers_params params;
    mn_engine *engine;
    mn_session *session;
    mn_strbuf text;
    int32_t *ids;
    mn_routers_result *results;
    mn_progress progress;
} job;

static bool show_progress(void *arg, int64_t done, int64_t total) {
    (void)total;
    mn_progress_at(arg, done);
    return true;
}

static mn_status read_shares(job *j, mn_error *err) {
    int64_t percents[MN_ROUTERS_MAX_SHARES];
    MN_TRY(mn_numbers_read("--shares", shares_text, 1, 99, percents, MN_ROUTERS_MAX_SHARES, &j->params.n_shares, err));
    for (int i = 0; i < j->params.n_shares; i++) j->params.shares[i] = (double)percents[i] / 100;
    return MN_OK;
}

static mn_status measure(job *j, mn_error *err) {
    size_t n;
    mn_model_options o = mn_given_model;
    if (o.n_ctx == 0) o.n_ctx = window;
    o.beyond = true;
    j->params.window = window;
    j->params.n_windows = n_windows;
    j->params.n_repeats = (int)n_repeats;
    j->params.seed = (uint64_t)seed;
    MN_TRY(mn_model_options_session(&o, j->engine, &j->session, err));
    for (int i = 0; i < files.n; i++) MN_TRY(mn_text_read(files.items[i], false, &j->text, err));
    MN_TRY(mn_tokenize(mn_engine_tokenizer(j->engine), j->text.data, j->text.bytes, false, false, &j->ids, &n, err));
    j->results = calloc((size_t)mn_routers_n_results(&j->params), sizeof *j->results);
    if (!j->results) return mn_fail(err, MN_ERR_MEMORY, "no memory for the results.");
    mn_progress_begin(&j->progress, "comparing", "runs",
                      2 + mn_engine_info(j->engine).n_layers + j->params.n_shares * 12);
    mn_status status =
        mn_routers_compare(j->session, &j->params, j->ids, (int64_t)n, show_progress, &j->progress, j->results, err);
    mn_progress_end(&j->progress);
    return status;
}

static void add_speed(mn_table *table, const mn_routers_speed *s, const mn_routers_speed *large) {
    if (n_repeats == 0) return;
    mn_table_add(table, "%.0f", s->tokens_per_s);
    mn_table_add(table, "%.0f %%", 100 * s->mlp_s / large->mlp_s);
}

static void print_table(const job *j) {
    static const char *const all[] = {
        "share",           "way",      "threshold", "nats/token", "perplexity", "prefill tokens/s", "MLP time",
        "decode tokens/s", "MLP time", NULL};
    static const char *const untimed[] = {"share", "way", "threshold", "nats/token", "perplexity", NULL};
    mn_table table;
    mn_table_begin(&table, n_repeats ? all : untimed, 2);
    for (int i = 0; i < mn_routers_n_results(&j->params); i++) {
        const mn_routers_result *r = &j->results[i];
        mn_table_add(&table, "%.1f %%", 100 * r->share);
        mn_table_add(&table, "%s", mn_router_way_name(r->way));
        if (r->way == MN_WAY_LEARNED)
            mn_table_add(&table, "%.4g", r->threshold);
        else
            mn_table_add(&table, "-");
        mn_table_add(&table, "%.4f", r->nats);
        mn_table_add(&table, "%.3f", exp(r->nats));
        add_speed(&table, &r->prefill, &j->results[0].prefill);
        add_speed(&table, &r->decode, &j->results[0].decode);
    }
    mn_table_end(&table, stdout);
}

static json_t *speed_json(const mn_routers_speed *s) {
    return json_pack("{s:f, s:f}", "tokens_per_s", s->tokens_per_s, "mlp_seconds_per_token", s->mlp_s);
}

static void print_json(const job *j) {
    json_t *list = json_array();
    for (int i = 0; i < mn_routers_n_results(&j->params); i++) {
        const mn_routers_result *r = &j->results[i];
        json_t *row = json_pack("{s:s, s:f, s:f, s:f}", "way", mn_router_way_name(r->way), "share_wanted", r->wanted,
                                "share", r->share, "nats_per_token", r->nats);
        if (r->way == MN_WAY_LEARNED) json_object_set_new(row, "threshold", json_real(r->threshold));
        if (n_repeats) json_object_set_new(row, "prefill", speed_json(&r->prefill));
        if (n_repeats) json_object_set_new(row, "decode", speed_json(&r->decode));
        json_array_append_new(list, row);
    }
    json_t *whole = json_pack("{s:o, s:I, s:I, s:o}", "model", mn_json_name(mn_engine_info(j->engine).path), "window",
                              (json_int_t)window, "windows", (json_int_t)n_windows, "results", list);
    json_dumpf(whole, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(whole);
}

/* A line for each way, from all large to all small. */
static mn_status draw(const job *j, mn_error *err) {
    mn_svg_axis x = {.label = "share of tokens in small MLPs (%)"}, y = {.label = "nats per token"};
    double shares[MN_ROUTERS_MAX_SHARES + 2], nats[MN_ROUTERS_MAX_SHARES + 2];
    int n = mn_routers_n_results(&j->params);
    mn_svg svg;
    for (int i = 0; i < n; i++) {
        double share = 100 * j->results[i].share;
        mn_svg_axis_include(&x, &share, 1);
        mn_svg_axis_include(&y, &j->results[i].nats, 1);
    }
    mn_svg_axis_pad(&y, 0.05);
    mn_svg_begin(&svg, "Who chooses the easy tokens", x, y);
    for (int way = MN_WAY_LEARNED; way < MN_WAY_COUNT; way++) {
        size_t at = 0;
        for (int i = 0; i < n; i++) {
            mn_router_way w = j->results[i].way;
            if (w != MN_WAY_LARGE && w != (mn_router_way)way) continue;
            shares[at] = 100 * j->results[i].share;
            nats[at++] = j->results[i].nats;
        }
        shares[at] = 100 * j->results[1].share;
        nats[at++] = j->results[1].nats;
        mn_svg_line(&svg, way - MN_WAY_LEARNED, mn_router_way_name((mn_router_way)way), shares, nats, at);
        mn_svg_points(&svg, way - MN_WAY_LEARNED, NULL, shares, nats, at);
    }
    return mn_svg_write(&svg, svg_path, err);
}

static mn_status run(job *j, mn_error *err) {
    MN_TRY(read_shares(j, err));
    MN_TRY(mn_model_options_engine(&mn_given_model, false, &j->engine, err));
    MN_TRY(mn_cli_past_usage(measure(j, err), err));
    if (as_json)
        print_json(j);
    else
        print_table(j);
    return svg_path ? draw(j, err) : MN_OK;
}

int mn_eval_routers(const mn_eval_verb *verb, int argc, char **argv) {
    mn_text_list none;
    mn_error err;
    job j = {.text = MN_STRBUF_INIT};
    (void)verb;
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    if (files.n == 0) return mn_cli_wrong(&usage, "needs -f TEXT.");
    mn_status status = run(&j, &err);
    mn_session_close(j.session);
    mn_engine_close(j.engine);
    mn_strbuf_release(&j.text);
    free(j.ids);
    free(j.results);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("eval routers", &err);
}
