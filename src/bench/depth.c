#include "bench/depth.h"

#include "bench/attention_case.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "session/step.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_REPEATS = 1000, MAX_TOGETHER = 256 };

/* A text of ordinary ids, the same in every run. */
static void fill_tokens(const mn_session *s, int32_t *tokens, int64_t n) {
    uint32_t n_vocab = (uint32_t)s->engine->model.config.n_vocab, x = 1;
    for (int64_t i = 0; i < n; i++) {
        x = x * 1103515245 + 12345;
        tokens[i] = (int32_t)((x >> 8) % n_vocab);
    }
}

static int64_t pages_of(int64_t n_tokens) { return (n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS; }

/* The pages held, again and again up to n_pages, but for those that nothing would see: kept is of n_pages whole pages.
 */
static mn_status repeat_pages(mn_kvcache *cache, int64_t n_pages, mn_kept_keys kept, mn_error *err) {
    int64_t first, n_real, n_first = (kept.first + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
    int64_t unseen = kept.last ? n_pages - 2 - (kept.last + MN_SPARE_TOKENS) / MN_PAGE_TOKENS : 0;
    size_t bytes = mn_kv_slab_bytes(mn_kvcache_shape(cache));
    void *slab = malloc(bytes);
    mn_status status = slab ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a page of %zu bytes.", bytes);
    mn_kvcache_pages(cache, &first, &n_real);
    for (int64_t page = n_real; page < n_pages && status == MN_OK; page++) {
        if (page < unseen && page >= n_first) mn_kvcache_skip_to(cache, page = unseen);
        status = mn_kvcache_read_slab(cache, page % n_real, slab, err);
        if (status == MN_OK) status = mn_kvcache_add_slab(cache, slab, err);
    }
    free(slab);
    return status;
}

mn_status mn_session_tile(mn_session *s, int64_t depth, mn_error *err) {
    enum { REAL_TOKENS = 4 * MN_PAGE_TOKENS };
    mn_sequence *t = &s->sequence;
    int64_t n_pages = pages_of(depth), n_real = MN_MIN(depth, REAL_TOKENS);
    int32_t tokens[REAL_TOKENS];
    if (depth > s->n_ctx)
        return mn_fail(err, MN_ERR_LIMIT, "a depth of %lld tokens does not fit into the window of %lld.",
                       (long long)depth, (long long)s->n_ctx);
    fill_tokens(s, tokens, n_real);
    mn_session_clear(s);
    MN_TRY(mn_session_extend(s, tokens, n_real, NULL, NULL, NULL, NULL, err));
    if (s->attn.infini.shape.segment == 0 && mn_attn_n_kv_layers(&s->attn, &s->engine->model.config) > 0) {
        MN_TRY(repeat_pages(t->cache, n_pages, t->kept, err));
        if (t->second) MN_TRY(repeat_pages(t->second, n_pages, t->kept, err));
        for (int i = 0; i < MN_MAX_RATES && t->compressed[i]; i++)
            MN_TRY(repeat_pages(t->compressed[i], pages_of(depth / t->rates[i]), t->kept, err));
    }
    for (int64_t i = n_real; i < depth; i++) s->tokens[i] = s->tokens[i % n_real];
    t->n_tokens = depth;
    return MN_OK;
}

/* Forgets what was added, without undoing state of fixed size: only the time matters here. */
static void back_to(mn_session *s, int64_t depth) {
    s->sequence.n_tokens = depth;
    s->n_checkpoints = 0;
    s->has_logits = false;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static mn_rate rate_of(double *tokens_per_s, int n) {
    qsort(tokens_per_s, (size_t)n, sizeof *tokens_per_s, by_size);
    double median = n % 2 ? tokens_per_s[n / 2] : (tokens_per_s[n / 2 - 1] + tokens_per_s[n / 2]) / 2;
    return (mn_rate){median, tokens_per_s[0], tokens_per_s[n - 1]};
}

/* As if the weights of experts did not fit into memory beside what else is read. */
static mn_status drop_experts(const mn_model *m, mn_error *err) {
    size_t bytes = 0, stay = 0;
    for (int i = 0; i < m->config.n_layers; i++) {
        const mn_layer *l = &m->weights.layers[i];
        const mn_tensor *const stacks[] = {&l->expert_gate, &l->expert_up, &l->expert_down};
        for (int k = 0; k < 3; k++) {
            if (!stacks[k]->data) continue;
            bytes += stacks[k]->bytes;
            stay += mn_mapping_drop(stacks[k]->data, stacks[k]->bytes);
        }
    }
    if (bytes == 0)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: has no experts that could be dropped from memory.",
                       mn_gguf_path(m->gguf));
    if (stay > bytes / 50)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: %zu of %zu bytes of experts stay in memory; another process uses them, or the file lies "
                       "on no disk.",
                       mn_gguf_path(m->gguf), stay, bytes);
    return MN_OK;
}

/* What is fed again and again. */
typedef struct feed {
    const int32_t *text; /* NULL: any tokens */
    int64_t depth;
    int n_tokens, n_calls; /* a call is a step of n_tokens */
    bool cold;
} feed;

/* Seconds of all calls; tokens: what they are fed where there is no text. */
static mn_status run_calls(mn_session *s, const feed *f, const int32_t *tokens, double *seconds, mn_error *err) {
    *seconds = 0;
    for (int i = 0; i < f->n_calls; i++) {
        const int32_t *next = f->text ? f->text + f->depth + (int64_t)i * f->n_tokens : tokens;
        if (f->cold) MN_TRY(drop_experts(&s->engine->model, err));
        double started = mn_clock_seconds();
        MN_TRY(mn_session_extend(s, next, f->n_tokens, NULL, NULL, NULL, NULL, err));
        *seconds += mn_clock_seconds() - started;
    }
    return MN_OK;
}

/* n_repeats times after one that warms up. */
static mn_status measure_rate(mn_session *s, const feed *f, int n_repeats, mn_profile *profile, mn_rate *out,
                              double *keys, mn_error *err) {
    double rates[MAX_REPEATS], seconds;
    mn_key_figures before = mn_session_keys(s), after;
    int32_t *tokens = malloc((size_t)f->n_tokens * sizeof *tokens);
    mn_status status = tokens ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for %d tokens.", f->n_tokens);
    if (tokens) fill_tokens(s, tokens, f->n_tokens);
    for (int r = -1; r < n_repeats && status == MN_OK; r++) {
        back_to(s, f->depth);
        if (r == 0) mn_engine_profile(s->engine, profile);
        status = run_calls(s, f, tokens, &seconds, err);
        if (r >= 0) rates[r] = (double)f->n_tokens * f->n_calls / seconds;
    }
    mn_engine_profile(s->engine, NULL);
    after = mn_session_keys(s);
    *keys = after.all > before.all ? (after.read - before.read) / (after.all - before.all) : 1;
    free(tokens);
    back_to(s, f->depth);
    if (status == MN_OK) *out = rate_of(rates, n_repeats);
    return status;
}

/* Steps of the first n sessions, shape->n_generated of them; *tokens_per_s of all together. */
static mn_status decode_together(mn_session *const *sessions, int n, const mn_speed_shape *shape,
                                 mn_step_entry *entries, double *tokens_per_s, mn_error *err) {
    int32_t tokens[MAX_TOGETHER];
    fill_tokens(sessions[0], tokens, n);
    for (int i = 0; i < n; i++) {
        back_to(sessions[i], shape->depth);
        entries[i] = (mn_step_entry){.session = sessions[i], .tokens = &tokens[i], .n_tokens = 1};
    }
    double started = mn_clock_seconds();
    for (int i = 0; i < shape->n_generated; i++) MN_TRY(mn_engine_step(sessions[0]->engine, entries, n, err));
    *tokens_per_s = (double)n * shape->n_generated / (mn_clock_seconds() - started);
    return MN_OK;
}

static mn_status check_repeats(const mn_speed_shape *shape, mn_error *err) {
    if (shape->n_repeats >= 1 && shape->n_repeats <= MAX_REPEATS) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT, "%d repeats is outside 1 to %d.", shape->n_repeats, MAX_REPEATS);
}

