#include "session/step.h"

#include "base/checked.h"
#include "base/ram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_BATCH = 512, MIN_DEFAULT_CTX = 2048 };

static mn_status find_type(const char *name, bool exact, mn_dtype *out, mn_error *err) {
    if (!name) {
        *out = exact ? MN_F32 : MN_F16;
        return MN_OK;
    }
    int type = mn_dtype_find(name);
    if (type < 0)
        return mn_fail(err, MN_ERR_ARGUMENT, "\"%s\" is no type of KV entries; use f32, f16, bf16, q8_0 or q4_0.",
                       name);
    *out = (mn_dtype)type;
    return MN_OK;
}

/* The model's own window, which did not fit for the reason given, becomes the largest that does. */
static mn_status lower_window(mn_session *s, const mn_position_params *positions, mn_window *window,
                              const mn_room *room, const mn_error *why, mn_error *err) {
    int64_t fits;
    MN_TRY(mn_memory_plan_largest(s->engine, window, room, &fits, err));
    if (fits < MIN_DEFAULT_CTX) {
        if (err) *err = *why;
        return why->status;
    }
    mn_notes_add(&s->notes, "the window is %lld tokens instead of the model's %lld: %s", (long long)fits,
                 (long long)window->n_ctx, why->text);
    s->n_ctx = window->n_ctx = fits;
    return mn_session_positions(&s->engine->model, positions, &s->attn, &s->n_ctx, &s->rope, NULL, err);
}

/* A window that was asked for must fit into memory beside those of other sessions. */
static mn_status choose_window(mn_session *s, const mn_session_params *p, mn_window window, const mn_room *room,
                               mn_memory_plan *plan, mn_error *err) {
    mn_error why;
    mn_status status = mn_memory_plan_make(s->engine, &window, plan, &why);
    if (status == MN_OK) status = mn_memory_plan_check(s->engine, &window, plan, room, &why);
    if (status == MN_OK) return MN_OK;
    bool is_too_large = status == MN_ERR_MEMORY || status == MN_ERR_LIMIT;
    if (p->n_ctx || !is_too_large) {
        if (err) *err = why;
        return status;
    }
    MN_TRY(lower_window(s, &p->position, &window, room, &why, err));
    return mn_memory_plan_make(s->engine, &window, plan, err);
}

static size_t scratch_taken(mn_engine *e) {
    mn_turn_take(&e->turn);
    size_t bytes = e->scratch.most_bytes;
    mn_turn_give(&e->turn);
    return bytes;
}

/* Scratch for the steps of all sessions is taken once. */
static mn_status reserve_scratch(mn_engine *e, mn_error *err) {
    size_t bytes = mn_ledger_scratch(&e->ledger);
    mn_turn_take(&e->turn);
    bool reserved = mn_arena_renew(&e->scratch, bytes);
    mn_turn_give(&e->turn);
    return reserved ? MN_OK : mn_no_scratch(err);
}

static mn_status enter_ledger(mn_session *s, const mn_session_params *p, const mn_window *window, mn_error *err) {
    mn_engine *e = s->engine;
    mn_room room = mn_ledger_room(&e->ledger, mn_ram_free(), scratch_taken(e));
    mn_memory_plan plan;
    MN_TRY(choose_window(s, p, *window, &room, &plan, err));
    s->account.own_bytes = plan.total_bytes - plan.weights_bytes - plan.scratch_bytes;
    s->account.scratch_bytes = plan.scratch_bytes;
    s->account.few_scratch_bytes = plan.few_scratch_bytes;
    mn_ledger_enter(&e->ledger, &s->account);
    return reserve_scratch(e, err);
}

static mn_status find_room(mn_session *s, const mn_session_params *p, const mn_window *window, mn_error *err) {
    mn_ledger_lock(&s->engine->ledger);
    mn_status status = enter_ledger(s, p, window, err);
    mn_ledger_unlock(&s->engine->ledger);
    return status;
}

void mn_session_tell_ledger(mn_session *s) {
    const mn_sequence *t = &s->sequence;
    size_t bytes = mn_sequence_bytes(t) + (size_t)t->n_tokens * sizeof *s->tokens;
    bytes += mn_kv_list_bytes(mn_kvcache_shape(t->cache), s->n_ctx);
    for (int i = 0; i < MN_MAX_RATES && t->compressed[i]; i++)
        bytes += mn_kv_list_bytes(mn_kvcache_shape(t->compressed[i]),
                                  mn_sequence_compressed_tokens(&s->engine->model.config, i, s->n_ctx));
    for (int i = 0; i < MN_MAX_CHECKPOINTS; i++) bytes += s->checkpoints[i].state ? t->state_bytes : 0;
    mn_account_take(&s->account, bytes);
}

