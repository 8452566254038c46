#include "session/memory_plan.h"

#include "attention/flash.h"
#include "attention/mla.h"
#include "base/checked.h"
#include "base/human.h"
#include "session/step.h"

#include <stdio.h>
#include <string.h>

/* Of the address space, which the pages of a whole window are reserved in. */
static const size_t MAX_RESERVED_BYTES = (size_t)1 << 46;

static int64_t pages_of(int64_t n_tokens) { return (n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS; }

static mn_attn_spec attn_of(const mn_engine *e, const mn_window *w) {
    return w->attn ? *w->attn : mn_attn_of_model(&e->model.config);
}

/* Pages that hold rows at once. What is out of sight is dropped after a step, in whole pages. */
static int64_t held_pages(const mn_attn_spec *r, const mn_config *c, const mn_window *w) {
    int64_t segment = r->infini.shape.segment, all = pages_of(w->n_ctx);
    if (mn_attn_n_kv_layers(r, c) == 0) return 0;
    mn_kept_keys kept = mn_attn_kept_keys(r, c);
    if (segment) {
        bool begins_in_page = segment % MN_PAGE_TOKENS || mn_attn_has_mark(r);
        int64_t before_first = begins_in_page ? MN_PAGE_TOKENS - 1 : 0;
        return MN_MIN(all, pages_of(before_first + segment - 1 + w->n_batch));
    }
    if (kept.last == 0 || w->kv_ram_bytes) return all;
    return MN_MIN(all,
                  pages_of(kept.first) + pages_of(MN_PAGE_TOKENS - 1 + kept.last - 1 + MN_SPARE_TOKENS + w->n_batch));
}

/* A step's work memory, taken and given back by steps that compute nothing. */
typedef struct dry_run {
    const mn_engine *engine;
    const mn_window *window;
    mn_compute compute; /* of an arena and a dry pool of its own */
    mn_backend backend;
    mn_sequence sequence;
    size_t most_bytes, few_bytes; /* of all steps, and of those of few rows */
} dry_run;

/* A step of n_rows that ends at `end` tokens. */
static mn_status run_step(dry_run *d, int64_t end, int64_t n_rows, mn_error *err) {
    const mn_model *m = &d->engine->model;
    mn_arena *scratch = d->compute.scratch;
    mn_arena_mark mark = mn_arena_get_mark(scratch);
    mn_pass p = {.n_slices = 1};
    if (!mn_pass_alloc(&p, scratch, 1) || !mn_pass_alloc_rows(&p, scratch, n_rows) ||
        !mn_pass_alloc_logits(&p, scratch, 1, m->config.n_vocab))
        return mn_no_scratch(err);
    p.wanted[0] = n_rows - 1;
    d->sequence.n_tokens = end - n_rows;
    p.slices[0] = (mn_slice){&d->sequence, 0, n_rows};
    mn_batch batch = {
        .n_rows = n_rows, .slices = p.slices, .n_slices = 1, .wanted = p.wanted, .n_wanted = 1, .logits = p.logits};
    mn_status status = mn_forward(&d->backend, m, &batch, err);
    mn_arena_rewind(scratch, mark);
    d->most_bytes = MN_MAX(d->most_bytes, scratch->most_bytes);
    if (n_rows < MN_FLASH_MIN_ROWS) d->few_bytes = MN_MAX(d->few_bytes, scratch->most_bytes);
    scratch->most_bytes = 0;
    return status;
}

/* Steps that end at `end`: of all rows; of those few that split their keys, where every row has a partial result for
 * every range of keys; and of one row, for patterns and indexers that choose then. */
static mn_status run_steps(dry_run *d, int64_t end, mn_error *err) {
    int64_t n_rows = MN_MIN(d->window->n_batch, end);
    MN_TRY(run_step(d, end, n_rows, err));
    MN_TRY(run_step(d, end, MN_MIN(n_rows, MN_FLASH_MIN_ROWS - 1), err));
    bool chooses = d->sequence.attn.patterns || d->engine->model.config.indexer.top_k;
    return chooses ? run_step(d, end, 1, err) : MN_OK;
}

/* The end of a prompt, whose last rows choose what stays (SnapKV). */
static mn_status run_eviction(dry_run *d, mn_error *err) {
    const mn_pattern *p = d->sequence.attn.patterns;
    if (!p || !p->kind || !(p->kind->traits & MN_PATTERN_EVICTS) || d->window->n_ctx <= p->args[1]) return MN_OK;
    d->sequence.evict_to = p->args[1];
    mn_status status = run_step(d, d->window->n_ctx, p->args[0], err);
    d->sequence.evict_to = 0;
    return status;
}

/* The deepest full step of latent attention that materialises keys, where the last one of the window is absorbed. */
static mn_status run_materialised(dry_run *d, mn_error *err) {
    const mn_model *m = &d->engine->model;
    int64_t n_rows = MN_MIN(d->window->n_batch, d->window->n_ctx), before = d->window->n_ctx - n_rows;
    if (m->config.mla.kv_rank == 0) return MN_OK;
    mn_mla mla = mn_layer_mla(&m->config, &m->weights.layers[0]);
    int64_t deepest = mn_mla_deepest(&mla, n_rows);
    return deepest >= 0 && deepest < before ? run_step(d, deepest + n_rows, n_rows, err) : MN_OK;
}

/* Steps where rows see the most keys, or keys in the most ranges, or lie in the most blocks: at the window's end, at
 * that of a whole segment, where the last range has one key, and between the borders of blocks. */
static mn_status run_all_steps(dry_run *d, mn_error *err) {
    int64_t segment = d->sequence.attn.infini.shape.segment, n_ctx = d->window->n_ctx;
    const mn_config *c = &d->engine->model.config;
    bool bounded = mn_attn_kept_keys(&d->sequence.attn, c).last > 0 || mn_config_compresses(c);
    MN_TRY(run_steps(d, n_ctx, err));
    if (segment && n_ctx > segment) MN_TRY(run_steps(d, n_ctx / segment * segment, err));
    if (bounded) MN_TRY(run_steps(d, (n_ctx - 1) / MN_RANGE_KEYS * MN_RANGE_KEYS + 1, err));
    if (d->sequence.attn.patterns && n_ctx > 1) MN_TRY(run_steps(d, n_ctx - 1, err));
    MN_TRY(run_materialised(d, err));
    return run_eviction(d, err);
}

/* The most scratch that a step can take, and one of few rows. */
static mn_status measure_scratch(const mn_engine *e, const mn_window *w, mn_memory_plan *out, mn_error *err) {
    mn_arena arena = MN_ARENA_INIT;
    mn_attn_spec attn = attn_of(e, w);
    dry_run d = {.engine = e, .window = w, .compute = e->compute};
    d.compute.scratch = &arena;
    d.compute.pool = NULL;
    d.backend = mn_backend_cpu(&d.compute);
    mn_status status = mn_sequence_init_dry(&d.sequence, &e->model.config, &attn, w->k_type, w->v_type, err);
    if (status == MN_OK) status = mn_pool_create_dry(mn_pool_threads(e->pool), &d.compute.pool, err);
    if (status == MN_OK) status = run_all_steps(&d, err);
    out->scratch_bytes = d.most_bytes;
    out->few_scratch_bytes = d.few_bytes;
    mn_pool_destroy(d.compute.pool);
    mn_sequence_release(&d.sequence);
    mn_arena_release(&arena);
    if (status == MN_ERR_MEMORY)
        return mn_fail_with(err, status, MN_REMEDIES({MN_REMEDY_SMALLER_WINDOW, 0}, {MN_REMEDY_SMALLER_BATCH, 0}),
                            "a step at the end of a window of %lld tokens needs more work memory than there is; use a "
                            "smaller window or batch.",
                            (long long)w->n_ctx);
    return status;
}

static size_t weights_bytes(const mn_model *m) {
    size_t bytes = m->arena.held_bytes;
    for (int64_t i = 0; i < mn_gguf_n_tensors(m->gguf); i++) bytes += mn_gguf_tensor_at(m->gguf, i)->bytes;
    return bytes;
}

static int64_t count_checkpoints(const mn_window *w) {
    return MN_MIN(MN_MAX_CHECKPOINTS, w->n_ctx / MN_FIRST_CHECKPOINT_TOKENS);
}

/* Bytes of KV entries of a full window: where windowed layers drop theirs, of those that they hold. */
static bool count_entries(const mn_attn_spec *r, const mn_config *c, const mn_window *w, const mn_kv_shape *rows,
                          size_t slab, size_t *bytes) {
    bool windowed[MN_KV_MAX_LAYERS] = {false};
    int64_t window = w->kv_ram_bytes ? 0 : mn_sequence_windows(c, r, w->n_ctx, windowed);
    size_t windows, state, all = mn_kv_slab_bytes(rows);
    mn_error err;
    if (mn_sequence_state_bytes(c, r, &state, &err) != MN_OK) return false;
    if (window == 0) return mn_mul_size(slab, (size_t)held_pages(r, c, w), bytes);
    size_t others = slab - all + mn_kv_part_bytes(rows, windowed, false);
    return mn_mul_size(others, (size_t)pages_of(w->n_ctx), bytes) &&
           mn_mul_size(
               mn_kv_part_bytes(rows, windowed, true),
               (size_t)mn_sequence_window_pages(window, w->n_ctx, w->n_batch, state ? count_checkpoints(w) : -1),
               &windows) &&
           mn_add_size(*bytes, windows, bytes);
}

/* What patterns keep of the keys of a full window beside them. */
static bool add_summaries(const mn_attn_spec *r, const mn_config *c, const mn_kv_shape *rows, int64_t n_ctx,
                          size_t *total) {
    for (int layer = 0; r->patterns && layer < c->n_layers; layer++) {
        const mn_pattern *p = &r->patterns[layer];
        mn_summary_kind kind;
        if (!p->kind || !mn_pattern_summarises(p, layer, &kind)) continue;
        const mn_kv_layer *l = &rows->layers[mn_attn_kv_layer(r, c, layer)];
        size_t bytes = mn_key_summary_bytes(kind, rows->k_type, p->block_tokens, l->n_kv_heads, l->k_dim, n_ctx);
        if (bytes == 0 || !mn_add_size(*total, bytes, total)) return false;
    }
    return true;
}

/* Compressed keys of a full window, and the lists of their pages. */
static bool add_compressed(const mn_config *c, const mn_kv_shape *rows, int64_t n_ctx, size_t *bytes, size_t *lists) {
    for (int i = 0; i < MN_MAX_RATES && c->rates[i]; i++) {
        mn_kv_shape keys = mn_sequence_compressed_shape(c, i, rows);
        size_t slab = mn_kv_slab_bytes(&keys), all,
               list = mn_kv_list_bytes(&keys, mn_sequence_compressed_tokens(c, i, n_ctx));
        if (!slab || !list || !mn_mul_size(slab, (size_t)pages_of(n_ctx / c->rates[i]), &all) ||
            all > MAX_RESERVED_BYTES || !mn_add_size(*bytes, all, bytes) || !mn_add_size(*lists, list, lists))
            return false;
    }
    return true;
}

/* Cached rows, of one plane or two, with their summaries; and the lists of their pages. */
static bool count_rows(const mn_engine *e, const mn_attn_spec *r, const mn_window *w, size_t *kv_bytes,
                       size_t *list_bytes) {
    const mn_config *c = &e->model.config;
    mn_kv_shape rows = mn_sequence_kv_shape(c, r, w->k_type, w->v_type), keys = mn_sequence_second_shape(c, r, &rows);
    size_t slab = mn_kv_slab_bytes(&rows), lists = mn_kv_list_bytes(&rows, w->n_ctx);
    bool fits = slab && lists;
    if (fits && keys.n_layers > 0)
        fits = mn_add_size(slab, mn_kv_slab_bytes(&keys), &slab) &&
               mn_add_size(lists, mn_kv_list_bytes(&keys, w->n_ctx), &lists);
    *list_bytes = lists;
    size_t reserved;
    if (!fits || w->n_ctx > MN_MAX_CTX_TOKENS || !mn_mul_size(slab, (size_t)pages_of(w->n_ctx), &reserved) ||
        reserved > MAX_RESERVED_BYTES)
        return false;
    if (!count_entries(r, c, w, &rows, slab, kv_bytes) || !add_summaries(r, c, &rows, w->n_ctx, kv_bytes) ||
        !add_compressed(c, &rows, w->n_ctx, kv_bytes, list_bytes))
        return false;
    if (w->kv_ram_bytes) *kv_bytes = MN_MIN(*kv_bytes, w->kv_ram_bytes);
    return true;
}

mn_status mn_memory_plan_make(const mn_engine *e, const mn_window *w, mn_memory_plan *out, mn_error *err) {
    const mn_config *c = &e->model.config;
    mn_memory_plan p = {.weights_bytes = weights_bytes(&e->model)};
    mn_attn_spec attn = attn_of(e, w);
    size_t lists, state, ids;
    MN_TRY(mn_sequence_state_bytes(c, &attn, &state, err));
    MN_TRY(measure_scratch(e, w, &p, err));
    int64_t n_states = 1 + count_checkpoints(w);
    bool fits =
        count_rows(e, &attn, w, &p.kv_bytes, &lists) && mn_mul_size(state, (size_t)n_states, &p.state_bytes) &&
        mn_mul_size((size_t)w->n_ctx, sizeof(int32_t), &ids) && mn_add_size(p.scratch_bytes, ids, &p.work_bytes) &&
        mn_add_size(p.work_bytes, (size_t)c->n_vocab * sizeof(float), &p.work_bytes) &&
        mn_add_size(p.work_bytes, lists, &p.work_bytes) && mn_add_size(p.weights_bytes, p.kv_bytes, &p.total_bytes) &&
        mn_add_size(p.total_bytes, p.state_bytes, &p.total_bytes) &&
        mn_add_size(p.total_bytes, p.work_bytes, &p.total_bytes);
    if (!fits)
        return mn_fail_with(err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_SMALLER_WINDOW, 0}),
                            "a window of %lld tokens overflows the address space; use a smaller one.",
                            (long long)w->n_ctx);
    *out = p;
    return MN_OK;
}

