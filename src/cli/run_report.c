#include "cli/run_report.h"

#include "cli/answer.h"
#include "cli/json_text.h"
#include "cli/router_report.h"
#include "base/human.h"
#include "cli/terminal.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { MIN_TOKENS_FOR_ENDS = 1 << 15 };

static double rate(double n, double seconds) { return seconds > 0 ? n / seconds : 0; }

static int64_t n_prefilled(const mn_run_figures *f) { return f->n_prompt - f->n_reused; }

/* A line of standard error, folded where that is a narrow terminal. */
static void say(const char *line) {
    mn_print_folded(stderr, line, 0, 2, mn_terminal_columns(stderr));
    fputc('\n', stderr);
}

/* Speed at both ends of a text that took enough steps to tell. */
static void print_ends(const mn_run_figures *f) {
    char line[160];
    if (n_prefilled(f) < MIN_TOKENS_FOR_ENDS) return;
    snprintf(line, sizeof line, "prefill: %.1f tokens/s in the first tenth, %.1f in the last",
             rate((double)f->n_first, f->first_s),
             rate((double)(n_prefilled(f) - f->n_before_last), f->prefill_s - f->before_last_s));
    say(line);
}

static void print_disk(const mn_session *session) {
    mn_disk_figures d = mn_session_disk(session);
    mn_human read, written;
    char line[160];
    snprintf(line, sizeof line, "disk: %s read, %.2f GB/s; %s written", mn_human_bytes(read, d.read_bytes),
             rate((double)d.read_bytes / 1e9, d.read_seconds), mn_human_bytes(written, d.written_bytes));
    say(line);
}

/* ", 6.2 % of the keys" where attention left some out. */
static void add_share(char *text, size_t bytes, mn_key_figures now, mn_key_figures before) {
    double share = rate(now.read - before.read, now.all - before.all);
    *text = 0;
    if (now.all > before.all && share < 0.9995) snprintf(text, bytes, ", %.3g %% of the keys", 100 * share);
}

static int profiled_parts(const mn_run_figures *f, mn_profiled parts[2]) {
    if (!f->profiles[0]) return 0;
    parts[0] = (mn_profiled){"prefill", f->profiles[0], n_prefilled(f)};
    parts[1] = (mn_profiled){"decode", f->profiles[1], f->answer.n_tokens};
    return 2;
}

void mn_run_print_profiles(const mn_run_figures *f) {
    mn_profiled parts[2];
    int n = profiled_parts(f, parts);
    for (int i = 0; i < n; i++) mn_profile_print(stderr, &parts[i]);
}

mn_status mn_run_draw_profiles(const mn_run_figures *f, const char *path, mn_error *err) {
    mn_profiled parts[2];
    return mn_profile_draw(parts, profiled_parts(f, parts), path, err);
}

/* Which share of the tokens took small MLPs. */
static void print_router(const mn_session *session) {
    mn_strbuf line = MN_STRBUF_INIT;
    mn_router_tally none = {0}, now = mn_router_tally_of(session);
    mn_strbuf_puts(&line, "small MLPs: ");
    mn_router_put(&line, &none, &now, false);
    if (line.bytes > strlen("small MLPs: ")) mn_strbuf_puts(&line, "; ");
    mn_router_put(&line, &none, &now, true);
    if (now.n_layers && !line.failed) say(line.data);
    mn_strbuf_release(&line);
    mn_router_tally_release(&now);
}

void mn_run_print_figures(const mn_run_figures *f, const mn_session *session) {
    char line[400], speed[48] = "", prompt_keys[48], answer_keys[48];
    mn_ending_text buf;
    mn_human kv;
    if (n_prefilled(f) > 0)
        snprintf(speed, sizeof speed, ", %.1f tokens/s", rate((double)n_prefilled(f), f->prefill_s));
    add_share(prompt_keys, sizeof prompt_keys, f->keys[0], (mn_key_figures){0});
    add_share(answer_keys, sizeof answer_keys, f->keys[1], f->keys[0]);
    snprintf(line, sizeof line,
             "prompt %lld tokens (%lld reused)%s%s; answer %lld tokens, %.1f tokens/s%s; KV %s; window %lld",
             (long long)f->n_prompt, (long long)f->n_reused, speed, prompt_keys, (long long)f->answer.n_tokens,
             rate((double)f->answer.n_tokens, f->decode_s), answer_keys,
             mn_human_bytes(kv, mn_session_kv_bytes(session)), (long long)mn_session_n_ctx(session));
    say(line);
    print_ends(f);
    if (f->has_disk) print_disk(session);
    print_router(session);
    const char *ending = mn_answer_ending(&f->answer, mn_session_n_ctx(session), buf);
    if (ending) say(ending);
}

static json_t *json_ids(const mn_run_figures *f, const mn_session *session) {
    json_t *ids = json_array();
    for (int64_t i = 0; i < f->answer.n_tokens; i++)
        json_array_append_new(ids, json_integer(mn_answer_id(session, f->n_prompt, &f->answer, i)));
    return ids;
}

mn_status mn_run_print_json(const mn_run_figures *f, const mn_session *session, const char *model, const char *answer,
                            size_t answer_bytes, mn_error *err) {
    json_t *root = json_pack(
        "{s:o, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:I}", "answer",
        mn_json_text(answer, answer_bytes), "finish", mn_answer_finish_name(f->answer.finish), "ids",
        json_ids(f, session), "model", mn_json_name(model), "n_prompt", (json_int_t)f->n_prompt, "n_reused",
        (json_int_t)f->n_reused, "n_answer", (json_int_t)f->answer.n_tokens, "n_ctx",
        (json_int_t)mn_session_n_ctx(session), "seed", (json_int_t)f->seed, "prefill_s", f->prefill_s, "decode_s",
        f->decode_s, "prefill_tokens_per_s", rate((double)n_prefilled(f), f->prefill_s), "decode_tokens_per_s",
        rate((double)f->answer.n_tokens, f->decode_s), "kv_bytes", (json_int_t)mn_session_kv_bytes(session));
    if (!root) return mn_fail(err, MN_ERR_MEMORY, "no memory for the answer as JSON.");
    json_object_set_new(root, "prompt_keys_read", json_real(rate(f->keys[0].read, f->keys[0].all)));
    json_object_set_new(root, "answer_keys_read",
                        json_real(rate(f->keys[1].read - f->keys[0].read, f->keys[1].all - f->keys[0].all)));
    mn_profiled parts[2];
    int n_parts = profiled_parts(f, parts);
    for (int i = 0; i < n_parts; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s_profile", parts[i].title);
        json_object_set_new(root, name, mn_profile_json(&parts[i]));
    }
    mn_router_tally none = {0}, now = mn_router_tally_of(session);
    if (now.n_layers)
        json_object_set_new(root, "router",
                            json_pack("{s:o, s:o}", "prefill", mn_router_json(&none, &now, false), "decode",
                                      mn_router_json(&none, &now, true)));
    mn_router_tally_release(&now);
    int failed = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
    return failed ? mn_fail(err, MN_ERR_IO, "not all could be written to standard output.") : MN_OK;
}