static mn_status check_disk(const mn_session *s, const mn_session_params *p, mn_error *err) {
    if (!p->kv_disk && p->kv_ram_bytes)
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_KV_DISK, 0}),
                            "a limit of memory for KV entries needs a directory where the rest goes.");
    if (p->kv_disk && p->kv_ram_bytes < 1)
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_KV_RAM, 0}),
                            "KV entries can go to %s when it is known how many bytes stay in memory.", p->kv_disk);
    if (p->kv_disk && s->attn.infini.shape.segment)
        return mn_fail_with(err, MN_ERR_UNSUPPORTED, MN_REMEDIES({MN_REMEDY_NO_KV_DISK, 0}),
                            "a compressive memory drops the KV entries of all but one segment of %lld tokens: there is "
                            "nothing to keep on disk.",
                            (long long)s->attn.infini.shape.segment);
    if (p->kv_disk && mn_attn_n_kv_layers(&s->attn, &s->engine->model.config) == 0)
        return mn_fail_with(err, MN_ERR_UNSUPPORTED, MN_REMEDIES({MN_REMEDY_NO_KV_DISK, 0}),
                            "linear attention in every layer has no KV entries: there is nothing to keep on disk.");
    if (p->kv_disk && mn_config_compresses(&s->engine->model.config))
        return mn_fail_with(
            err, MN_ERR_UNSUPPORTED, MN_REMEDIES({MN_REMEDY_NO_KV_DISK, 0}),
            "the compressed keys of %s models stay in memory, and of others a window: there is nothing to "
            "keep on disk.",
            s->engine->model.config.arch);
    if (p->kv_disk && s->attn.map.scheme)
        return mn_fail_with(err, MN_ERR_UNSUPPORTED, MN_REMEDIES({MN_REMEDY_NO_KV_DISK, 0}, {MN_REMEDY_NO_MAP, 0}),
                            "position maps look at all keys in memory: leave out the disk, or the map.");
    return MN_OK;
}

/* Patterns that choose by looking at keys, or move rows, would look at pages that are not there. */
static mn_status use_disk(mn_session *s, const mn_session_params *p, mn_error *err) {
    int64_t window;
    if (mn_session_budget(s, &window) > 0)
        return mn_fail_with(err, MN_ERR_UNSUPPORTED, MN_REMEDIES({MN_REMEDY_NO_KV_DISK, 0}, {MN_REMEDY_NO_ATTN, 0}),
                            "snapkv leaves few KV entries in memory and needs no disk; leave one of them out.");
    for (int layer = 0; s->patterns && layer < s->engine->model.config.n_layers; layer++)
        if (s->patterns[layer].kind && s->patterns[layer].kind->choose)
            return mn_fail_with(
                err, MN_ERR_UNSUPPORTED, MN_REMEDIES({MN_REMEDY_NO_KV_DISK, 0}),
                "%s looks at all keys, and with a disk only some are in memory; use a static pattern, as window or "
                "bigbird, or leave out the disk.",
                s->patterns[layer].kind->name);
    s->sequence.kept = (mn_kept_keys){0, 0}; /* the file has room */
    return mn_kvcache_spill(s->sequence.cache, p->kv_disk, (size_t)p->kv_ram_bytes, MN_MIN(s->n_batch, s->n_ctx), err);
}

static mn_status check_router(const mn_session *s, const mn_session_params *p, mn_error *err) {
    if (!p->router_threshold) return MN_OK;
    if (!(*p->router_threshold >= 0 && *p->router_threshold <= 1))
        return mn_fail(err, MN_ERR_ARGUMENT, "a threshold of %g for easy tokens is outside 0 (all) to 1 (none).",
                       *p->router_threshold);
    if (mn_config_has_easy(&s->engine->model.config)) return MN_OK;
    return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_SMALL_MLPS, 0}),
                        "this model has no small MLPs that easy tokens could take; give it some first.");
}