bool mn_memory_plan_is_bounded(const mn_engine *e, const mn_window *w) {
    mn_attn_spec attn = attn_of(e, w);
    mn_window endless = *w;
    endless.n_ctx = INT64_MAX / 2;
    return held_pages(&attn, &e->model.config, &endless) < pages_of(endless.n_ctx);
}

/* What one more page costs at least: its rows, unless they are dropped or go to a file, its places in the lists, its
 * token ids. */
static size_t page_bytes(const mn_engine *e, const mn_window *w) {
    mn_attn_spec attn = attn_of(e, w);
    mn_kv_shape shape = mn_sequence_kv_shape(&e->model.config, &attn, w->k_type, w->v_type);
    bool windowed[MN_KV_MAX_LAYERS] = {false};
    if (!mn_sequence_windows(&e->model.config, &attn, INT64_MAX, windowed)) memset(windowed, 0, sizeof windowed);
    size_t compressed = 0;
    for (int i = 0; i < MN_MAX_RATES && e->model.config.rates[i]; i++) {
        mn_kv_shape keys = mn_sequence_compressed_shape(&e->model.config, i, &shape);
        compressed += mn_kv_slab_bytes(&keys) / (size_t)e->model.config.rates[i];
    }
    return compressed +
           (mn_memory_plan_is_bounded(e, w) || w->kv_ram_bytes ? 0 : mn_kv_part_bytes(&shape, windowed, false)) +
           mn_kv_list_bytes(&shape, MN_PAGE_TOKENS) + MN_PAGE_TOKENS * sizeof(int32_t);
}

