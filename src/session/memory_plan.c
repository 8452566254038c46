#include "session/memory_plan.h"

#include "base/checked.h"

#include <stdio.h>

static int64_t pages_of(int64_t n_tokens) {
    return (n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS;
}

static mn_reading reading_of(const mn_engine *e, const mn_window *w) {
    return w->reading ? *w->reading : mn_reading_of_model(&e->model.config);
}

/* Pages that hold rows at once. What is out of sight is dropped after a step, in whole pages. */
static int64_t held_pages(const mn_reading *r, const mn_config *c, const mn_window *w) {
    int64_t segment = r->memory.shape.segment, all = pages_of(w->n_ctx);
    if (mn_reading_n_row_layers(r, c) == 0) return 0;
    mn_kept_keys kept = mn_reading_keeps(r, c);
    if (segment) {
        int64_t before_first = segment % MN_PAGE_TOKENS ? MN_PAGE_TOKENS - 1 : 0;
        return MN_MIN(all, pages_of(before_first + segment - 1 + w->n_batch));
    }
    if (kept.last == 0 || w->kv_ram_bytes) return all;
    return MN_MIN(all, pages_of(kept.first) + pages_of(MN_PAGE_TOKENS - 1 + kept.last - 1 + MN_SPARE_TOKENS + w->n_batch));
}

/* Takes from c->scratch what a step of n_rows takes when it is the last of the window. */
static mn_status run_dry(const mn_engine *e, const mn_compute *c, mn_timeline *t, int64_t n_ctx, int64_t n_rows,
                         mn_error *err) {
    mn_ops ops = mn_ops_dry();
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    int64_t *wanted = mn_arena_alloc(c->scratch, (size_t)n_rows, sizeof *wanted);
    float *logits = mn_arena_alloc(c->scratch, (size_t)e->model.config.n_vocab, sizeof *logits);
    if (!wanted || !logits) return mn_no_scratch(err);
    wanted[0] = n_rows - 1;
    t->n_tokens = n_ctx - n_rows;
    mn_span span = {t, 0, n_rows};
    mn_batch batch = {
        .n_rows = n_rows, .spans = &span, .n_spans = 1, .wanted = wanted, .n_wanted = 1, .logits = logits};
    mn_status status = mn_forward(c, &ops, &e->model, &batch, err);
    mn_arena_rewind(c->scratch, mark);
    return status;
}

/* The most scratch that a step can take: of all rows, or of those few that split their keys, where every row has a
 * partial result for every range of keys. */
static mn_status measure_scratch(const mn_engine *e, const mn_window *w, size_t *out, mn_error *err) {
    mn_arena arena = MN_ARENA_INIT;
    mn_compute c = e->compute;
    mn_timeline t = {.reading = reading_of(e, w)};
    mn_pool *pool = NULL;
    mn_kv_shape shape = mn_timeline_row_shape(&e->model.config, &t.reading, w->k_type, w->v_type);
    mn_status status = mn_kvcache_create(&shape, 1, &t.cache, err);
    if (status == MN_OK) status = mn_pool_create_dry(mn_pool_threads(e->pool), &pool, err);
    c.scratch = &arena;
    c.pool = pool;
    int64_t n_rows = MN_MIN(w->n_batch, w->n_ctx), n_few = MN_MIN(n_rows, MN_FLASH_MIN_ROWS - 1);
    if (status == MN_OK) status = run_dry(e, &c, &t, w->n_ctx, n_rows, err);
    if (status == MN_OK) status = run_dry(e, &c, &t, w->n_ctx, n_few, err);
    *out = arena.most_bytes;
    mn_pool_destroy(pool);
    mn_kvcache_destroy(t.cache);
    mn_arena_release(&arena);
    if (status == MN_ERR_MEMORY)
        return mn_fail(
            err, status,
            "a step at the end of a window of %lld tokens needs more work memory than there is; lower -c or -b.",
            (long long)w->n_ctx);
    return status;
}

static size_t weights_bytes(const mn_model *m) {
    size_t bytes = m->arena.held_bytes;
    for (int64_t i = 0; i < mn_gguf_n_tensors(m->gguf); i++) bytes += mn_gguf_tensor_at(m->gguf, i)->bytes;
    return bytes;
}

static size_t kept_bytes(const mn_window *w, size_t kv_bytes) {
    return w->kv_ram_bytes ? MN_MIN(kv_bytes, w->kv_ram_bytes) : kv_bytes;
}

mn_status mn_memory_plan_make(const mn_engine *e, const mn_window *w, mn_memory_plan *out, mn_error *err) {
    const mn_config *c = &e->model.config;
    mn_memory_plan p = {.weights_bytes = weights_bytes(&e->model)};
    mn_reading reading = reading_of(e, w);
    mn_kv_shape shape = mn_timeline_row_shape(c, &reading, w->k_type, w->v_type);
    size_t slab = mn_kv_slab_bytes(&shape), lists = mn_kv_list_bytes(&shape, w->n_ctx), kv, state, ids;
    MN_TRY(mn_timeline_state_bytes(c, &reading, &state, err));
    MN_TRY(measure_scratch(e, w, &p.scratch_bytes, err));
    int64_t n_states = 1 + MN_MIN(MN_MAX_CHECKPOINTS, w->n_ctx / MN_FIRST_CHECKPOINT_TOKENS);
    bool fits = slab && lists && mn_mul_size(slab, (size_t)held_pages(&reading, c, w), &kv) &&
                mn_mul_size(state, (size_t)n_states, &p.state_bytes) &&
                mn_mul_size((size_t)w->n_ctx, sizeof(int32_t), &ids) &&
                mn_add_size(p.scratch_bytes, ids, &p.work_bytes) &&
                mn_add_size(p.work_bytes, lists + (size_t)c->n_vocab * sizeof(float), &p.work_bytes) &&
                mn_add_size(p.weights_bytes, p.kv_bytes = kept_bytes(w, kv), &p.total_bytes) &&
                mn_add_size(p.total_bytes, p.state_bytes, &p.total_bytes) &&
                mn_add_size(p.total_bytes, p.work_bytes, &p.total_bytes);
    if (!fits)
        return mn_fail(err, MN_ERR_LIMIT, "a window of %lld tokens overflows the address space; lower -c.",
                       (long long)w->n_ctx);
    *out = p;
    return MN_OK;
}

/* What one more page costs: its rows, unless they are dropped or go to a file, its places in the lists, its token ids. */
static size_t page_bytes(const mn_engine *e, const mn_window *w) {
    mn_reading reading = reading_of(e, w);
    mn_kv_shape shape = mn_timeline_row_shape(&e->model.config, &reading, w->k_type, w->v_type);
    mn_window next = *w;
    next.n_ctx = INT64_MAX / 2; /* far enough that what stays bounded has reached its bound */
    bool grows = held_pages(&reading, &e->model.config, &next) == pages_of(next.n_ctx);
    return (!grows || w->kv_ram_bytes ? 0 : mn_kv_slab_bytes(&shape)) + mn_kv_list_bytes(&shape, MN_PAGE_TOKENS) +
           MN_PAGE_TOKENS * sizeof(int32_t);
}

mn_status mn_memory_plan_fit(const mn_engine *e, const mn_window *w, size_t bytes, int64_t *n_ctx, mn_error *err) {
    mn_window trial = *w;
    mn_memory_plan plan;
    trial.n_ctx = MN_PAGE_TOKENS;
    MN_TRY(mn_memory_plan_make(e, &trial, &plan, err));
    /* Pages are the largest part that grows with the window, so that they alone bound it from above. */
    int64_t fits = 0, too_many = 1;
    if (plan.total_bytes <= bytes) {
        fits = 1;
        too_many = 2 + (int64_t)((bytes - plan.total_bytes) / page_bytes(e, w));
    }
    while (too_many - fits > 1) {
        int64_t middle = fits + (too_many - fits) / 2;
        trial.n_ctx = middle * MN_PAGE_TOKENS;
        mn_status status = mn_memory_plan_make(e, &trial, &plan, err);
        if (status != MN_OK && status != MN_ERR_MEMORY) return status;
        *(status == MN_OK && plan.total_bytes <= bytes ? &fits : &too_many) = middle;
    }
    *n_ctx = fits * MN_PAGE_TOKENS;
    return MN_OK;
}

static double gib(size_t bytes) {
    return (double)bytes / 0x1p30;
}

/* "Fits: ...", or that nothing does. */
static mn_status remedies(const mn_engine *e, const mn_window *w, size_t free_bytes, char *out, size_t out_bytes,
                          mn_error *err) {
    mn_window smaller = *w;
    int64_t now, then;
    smaller.k_type = smaller.v_type = MN_Q8_0;
    MN_TRY(mn_memory_plan_fit(e, w, free_bytes, &now, err));
    MN_TRY(mn_memory_plan_fit(e, &smaller, free_bytes, &then, err));
    if (then >= w->n_ctx && now)
        snprintf(out, out_bytes, "Fits: -c %lld, or -ctk q8_0 -ctv q8_0.", (long long)now);
    else if (then >= w->n_ctx)
        snprintf(out, out_bytes, "Fits: -ctk q8_0 -ctv q8_0.");
    else if (then > now && now)
        snprintf(out, out_bytes, "Fits: -c %lld, or -c %lld -ctk q8_0 -ctv q8_0.", (long long)now, (long long)then);
    else if (now)
        snprintf(out, out_bytes, "Fits: -c %lld.", (long long)now);
    else
        snprintf(out, out_bytes,
                 "Nothing of this model fits; use one with smaller weights (mnemo convert --type q4_0).");
    return MN_OK;
}

mn_status mn_memory_plan_check(const mn_engine *e, const mn_window *w, const mn_memory_plan *p, size_t free_bytes,
                               mn_error *err) {
    char fits[160], types[32];
    if (p->total_bytes <= free_bytes) return MN_OK;
    MN_TRY(remedies(e, w, free_bytes, fits, sizeof fits, err));
    const char *k = mn_dtype_get(w->k_type)->name, *v = mn_dtype_get(w->v_type)->name;
    if (w->k_type == w->v_type)
        snprintf(types, sizeof types, "%s", k);
    else
        snprintf(types, sizeof types, "%s and %s", k, v);
    return mn_fail(err, MN_ERR_MEMORY,
                   "needs %.1f GiB (weights %.1f + KV %.1f at %lld %s + work %.1f), %.1f GiB free. %s",
                   gib(p->total_bytes), gib(p->weights_bytes), gib(p->kv_bytes), (long long)w->n_ctx, types,
                   gib(p->state_bytes + p->work_bytes), gib(free_bytes), fits);
}