static mn_status measure_together(mn_session *const *sessions, const int *counts, int n_counts,
                                  const mn_speed_shape *shape, mn_step_entry *entries, double *all, mn_error *err) {
    for (int r = -1; r < shape->n_repeats; r++) /* the first warms up */
        for (int i = 0; i < n_counts; i++)
            MN_TRY(
                decode_together(sessions, counts[i], shape, entries, all + i * shape->n_repeats + MN_MAX(r, 0), err));
    return MN_OK;
}

mn_status mn_speed_together(mn_session *const *sessions, const int *counts, int n_counts, const mn_speed_shape *shape,
                            mn_rate *rates, mn_error *err) {
    int most = 0;
    MN_TRY(check_repeats(shape, err));
    for (int i = 0; i < n_counts; i++) {
        if (counts[i] < 1 || counts[i] > MAX_TOGETHER)
            return mn_fail(err, MN_ERR_ARGUMENT, "%d sessions together is outside 1 to %d.", counts[i], MAX_TOGETHER);
        most = MN_MAX(most, counts[i]);
    }
    for (int i = 0; i < most; i++) MN_TRY(mn_session_tile(sessions[i], shape->depth, err));
    mn_step_entry *entries = calloc((size_t)most, sizeof *entries);
    double *all = calloc((size_t)n_counts * (size_t)shape->n_repeats, sizeof *all);
    mn_status status = entries && all ? measure_together(sessions, counts, n_counts, shape, entries, all, err)
                                      : mn_fail(err, MN_ERR_MEMORY, "no memory for %d sessions' entries.", most);
    for (int i = 0; i < n_counts && status == MN_OK; i++)
        rates[i] = rate_of(all + (int64_t)i * shape->n_repeats, shape->n_repeats);
    free(entries);
    free(all);
    return status;
}