bool mn_memory_plan_fits(const mn_memory_plan *p, const mn_room *r) {
    size_t bytes = p->total_bytes - p->scratch_bytes, few;
    if (!mn_add_size(bytes, MN_MAX(p->scratch_bytes, r->scratch_bytes), &bytes)) return false;
    if (r->n_sessions > 0 && (!mn_add_size(r->few_scratch_bytes, p->few_scratch_bytes, &few) ||
                              !mn_add_size(bytes, r->promised_bytes, &bytes) || !mn_add_size(bytes, few, &bytes)))
        return false;
    return bytes <= r->free_bytes;
}

mn_status mn_memory_plan_largest(const mn_engine *e, const mn_window *w, const mn_room *room, int64_t *n_ctx,
                                 mn_error *err) {
    mn_window trial = *w;
    mn_memory_plan plan;
    trial.n_ctx = MN_PAGE_TOKENS;
    MN_TRY(mn_memory_plan_make(e, &trial, &plan, err));
    /* Pages are the largest part that grows with the window, so that they alone bound it from above. */
    int64_t fits = 0, too_many = 1;
    if (mn_memory_plan_fits(&plan, room)) {
        fits = 1;
        size_t most = MN_MIN((room->free_bytes - plan.total_bytes) / page_bytes(e, w),
                             (size_t)(MN_MAX_CTX_TOKENS / MN_PAGE_TOKENS));
        too_many = 2 + (int64_t)most;
    }
    while (too_many - fits > 1) {
        int64_t middle = fits + (too_many - fits) / 2;
        trial.n_ctx = middle * MN_PAGE_TOKENS;
        mn_status status = mn_memory_plan_make(e, &trial, &plan, err);
        if (status != MN_OK && status != MN_ERR_MEMORY && status != MN_ERR_LIMIT) return status;
        *(status == MN_OK && mn_memory_plan_fits(&plan, room) ? &fits : &too_many) = middle;
    }
    *n_ctx = fits * MN_PAGE_TOKENS;
    return MN_OK;
}