mn_status mn_session_resolve(mn_session *s, const mn_session_params *p, mn_window *out, mn_error *err) {
    const mn_model *m = &s->engine->model;
    mn_window w = {.kv_ram_bytes = (size_t)p->kv_ram_bytes, .attn = &s->attn};
    s->n_ctx = p->n_ctx;
    s->n_batch = w.n_batch = p->n_batch ? p->n_batch : DEFAULT_BATCH;
    if (s->n_batch < 1 || s->n_batch > 1 << 16)
        return mn_fail(err, MN_ERR_ARGUMENT, "a batch of %d rows is outside 1 to %d.", s->n_batch, 1 << 16);
    MN_TRY(find_type(p->type_k, s->engine->compute.exact, &w.k_type, err));
    MN_TRY(find_type(p->type_v, s->engine->compute.exact, &w.v_type, err));
    MN_TRY(mn_session_map(m, p, &s->attn.map, err));
    MN_TRY(mn_session_patterns(s, p, err));
    mn_session_memory(s);
    MN_TRY(mn_attn_check(&s->attn, &m->config, err));
    MN_TRY(mn_session_positions(m, &p->position, &s->attn, &s->n_ctx, &s->rope, &s->notes, err));
    mn_session_note_unseen(s);
    MN_TRY(check_router(s, p, err));
    w.n_ctx = s->n_ctx;
    *out = w;
    return check_disk(s, p, err);
}

static mn_status open_parts(mn_session *s, const mn_session_params *p, mn_error *err) {
    const mn_config *c = &s->engine->model.config;
    mn_window w;
    if (c->is_encoder)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: %s models are encoders: they make vectors of texts and cannot continue one.",
                       mn_gguf_path(s->engine->model.gguf), c->arch);
    MN_TRY(mn_session_resolve(s, p, &w, err));
    MN_TRY(find_room(s, p, &w, err));
    mn_sequence_params sequence = {&s->rope, s->attn, s->n_ctx, w.k_type, w.v_type};
    MN_TRY(mn_sequence_init(&s->sequence, c, &sequence, err));
    if (p->router_threshold) s->sequence.easy.threshold = (float)*p->router_threshold;
    if (p->kv_disk) MN_TRY(use_disk(s, p, err));
    s->tokens = calloc((size_t)s->n_ctx, sizeof *s->tokens);
    s->logits = calloc((size_t)c->n_vocab, sizeof *s->logits);
    if (!s->tokens || !s->logits)
        return mn_fail_with(err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_WINDOW, 0}),
                            "no memory for a window of %lld tokens; use a smaller one.", (long long)s->n_ctx);
    s->checkpoint_interval = MN_FIRST_CHECKPOINT_TOKENS;
    mn_session_tell_ledger(s);
    return MN_OK;
}

mn_status mn_session_open(mn_engine *engine, const mn_session_params *params, mn_session **out, mn_error *err) {
    mn_session *s = calloc(1, sizeof *s);
    if (!s) return mn_fail(err, MN_ERR_MEMORY, "no memory for a session.");
    s->engine = engine;
    mn_status status = open_parts(s, params ? params : &(mn_session_params){0}, err);
    if (status == MN_OK)
        *out = s;
    else
        mn_session_close(s);
    return status;
}

void mn_session_close(mn_session *s) {
    if (!s) return;
    mn_ledger_leave(&s->engine->ledger, &s->account);
    for (int i = 0; i < MN_MAX_CHECKPOINTS; i++) free(s->checkpoints[i].state);
    mn_sequence_release(&s->sequence);
    mn_notes_release(&s->notes);
    free(s->patterns);
    free(s->tokens);
    free(s->logits);
    free(s);
}

mn_status mn_session_check_tokens(const mn_session *s, const int32_t *tokens, int64_t n, mn_error *err) {
    for (int64_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= s->engine->model.config.n_vocab)
            return mn_fail(err, MN_ERR_ARGUMENT, "token %lld of the text has id %d; this model's ids are 0 to %d.",
                           (long long)i, tokens[i], s->engine->model.config.n_vocab - 1);
    return MN_OK;
}

mn_status mn_session_extend(mn_session *s, const int32_t *tokens, int64_t n, const uint8_t *want, mn_logits_fn *logits,
                            mn_progress_fn *progress, void *arg, mn_error *err) {
    mn_step_entry entry = {.session = s, .tokens = tokens, .n_tokens = n, .want = want, .logits = logits, .arg = arg};
    return mn_step_run(s->engine, &entry, 1, progress, arg, err);
}

static int64_t common_prefix(const mn_session *s, const int32_t *tokens, int64_t n) {
    int64_t limit = MN_MIN(n, s->sequence.n_tokens), i = 0;
    while (i < limit && tokens[i] == s->tokens[i]) i++;
    return i;
}

