/* mnemo plan: what a window costs before anything is read, and what other techniques would save. */
#include "base/checked.h"
#include "base/ram.h"
#include "base/strbuf.h"
#include "base/human.h"
#include "cli/model_options.h"
#include "cli/options.h"
#include "cli/plan_table.h"
#include "cli/plan_train.h"
#include "cli/plan_text.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "session/session.h"
#include "bench/time_plan.h"

#include <stdio.h>
#include <stdlib.h>

static const double PEAK_SECONDS = 0.4;
/* A plan is asked for where memory is short: no more than this is taken to measure how fast it is, and of the model's
 * own file, which takes none, no more than shows it. */
static const size_t PEAK_BUFFER_BYTES = (size_t)64 << 20, PEAK_FILE_BYTES = (size_t)512 << 20;

static mn_text_list files;
static bool as_json;

/* Everything that is printed. */
typedef struct findings {
    const mn_engine *engine;
    mn_window window;
    mn_memory_plan memory;
    mn_time_plan time;
    mn_peaks peaks;
    size_t peak_bytes; /* of the model's file that were read to measure; 0 = it was a buffer */
    size_t free_bytes;
    int64_t n_tokens, needed;    /* of the texts, and of a window that holds them; 0 = none were named */
    int64_t reach;               /* the largest window that positions cover as they are */
    int64_t fits_f16, fits_q8_0; /* largest windows that memory holds, 0 = none */
} findings;

/* A session that takes no memory: it only decides what one with these flags would be. The caller closes it. */
static mn_status choose_window(mn_engine *e, mn_session **session, mn_window *out, mn_error *err) {
    mn_session_params params = mn_model_options_params(&mn_given_model);
    mn_session *s = calloc(1, sizeof *s);
    if (!s) return mn_fail(err, MN_ERR_MEMORY, "no memory for a plan.");
    *session = s;
    s->engine = e;
    MN_TRY(mn_session_resolve(s, &params, out, err));
    for (int i = 0; mn_session_note(s, i); i++) mn_say("mnemo: %s", mn_session_note(s, i));
    return MN_OK;
}

static mn_status fit(const findings *f, mn_dtype type, int64_t *n_ctx, mn_error *err) {
    mn_window w = f->window;
    w.k_type = w.v_type = type;
    mn_room room = {.free_bytes = f->free_bytes / 16 * 15}; /* others take some meanwhile */
    return mn_memory_plan_largest(f->engine, &w, &room, n_ctx, err);
}

/* Decoding reads the weights over and over: what lies in memory of them is what to measure with, where it is more than
 * the buffer would be. */
static mn_status measure_peaks(findings *f, mn_error *err) {
    mn_cpu_level level;
    mn_pool *pool = f->engine->pool;
    MN_TRY(mn_cpu_choose(&level, err));
    const void *data = mn_gguf_resident(f->engine->model.gguf, PEAK_FILE_BYTES, &f->peak_bytes);
    if (f->peak_bytes >= PEAK_BUFFER_BYTES)
        return mn_peaks_measure_on(level, pool, PEAK_SECONDS, data, f->peak_bytes, &f->peaks, err);
    f->peak_bytes = 0;
    size_t most = MN_MIN(f->free_bytes / 8, PEAK_BUFFER_BYTES);
    return mn_peaks_measure_within(level, pool, PEAK_SECONDS, most, &f->peaks, err);
}

static mn_status find(findings *f, mn_error *err) {
    mn_session_params params = mn_model_options_params(&mn_given_model);
    f->reach = mn_session_reach(&f->engine->model, &params.position, f->window.attn);
    MN_TRY(mn_memory_plan_make(f->engine, &f->window, &f->memory, err));
    f->free_bytes = mn_ram_free();
    MN_TRY(fit(f, MN_F16, &f->fits_f16, err));
    MN_TRY(fit(f, MN_Q8_0, &f->fits_q8_0, err));
    MN_TRY(measure_peaks(f, err));
    f->time = mn_time_plan_make(f->engine, &f->window, &f->peaks);
    return MN_OK;
}