/* "Fits: ...", or that nothing does. */
static mn_status find_remedies(const mn_engine *e, const mn_window *w, const mn_room *room, char *out, size_t out_bytes,
                               mn_remedies *remedies, mn_error *err) {
    mn_window smaller = *w;
    int64_t now, then;
    smaller.k_type = smaller.v_type = MN_Q8_0;
    MN_TRY(mn_memory_plan_largest(e, w, room, &now, err));
    MN_TRY(mn_memory_plan_largest(e, &smaller, room, &then, err));
    bool all = then >= w->n_ctx, more = then > now;
    mn_remedy shorter = {MN_REMEDY_WINDOW, (double)now}, q8 = {MN_REMEDY_Q8_CACHE, all ? 0 : (double)then};
    *remedies = now && more ? MN_REMEDIES(shorter, q8) : now ? MN_REMEDIES(shorter) : MN_REMEDIES(q8);
    if (now && more)
        snprintf(out, out_bytes, "Fits: %lld tokens, or %lld with keys and values in q8_0.", (long long)now,
                 (long long)MN_MIN(then, w->n_ctx));
    else if (now)
        snprintf(out, out_bytes, "Fits: %lld tokens.", (long long)now);
    else if (more)
        snprintf(out, out_bytes, "Fits: %lld tokens with keys and values in q8_0.", (long long)MN_MIN(then, w->n_ctx));
    else if (room->n_sessions > 0) {
        *remedies = (mn_remedies){0};
        snprintf(out, out_bytes, "No window fits beside them; close a session first.");
    } else {
        *remedies = MN_REMEDIES({MN_REMEDY_SMALLER_WEIGHTS, 0});
        snprintf(out, out_bytes, "Nothing of this model fits; use one with smaller weights.");
    }
    return MN_OK;
}