/* The last layer that caches KV entries; -1: none does. */
static int last_caching(const mn_session *s) {
    int layer = s->engine->model.config.n_layers - 1;
    while (layer >= 0 && !mn_attn_caches(&s->attn, &s->engine->model.config, layer)) layer--;
    return layer;
}

static mn_status measure_attention(mn_session *s, const mn_speed_shape *shape, mn_speed *out, mn_error *err) {
    const mn_kv_shape *kv = mn_kvcache_shape(s->sequence.cache);
    int layer = last_caching(s);
    if (layer < 0) return MN_OK;                             /* there is none */
    const mn_kv_layer *last = &kv->layers[kv->n_layers - 1]; /* of those that cache entries */
    mn_attend_shape a = {.k_type = kv->k_type,
                         .v_type = kv->v_type,
                         .n_heads = s->engine->model.config.layers[layer].n_heads,
                         .n_kv_heads = last->n_kv_heads,
                         .k_dim = last->k_dim,
                         .v_dim = last->v_dim,
                         .depth = shape->depth};
    const mn_pattern *pattern = s->patterns ? &s->patterns[layer] : NULL;
    mn_attend_speed speed;
    if (pattern && pattern->kind) {
        a.pattern = pattern;
        a.layer = layer;
    }
    if (shape->n_prompt > 0) {
        a.n_rows = shape->n_prompt;
        MN_TRY(mn_attend_measure(&s->engine->compute, &a, shape->n_repeats, &speed, err));
        out->attention_prefill_s = speed.seconds;
        out->attention_flops_per_s = speed.flops / speed.seconds;
    }
    if (shape->n_generated > 0) {
        a.n_rows = 1;
        MN_TRY(mn_attend_measure(&s->engine->compute, &a, 4 * shape->n_repeats, &speed, err));
        out->attention_decode_s = speed.seconds;
        out->attention_bytes_per_s = speed.bytes / speed.seconds;
    }
    return MN_OK;
}

mn_status mn_speed_measure(mn_session *s, const mn_speed_shape *shape, mn_speed *out, mn_error *err) {
    *out = (mn_speed){0};
    MN_TRY(check_repeats(shape, err));
    if (shape->text)
        MN_TRY(mn_session_sync(s, shape->text, shape->depth, NULL, NULL, NULL, err));
    else
        MN_TRY(mn_session_tile(s, shape->depth, err));
    mn_disk_figures before = mn_session_disk(s);
    if (shape->n_prompt > 0)
        MN_TRY(measure_rate(s, &(feed){shape->text, shape->depth, shape->n_prompt, 1, shape->cold}, shape->n_repeats,
                            shape->prefill_profile, &out->prefill, &out->prefill_keys, err));
    if (shape->n_generated > 0)
        MN_TRY(measure_rate(s, &(feed){shape->text, shape->depth, 1, shape->n_generated, shape->cold}, shape->n_repeats,
                            shape->decode_profile, &out->decode, &out->decode_keys, err));
    out->kv_bytes = mn_session_kv_bytes(s);
    out->disk = mn_session_disk(s);
    out->disk.read_bytes -= before.read_bytes;
    out->disk.written_bytes -= before.written_bytes;
    out->disk.read_seconds -= before.read_seconds;
    return shape->text ? MN_OK : measure_attention(s, shape, out, err);
}