static bool fits(const findings *f) { return f->memory.total_bytes <= f->free_bytes; }

static bool is_scaled(void) {
    const mn_model_options *o = &mn_given_model;
    return o->rope_scaling || o->rope_scale > 0 || o->rope_freq_scale > 0 || o->rope_freq_base > 0;
}

static bool can_scale(const findings *f) {
    return f->engine->model.config.rope_style != MN_ROPE_STYLE_NONE && !mn_given_model.map && !is_scaled();
}

/* "-c 4096, or -c 8192 with -ctk q8_0 -ctv q8_0"; small heads are no smaller in q8_0. */
static void put_windows(mn_strbuf *out, int64_t f16, int64_t q8_0) {
    mn_strbuf_printf(out, "-c %lld", (long long)f16);
    if (q8_0 > f16) mn_strbuf_printf(out, ", or -c %lld with -ctk q8_0 -ctv q8_0", (long long)q8_0);
}

/* The largest windows, by memory and by positions: what is named here runs. */
static void advise_largest(const findings *f, mn_strbuf *out) {
    int64_t f16 = MN_MIN(f->fits_f16, f->reach), q8_0 = MN_MIN(f->fits_q8_0, f->reach);
    mn_strbuf_puts(out, "Largest window here: ");
    put_windows(out, f16, q8_0);
    mn_strbuf_puts(out, MN_MAX(f16, q8_0) == f->reach ? ", where positions end." : ".");
    if (MN_MAX(f16, q8_0) < f->reach || !can_scale(f)) return;
    mn_strbuf_puts(out, " With --rope-scaling yarn memory holds ");
    put_windows(out, f->fits_f16, f->fits_q8_0);
    mn_strbuf_putc(out, '.');
}

static void advise(const findings *f, mn_strbuf *out) {
    mn_human total, free_text;
    mn_strbuf_printf(out, "%lld tokens need %s with %s free: %s ", (long long)f->window.n_ctx,
                     mn_human_bytes(total, f->memory.total_bytes), mn_human_bytes(free_text, f->free_bytes),
                     fits(f) ? "it fits." : "it does not fit.");
    if (f->fits_q8_0 == 0)
        mn_strbuf_puts(out, "No window fits; use smaller weights (mnemo convert --type q4_0).");
    else if (mn_memory_plan_is_bounded(f->engine, &f->window))
        mn_strbuf_printf(out, "Cached rows stop growing there: %s.",
                         f->window.attn->infini.shape.segment
                             ? "a compressive memory stands for what lies behind a segment"
                         : f->memory.kv_bytes == 0 ? "a state of fixed size stands in their place"
                                                   : "what no later token sees is dropped");
    else
        advise_largest(f, out);
    if (f->needed > f->window.n_ctx)
        mn_strbuf_printf(out, " The text is longer: with a question and an answer it needs -c %lld.",
                         (long long)f->needed);
    if (f->window.n_ctx > f->reach)
        mn_strbuf_printf(out, " Positions reach %lld tokens%s.", (long long)f->reach,
                         can_scale(f)  ? ": run it with --rope-scaling yarn"
                         : is_scaled() ? " with this scaling, so that such a window is refused: raise --rope-scale, or "
                                         "leave it to --rope-scaling yarn"
                                       : "");
}

static void print_bytes(const char *label, size_t bytes, const char *what) {
    mn_human text;
    mn_print_line(stdout, 2, "%-10s %12s%s%s", label, mn_human_bytes(text, bytes), *what ? "  " : "", what);
}

static void put_text(mn_strbuf *title, const char *label, const char *text) {
    if (text) mn_strbuf_printf(title, ", %s %s", label, text);
}