/* "3.10 GiB free", beside whom. */
static void describe_room(const mn_room *r, char *out, size_t out_bytes) {
    size_t left = r->free_bytes - MN_MIN(r->promised_bytes, r->free_bytes);
    mn_human there, promised;
    if (r->n_sessions == 0)
        snprintf(out, out_bytes, "%s free", mn_human_bytes(there, r->free_bytes));
    else
        snprintf(out, out_bytes, "%s free beside %d open session%s that may take %s", mn_human_bytes(there, left),
                 r->n_sessions, r->n_sessions == 1 ? "" : "s", mn_human_bytes(promised, r->promised_bytes));
}

mn_status mn_memory_plan_check(const mn_engine *e, const mn_window *w, const mn_memory_plan *p, const mn_room *room,
                               mn_error *err) {
    char fits[160], types[32], beside[96];
    mn_human total, weights, kv, work;
    mn_remedies remedies;
    if (mn_memory_plan_fits(p, room)) return MN_OK;
    MN_TRY(find_remedies(e, w, room, fits, sizeof fits, &remedies, err));
    describe_room(room, beside, sizeof beside);
    const char *k = mn_dtype_get(w->k_type)->name, *v = mn_dtype_get(w->v_type)->name;
    if (w->k_type == w->v_type)
        snprintf(types, sizeof types, "%s", k);
    else
        snprintf(types, sizeof types, "%s and %s", k, v);
    return mn_fail_with(err, MN_ERR_MEMORY, remedies, "needs %s (weights %s + KV %s at %lld %s + work %s), %s. %s",
                        mn_human_bytes(total, p->total_bytes), mn_human_bytes(weights, p->weights_bytes),
                        mn_human_bytes(kv, p->kv_bytes), (long long)w->n_ctx, types,
                        mn_human_bytes(work, p->state_bytes + p->work_bytes), beside, fits);
}
