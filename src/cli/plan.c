/* mnemo plan: what a window costs before anything is read, and what other techniques would save. */
#include "base/checked.h"
#include "base/ram.h"
#include "base/strbuf.h"
#include "cli/human.h"
#include "cli/model_file.h"
#include "cli/options.h"
#include "cli/plan_table.h"
#include "cli/plan_text.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "session/session.h"
#include "bench/time_plan.h"

#include <stdio.h>
#include <stdlib.h>

static const double PEAK_SECONDS = 0.4;
/* A plan is asked for where memory is short: no more than this is taken to measure how fast it is. */
static const size_t PEAK_BUFFER_BYTES = (size_t)64 << 20;

typedef struct plan_args {
    const char *path, *type_k, *type_v, *attn, *attn_layers, *map;
    int64_t n_ctx, n_batch, n_threads;
    mn_text_list files;
    bool json;
} plan_args;

/* Everything that is printed. */
typedef struct findings {
    const mn_engine *engine;
    const plan_args *args;
    mn_window window;
    mn_memory_plan memory;
    mn_time_plan time;
    mn_peaks peaks;
    size_t free_bytes;
    int64_t n_tokens, needed;    /* of the texts, and of a window that holds them; 0 = none were named */
    int64_t reach;               /* the largest window that positions cover as they are */
    int64_t fits_f16, fits_q8_0; /* largest windows that memory holds, 0 = none */
} findings;

/* A session that takes no memory: it only decides what one with these flags would be. The caller closes it. */
static mn_status choose_window(const plan_args *args, mn_engine *e, mn_session **session, mn_window *out,
                               mn_error *err) {
    mn_session_params params = {.n_ctx = args->n_ctx,
                                .n_batch = (int32_t)args->n_batch,
                                .type_k = args->type_k,
                                .type_v = args->type_v,
                                .attn = args->attn,
                                .attn_layers = args->attn_layers,
                                .position = {.map = args->map, .beyond = true}};
    mn_session *s = calloc(1, sizeof *s);
    if (!s) return mn_fail(err, MN_ERR_MEMORY, "no memory for a plan.");
    *session = s;
    s->engine = e;
    MN_TRY(mn_session_resolve(s, &params, out, err));
    for (int i = 0; mn_session_note(s, i); i++) fprintf(stderr, "mnemo: %s\n", mn_session_note(s, i));
    return MN_OK;
}

static mn_status fit(const findings *f, mn_dtype type, int64_t *n_ctx, mn_error *err) {
    mn_window w = f->window;
    w.k_type = w.v_type = type;
    mn_room room = {.free_bytes = f->free_bytes / 16 * 15}; /* others take some meanwhile */
    return mn_memory_plan_largest(f->engine, &w, &room, n_ctx, err);
}

static mn_status find(findings *f, mn_error *err) {
    mn_cpu_level level;
    f->reach = mn_session_reach(&f->engine->model, &(mn_position_params){.map = f->args->map}, f->window.attn);
    MN_TRY(mn_memory_plan_make(f->engine, &f->window, &f->memory, err));
    f->free_bytes = mn_ram_free();
    MN_TRY(fit(f, MN_F16, &f->fits_f16, err));
    MN_TRY(fit(f, MN_Q8_0, &f->fits_q8_0, err));
    MN_TRY(mn_cpu_choose(&level, err));
    MN_TRY(mn_peaks_measure_within(level, f->engine->pool, PEAK_SECONDS, MN_MIN(f->free_bytes / 8, PEAK_BUFFER_BYTES),
                                   &f->peaks, err));
    f->time = mn_time_plan_make(f->engine, &f->window, &f->peaks);
    return MN_OK;
}

static bool fits(const findings *f) { return f->memory.total_bytes <= f->free_bytes; }

static bool can_scale(const findings *f) {
    return f->engine->model.config.rope_style != MN_ROPE_STYLE_NONE && !f->args->map;
}

/* The largest windows, by memory and by positions: what is named here runs. */
static void advise_largest(const findings *f, mn_strbuf *out) {
    static const char q8[] = "-ctk q8_0 -ctv q8_0";
    long long f16 = f->fits_f16, q8_0 = f->fits_q8_0, reach = f->reach;
    if (f16 < reach && q8_0 < reach) {
        mn_strbuf_printf(out, "Largest window here: -c %lld, or -c %lld with %s.", f16, q8_0, q8);
        return;
    }
    if (f16 < reach)
        mn_strbuf_printf(out, "Largest window here: -c %lld, or -c %lld with %s, where positions end.", f16, reach, q8);
    else
        mn_strbuf_printf(out, "Largest window here: -c %lld, where positions end.", reach);
    if (can_scale(f))
        mn_strbuf_printf(out, " With --rope-scaling yarn memory holds -c %lld, or -c %lld with %s.", f16, q8_0, q8);
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
                         can_scale(f) ? ": run it with --rope-scaling yarn" : "");
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
    put_text(&title, "attention", f->args->attn);
    put_text(&title, "layers", f->args->attn_layers);
    put_text(&title, "positions", f->args->map);
    mn_print_line(stdout, 2, "%s\n", title.data);
    mn_strbuf_release(&title);
    print_bytes("weights", f->memory.weights_bytes, "mapped from the file");
    print_bytes("KV", f->memory.kv_bytes, "cached keys and values, taken as they are written");
    print_bytes("state", f->memory.state_bytes, "of fixed size, with its checkpoints");
    print_bytes("work", f->memory.work_bytes, "scratch of a step, logits, token ids");
    print_bytes("total", f->memory.total_bytes, "");
    mn_print_line(stdout, 2, "\nprefill of the window: about %s; each token after it: about %s",
                  mn_human_seconds(prefill, f->time.prefill_s), mn_human_seconds(token, f->time.per_token_s));
    mn_print_line(stdout, 2, "(peaks measured now: f32 %.0f, bf16 %.0f GFLOP/s, int8 %.0f GOP/s, reading %.1f GB/s)\n",
                  f->peaks.f32_flops_per_s / 1e9, f->peaks.bf16_flops_per_s / 1e9, f->peaks.int8_ops_per_s / 1e9,
                  f->peaks.read_bytes_per_s / 1e9);
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
    put_choice(root, "attn", f->args->attn);
    put_choice(root, "attn_layers", f->args->attn_layers);
    put_choice(root, "pos", f->args->map);
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
static mn_status count_texts(findings *f, plan_args *args, mn_error *err) {
    FILE *out = args->json ? NULL : stdout;
    MN_TRY(mn_cli_past_usage(mn_plan_count_texts(f->engine, &args->files, out, &f->n_tokens, &f->needed, err), err));
    if (args->n_ctx == 0) args->n_ctx = f->needed;
    if (out) putchar('\n');
    return MN_OK;
}