mn_status mn_session_begin(mn_session *s, const int32_t *tokens, int64_t n, int64_t *n_reused, mn_error *err) {
    if (n > s->n_ctx)
        return mn_fail_with(
            err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_WINDOW, (double)n}),
            "the text is %lld tokens; the window holds %lld. Use a window of %lld or more (positions may "
            "need scaling), or a shorter text.",
            (long long)n, (long long)s->n_ctx, (long long)n);
    MN_TRY(mn_session_check_tokens(s, tokens, n, err));
    int64_t prefix = common_prefix(s, tokens, n);
    bool complete = prefix == n && s->sequence.n_tokens == n && (s->has_logits || n == 0);
    if (!complete && prefix == n && n > 0) prefix = n - 1; /* its logits are wanted: the last token runs again */
    int64_t window, budget = mn_session_budget(s, &window);
    bool kept = prefix < s->prompt_end || s->sequence.n_evicted == 0; /* nothing of this text has been evicted */
    s->prompt_tokens = !complete && kept && budget > 0 && n > budget ? n : 0;
    if (s->prompt_tokens) prefix = MN_MIN(prefix, n - window);
    if (!complete && prefix < s->sequence.n_tokens) mn_session_retreat(s, prefix);
    if (n_reused) *n_reused = s->sequence.n_tokens;
    return MN_OK;
}

mn_status mn_session_sync(mn_session *s, const int32_t *tokens, int64_t n, mn_progress_fn *progress, void *arg,
                          int64_t *n_reused, mn_error *err) {
    int64_t held;
    MN_TRY(mn_session_begin(s, tokens, n, &held, err));
    if (n_reused) *n_reused = held;
    mn_status status = mn_session_extend(s, tokens + held, n - held, NULL, NULL, progress, arg, err);
    s->prompt_tokens = 0;
    return status;
}

mn_status mn_session_rewind(mn_session *s, int64_t n, mn_error *err) {
    if (n < 0 || n > s->sequence.n_tokens)
        return mn_fail(err, MN_ERR_ARGUMENT, "cannot go back to token %lld: the session holds %lld.", (long long)n,
                       (long long)s->sequence.n_tokens);
    s->prompt_tokens = 0;
    if (n < s->sequence.n_tokens) mn_session_retreat(s, n);
    int64_t held = s->sequence.n_tokens;
    return mn_session_extend(s, s->tokens + held, n - held, NULL, NULL, NULL, NULL, err);
}

const mn_tokenizer *mn_session_tokenizer(const mn_session *s) { return s->engine->tokenizer; }
int64_t mn_session_n_tokens(const mn_session *s) { return s->sequence.n_tokens; }
const int32_t *mn_session_tokens(const mn_session *s) { return s->tokens; }
int64_t mn_session_n_ctx(const mn_session *s) { return s->n_ctx; }
const float *mn_session_logits(const mn_session *s) { return s->has_logits ? s->logits : NULL; }
mn_key_figures mn_session_keys(const mn_session *s) {
    return (mn_key_figures){s->sequence.keys.read, s->sequence.keys.all};
}
size_t mn_session_kv_bytes(const mn_session *s) { return mn_sequence_bytes(&s->sequence); }

const char *mn_session_note(const mn_session *s, int index) { return mn_notes_at(&s->notes, index); }

bool mn_session_router(const mn_session *s, int layer, bool decode, mn_router_figures *out) {
    const mn_config *c = &s->engine->model.config;
    *out = (mn_router_figures){0};
    if (layer < 0 || layer >= c->n_layers || !c->layers[layer].n_ff_small) return false;
    const mn_easy_count *n = &s->sequence.easy.counts[layer][decode ? MN_EASY_DECODE : MN_EASY_PREFILL];
    *out = (mn_router_figures){n->n_rows[MN_BIG], n->n_rows[MN_SMALL], n->seconds[MN_BIG], n->seconds[MN_SMALL],
                               n->router_seconds};
    return true;
}

const int64_t *mn_session_expert_visits(const mn_session *s, int layer) {
    const mn_config *c = &s->engine->model.config;
    if (layer < 0 || layer >= c->n_layers || !mn_config_is_moe(c, layer)) return NULL;
    return s->sequence.expert_visits + (int64_t)layer * c->moe.router.n_experts;
}

mn_disk_figures mn_session_disk(const mn_session *s) {
    mn_kv_traffic t = mn_kvcache_traffic(s->sequence.cache);
    return (mn_disk_figures){t.disk_bytes, t.read_bytes, t.written_bytes, t.read_seconds};
}