static void print_text(const findings *f) {
    mn_strbuf advice = MN_STRBUF_INIT;
    mn_human prefill, token;
    const mn_window *w = &f->window;
    size_t spare = f->free_bytes > f->memory.weights_bytes ? f->free_bytes - f->memory.weights_bytes : 0;
    advise(f, &advice);
    mn_strbuf title = MN_STRBUF_INIT;
    mn_strbuf_printf(&title, "%s: a window of %lld tokens, keys %s, values %s", mn_gguf_path(f->engine->model.gguf),
                     (long long)w->n_ctx, mn_dtype_get(w->k_type)->name, mn_dtype_get(w->v_type)->name);
    put_text(&title, "attention", mn_given_model.attn);
    put_text(&title, "layers", mn_given_model.attn_layers);
    put_text(&title, "positions", mn_given_model.map);
    put_text(&title, "scaling", mn_given_model.rope_scaling);
    mn_print_line(stdout, 2, "%s\n", title.data);
    mn_strbuf_release(&title);
    print_bytes("weights", f->memory.weights_bytes, "mapped from the file");
    print_bytes("KV", f->memory.kv_bytes, "cached keys and values, taken as they are written");
    print_bytes("state", f->memory.state_bytes, "of fixed size, with its checkpoints");
    print_bytes("work", f->memory.work_bytes, "scratch of a step, logits, token ids");
    print_bytes("total", f->memory.total_bytes, "");
    mn_print_line(stdout, 2, "\nprefill of the window: about %s; each token after it: about %s",
                  mn_human_seconds(prefill, f->time.prefill_s), mn_human_seconds(token, f->time.per_token_s));
    mn_print_line(stdout, 2,
                  "(peaks measured now: f32 %.0f, bf16 %.0f GFLOP/s, int8 %.0f GOP/s, reading %.1f GB/s from %s)\n",
                  f->peaks.f32_flops_per_s / 1e9, f->peaks.bf16_flops_per_s / 1e9, f->peaks.int8_ops_per_s / 1e9,
                  f->peaks.read_bytes_per_s / 1e9,
                  f->peak_bytes ? "the model's weights" : "a small buffer; much memory may be slower");
    mn_print_line(stdout, 2, "KV cache, if the model had other heads, types or attention:");
    mn_plan_table_print(&f->engine->model.config, spare);
    mn_print_line(stdout, 2, "\n%s", advice.data);
    mn_strbuf_release(&advice);
}

static void put_choice(json_t *root, const char *key, const char *text) {
    if (text) json_object_set_new(root, key, json_string(text));
}

static void print_json(const findings *f) {
    mn_strbuf advice = MN_STRBUF_INIT;
    size_t spare = f->free_bytes > f->memory.weights_bytes ? f->free_bytes - f->memory.weights_bytes : 0;
    advise(f, &advice);
    const struct {
        const char *name;
        size_t value;
    } bytes[] = {{"weights_bytes", f->memory.weights_bytes}, {"kv_bytes", f->memory.kv_bytes},
                 {"state_bytes", f->memory.state_bytes},     {"work_bytes", f->memory.work_bytes},
                 {"total_bytes", f->memory.total_bytes},     {"free_bytes", f->free_bytes}};
    json_t *root =
        json_pack("{s:I,s:I,s:s,s:s}", "n_ctx", (json_int_t)f->window.n_ctx, "n_batch", (json_int_t)f->window.n_batch,
                  "type_k", mn_dtype_get(f->window.k_type)->name, "type_v", mn_dtype_get(f->window.v_type)->name);
    put_choice(root, "attn", mn_given_model.attn);
    put_choice(root, "attn_layers", mn_given_model.attn_layers);
    put_choice(root, "pos", mn_given_model.map);
    put_choice(root, "rope_scaling", mn_given_model.rope_scaling);
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
        json_object_set_new(root, bytes[i].name, json_integer((json_int_t)MN_MIN(bytes[i].value, (size_t)INT64_MAX)));
    json_object_set_new(root, "fits", json_boolean(fits(f)));
    if (f->needed) json_object_set_new(root, "text_tokens", json_integer(f->n_tokens));
    if (f->needed) json_object_set_new(root, "text_needs_ctx", json_integer(f->needed));
    json_object_set_new(root, "max_ctx_positions", json_integer(f->reach));
    json_object_set_new(root, "max_ctx_f16", json_integer(MN_MIN(f->fits_f16, f->reach)));
    json_object_set_new(root, "max_ctx_q8_0", json_integer(MN_MIN(f->fits_q8_0, f->reach)));
    json_object_set_new(root, "prefill_s", json_real(f->time.prefill_s));
    json_object_set_new(root, "per_token_s", json_real(f->time.per_token_s));
    json_object_set_new(root, "table", mn_plan_table_json(&f->engine->model.config, spare));
    json_object_set_new(root, "advice", json_string(advice.data));
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
    mn_strbuf_release(&advice);
}