static mn_status plan(plan_args *args, bool *does_fit, mn_error *err) {
    mn_engine *engine = NULL;
    mn_engine_params params = {.n_threads = (int)args->n_threads};
    MN_TRY(mn_engine_open(args->path, &params, &engine, err));
    for (int i = 0; mn_engine_note(engine, i); i++) fprintf(stderr, "mnemo: %s\n", mn_engine_note(engine, i));
    findings f = {.engine = engine, .args = args};
    mn_session *session = NULL;
    mn_status status = args->files.n ? count_texts(&f, args, err) : MN_OK;
    if (status == MN_OK) status = choose_window(args, engine, &session, &f.window, err);
    if (status == MN_OK) status = find(&f, err);
    if (status == MN_OK) (args->json ? print_json : print_text)(&f);
    *does_fit = status == MN_OK && fits(&f) && f.needed <= f.window.n_ctx;
    mn_session_close(session);
    mn_engine_close(engine);
    return status;
}

int cmd_plan(int argc, char **argv) {
    plan_args args = {0};
    mn_error err;
    mn_text_list none;
    const mn_option options[] = {
        MN_OPTION_TEXT("m model", &args.path, "MODEL", NULL, "model file (GGUF); its weights are not read"),
        MN_OPTION_INT("c ctx-size", &args.n_ctx, "N", "0", 0, 1e12,
                      "window in tokens; 0: what the texts need, else what the model was made for"),
        MN_OPTION_TEXTS("f file", &args.files, "FILE", "a text to read, whose tokens are counted; may be repeated"),
        MN_OPTION_INT("b batch-size", &args.n_batch, "N", "512", 1, 65536, "tokens per step of a prompt"),
        MN_OPTION_TEXT("ctk cache-type-k", &args.type_k, "TYPE", "f16", "cached keys: f32 f16 bf16 q8_0 q4_0"),
        MN_OPTION_TEXT("ctv cache-type-v", &args.type_v, "TYPE", "f16", "cached values, likewise"),
        MN_OPTION_TEXT("attn", &args.attn, "PATTERN", NULL, "which keys a query sees, as window:4096; mnemo attn list"),
        MN_OPTION_TEXT("attn-layers", &args.attn_layers, "LIST", NULL,
                       "the same for some layers, as 0-3=causal,4-=window:4096"),
        MN_OPTION_TEXT("pos", &args.map, "MAP", NULL, "a position map: self-extend:G,W dca:C,L string:S,W"),
        MN_OPTION_INT("t threads", &args.n_threads, "N", "0", 0, 1024, "threads; 0: one per core"),
        MN_OPTION_FLAG("json", &args.json, "print one JSON object"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "plan",
        .synopsis = "[MODEL] [-c N] [-f FILE]... [-ctk TYPE] [-ctv TYPE] [-b N] [--attn PATTERN] [--pos MAP] [--json]",
        .about =
            "Says what a window costs in memory, to the byte, and about how long it takes; what other heads, types "
            "of the KV cache and attention would cost; and the largest window that fits this machine. "
            "Exit code 1 when the window, or the text in it, does not fit.\n\n"
            "Time to prefill N tokens: (2 N weights) / rate of products + (2 (k_dim + v_dim) heads N^2 / 2 per "
            "layer, or what the pattern lists) / rate of attention; of one more token: (bytes of weights + bytes "
            "of KV entries) / rate of reading. The rates are the shares of this machine's peaks, measured now, "
            "that docs/performance.md reports.",
        .example = "mnemo plan model.gguf -c 131072 -ctk q8_0 -ctv q8_0",
        .options = options,
        .words = "model"};
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    mn_status status = mn_model_file_find(&args.path, &err);
    bool does_fit = false;
    if (status == MN_OK) status = plan(&args, &does_fit, &err);
    if (status != MN_OK) return mn_cli_fail("plan", &err);
    return does_fit ? MN_EXIT_DONE : MN_EXIT_FAILED;
}