/* Without -c the window is what the texts need. */
static mn_status count_texts(findings *f, mn_error *err) {
    FILE *out = as_json ? NULL : stdout;
    MN_TRY(mn_cli_past_usage(mn_plan_count_texts(f->engine, &files, out, &f->n_tokens, &f->needed, err), err));
    if (mn_given_model.n_ctx == 0) mn_given_model.n_ctx = f->needed;
    if (out) putchar('\n');
    return MN_OK;
}

static mn_status plan(bool *does_fit, mn_error *err) {
    mn_engine *engine = NULL;
    mn_given_model.beyond = true; /* what would be refused is planned, and said */
    MN_TRY(mn_model_options_engine(&mn_given_model, false, &engine, err));
    findings f = {.engine = engine};
    mn_session *session = NULL;
    mn_status status = files.n ? count_texts(&f, err) : MN_OK;
    if (status == MN_OK) status = choose_window(engine, &session, &f.window, err);
    if (status == MN_OK) status = find(&f, err);
    if (status == MN_OK) (as_json ? print_json : print_text)(&f);
    *does_fit = status == MN_OK && fits(&f) && f.needed <= f.window.n_ctx;
    mn_session_close(session);
    mn_engine_close(engine);
    return status;
}

static const mn_option options[] = {
    MN_OPTION_TEXTS("f file", &files, "FILE",
                    "a text to read, whose tokens are counted, and for which the window is chosen; may be repeated"),
    MN_OPTION_FLAG("json", &as_json, "print one JSON object"),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTION_GROUP(mn_position_option_rows),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "plan",
    .synopsis = "[MODEL] [-c N] [-f FILE]... [-ctk TYPE] [-ctv TYPE] [--attn PATTERN] [--rope-scaling NAME] [--json]",
    .about =
        "Says what a window costs in memory, to the byte, and about how long it takes; what other heads, types "
        "of the KV cache and attention would cost; and the largest window that fits this machine. "
        "Exit code 1 when the window, or the text in it, does not fit. With --train CONFIG: what a training takes "
        "(mnemo plan --train --help).\n\n"
        "Time to prefill N tokens: (2 N weights) / rate of products + (2 (k_dim + v_dim) heads N^2 / 2 per "
        "layer, or what the pattern lists) / rate of attention; of one more token: (bytes of weights + bytes "
        "of KV entries) / rate of reading. The rates are the shares of this machine's peaks, measured now, "
        "that docs/performance.md reports; that of reading on the model's own weights as far as they lie in memory.",
    .example = "mnemo plan model.gguf -c 131072 -ctk q8_0 -ctv q8_0",
    .options = options,
    .words = "model",
};

int cmd_plan(int argc, char **argv) {
    mn_error err;
    mn_text_list none;
    if (mn_plan_is_of_training(argc, argv)) return mn_plan_training(argc, argv);
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    bool does_fit = false;
    if (plan(&does_fit, &err) != MN_OK) return mn_cli_fail("plan", &err);
    return does_fit ? MN_EXIT_DONE : MN_EXIT_FAILED;
}
