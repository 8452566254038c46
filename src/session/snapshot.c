/* A session in a file: docs/formats/session.md. */
#include "session/session.h"

#include "base/checked.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

enum { SNAPSHOT_VERSION = 4 };

static const char magic[8] = {'M', 'N', 'S', 'E', 'S', 'S', 'N', 0};

/* All little-endian. After it: tokens int32 [n_tokens], state [state_bytes], n_checkpoints times (int64 n_tokens, state
 * [state_bytes]), logits f32 [n_vocab] if has_logits, slabs of pages [first_page, gap_begin) and [gap_end, end_page),
 * those of the keys' second plane if there is one (position maps), those of compressed keys, and the XXH3 hash of
 * everything before, 8 bytes. */
typedef struct snapshot_header {
    char magic[8];
    uint32_t version, has_logits;
    mn_identity model;
    uint64_t reading_hash; /* of frequencies, the scale of scores, position map, patterns that leave keys out, memory */
    int32_t k_type, v_type;
    int64_t n_tokens, first_page, gap_begin, gap_end, end_page;
    uint64_t state_bytes, slab_bytes, grouped_slab_bytes, n_vocab;
    int64_t n_checkpoints, checkpoint_interval;
} snapshot_header;

/* What stands before the rows of a segment, and how much of it went into the rows of the next layer. */
static uint64_t hash_memory(const mn_infini_spec *m, uint64_t hash) {
    const int64_t numbers[] = {m->shape.segment, m->shape.rule, m->model_writes, m->model_mixes};
    if (m->shape.segment == 0) return hash;
    hash = XXH3_64bits_withSeed(numbers, sizeof numbers, hash);
    return XXH3_64bits_withSeed(&m->share, sizeof m->share, hash);
}

/* A layer's pattern decides what its rows saw, and so what the rows of the next layer are. */
static uint64_t hash_patterns(const mn_attn_spec *r, int n_layers, uint64_t hash) {
    for (int layer = 0; r->patterns && layer < n_layers; layer++) {
        const mn_pattern *p = &r->patterns[layer];
        if (!p->kind || p->kind->traits & (MN_PATTERN_EXACT | MN_PATTERN_COMPRESSIVE)) continue;
        hash = XXH3_64bits_withSeed(p->kind->name, strlen(p->kind->name), hash + (uint64_t)layer);
        hash = XXH3_64bits_withSeed(p->args, sizeof p->args, hash);
    }
    return hash;
}

static uint64_t hash_frequencies(const mn_rope_table *t, uint64_t hash) {
    hash = XXH3_64bits_withSeed(t->freq, (size_t)t->n_pairs * sizeof *t->freq, hash);
    return XXH3_64bits_withSeed(&t->scale, sizeof t->scale, hash);
}

static uint64_t hash_positions(const mn_sequence *t) {
    XXH64_hash_t hash = hash_frequencies(&t->rope_local, hash_frequencies(&t->rope, 0));
    hash = XXH3_64bits_withSeed(&t->score_scale, sizeof t->score_scale, hash);
    const mn_posmap *map = &t->attn.map;
    if (!map->scheme) return hash;
    const int64_t numbers[] = {map->a, map->b};
    hash = XXH3_64bits_withSeed(map->scheme->name, strlen(map->scheme->name), hash);
    return XXH3_64bits_withSeed(numbers, sizeof numbers, hash);
}

/* Which tokens took small MLPs decides what the rows of the next layer are, too. */
static uint64_t hash_routers(const mn_easy *easy, uint64_t hash) {
    return easy->counts ? XXH3_64bits_withSeed(&easy->threshold, sizeof easy->threshold, hash) : hash;
}

static uint64_t hash_reading(const mn_sequence *t, int n_layers, bool exact) {
    uint64_t hash = hash_memory(&t->attn.infini, hash_patterns(&t->attn, n_layers, hash_positions(t) + exact));
    return hash_routers(&t->easy, hash);
}

static snapshot_header make_header(const mn_session *s, mn_identity model) {
    const mn_kv_shape *shape = mn_kvcache_shape(s->sequence.cache);
    const mn_kvcache *grouped = s->sequence.second;
    snapshot_header h = {
        .version = SNAPSHOT_VERSION,
        .has_logits = s->has_logits,
        .model = model,
        .reading_hash = hash_reading(&s->sequence, s->engine->model.config.n_layers, s->engine->compute.exact),
        .k_type = shape->k_type,
        .v_type = shape->v_type,
        .n_tokens = s->sequence.n_tokens,
        .state_bytes = s->sequence.state_bytes,
        .slab_bytes = mn_kv_slab_bytes(shape),
        .grouped_slab_bytes = grouped ? mn_kv_slab_bytes(mn_kvcache_shape(grouped)) : 0,
        .n_vocab = (uint64_t)s->engine->model.config.n_vocab,
        .n_checkpoints = s->n_checkpoints,
        .checkpoint_interval = s->checkpoint_interval,
    };
    memcpy(h.magic, magic, sizeof magic);
    mn_kvcache_pages(s->sequence.cache, &h.first_page, &h.end_page);
    mn_kvcache_gap(s->sequence.cache, &h.gap_begin, &h.gap_end);
    if (h.gap_begin == h.gap_end) h.gap_begin = h.gap_end = h.first_page;
    return h;
}

/* The pages of compressed keys, none of which is ever dropped. */
static snapshot_header compressed_pages(const mn_sequence *t, int i, int64_t n_tokens) {
    return (snapshot_header){.end_page = (n_tokens / t->rates[i] + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS};
}

typedef struct hashed_writer {
    mn_writer writer;
    XXH3_state_t *hash;
} hashed_writer;

static void put(hashed_writer *w, const void *data, size_t bytes) {
    mn_writer_put(&w->writer, data, bytes);
    XXH3_64bits_update(w->hash, data, bytes);
}

static mn_status put_pages(hashed_writer *w, const mn_kvcache *cache, const snapshot_header *h, mn_error *err) {
    size_t bytes = mn_kv_slab_bytes(mn_kvcache_shape(cache));
    void *slab = malloc(bytes);
    mn_status status = slab ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a page of %zu bytes.", bytes);
    for (int64_t page = h->first_page; page < h->end_page && status == MN_OK; page++) {
        if (page >= h->gap_begin && page < h->gap_end) continue;
        status = mn_kvcache_read_slab(cache, page, slab, err);
        if (status == MN_OK) put(w, slab, bytes);
    }
    free(slab);
    return status;
}

static mn_status put_all(hashed_writer *w, const mn_session *s, mn_identity model, mn_error *err) {
    snapshot_header h = make_header(s, model);
    put(w, &h, sizeof h);
    put(w, s->tokens, (size_t)h.n_tokens * sizeof *s->tokens);
    if (h.state_bytes) put(w, s->sequence.state, h.state_bytes);
    for (int i = 0; i < s->n_checkpoints; i++) {
        put(w, &s->checkpoints[i].n_tokens, sizeof s->checkpoints[i].n_tokens);
        put(w, s->checkpoints[i].state, h.state_bytes);
    }
    if (h.has_logits) put(w, s->logits, (size_t)h.n_vocab * sizeof *s->logits);
    MN_TRY(put_pages(w, s->sequence.cache, &h, err));
    if (s->sequence.second) MN_TRY(put_pages(w, s->sequence.second, &h, err));
    for (int i = 0; i < MN_MAX_RATES && s->sequence.compressed[i]; i++) {
        snapshot_header all = compressed_pages(&s->sequence, i, h.n_tokens);
        MN_TRY(put_pages(w, s->sequence.compressed[i], &all, err));
    }
    uint64_t sum = XXH3_64bits_digest(w->hash);
    mn_writer_put(&w->writer, &sum, sizeof sum);
    return MN_OK;
}

static mn_status fail_evicted(int64_t n, mn_error *err) {
    return mn_fail_with(err, MN_ERR_UNSUPPORTED, MN_REMEDIES({MN_REMEDY_NO_ATTN, 0}),
                        "a file holds whole texts, and snapkv evicts %lld KV entries of this one; save without it.",
                        (long long)n);
}

mn_status mn_session_check_save(const mn_session *s, const char *path, int64_t n_tokens, mn_error *err) {
    const mn_kv_shape *shape = mn_kvcache_shape(s->sequence.cache);
    int64_t window, budget = mn_session_budget(s, &window);
    if (budget > 0 && n_tokens > budget) return fail_evicted(n_tokens - budget, err);
    mn_window w = {MN_MAX(n_tokens, 1), s->n_batch, shape->k_type, shape->v_type, 0, &s->attn};
    mn_memory_plan plan;
    size_t bytes;
    MN_TRY(mn_memory_plan_make(s->engine, &w, &plan, err));
    bool fits =
        mn_mul_size((size_t)w.n_ctx, sizeof *s->tokens, &bytes) && mn_add_size(bytes, plan.kv_bytes, &bytes) &&
        mn_add_size(bytes, plan.state_bytes, &bytes) &&
        mn_add_size(bytes, sizeof(snapshot_header) + (size_t)s->engine->model.config.n_vocab * sizeof(float), &bytes);
    return mn_file_check_room(path, fits ? bytes : SIZE_MAX, err);
}

mn_status mn_session_save(const mn_session *s, const char *path, mn_error *err) {
    if (s->sequence.n_evicted) return fail_evicted(s->sequence.n_evicted, err);
    mn_identity model;
    MN_TRY(mn_engine_identity(s->engine, &model, err));
    hashed_writer w = {.hash = XXH3_createState()};
    if (!w.hash) return mn_fail(err, MN_ERR_MEMORY, "no memory for a checksum.");
    XXH3_64bits_reset(w.hash);
    mn_status status = mn_writer_open(path, &w.writer, err);
    if (status == MN_OK) {
        status = put_all(&w, s, model, err);
        if (status == MN_OK)
            status = mn_writer_commit(&w.writer, err);
        else
            mn_writer_abort(&w.writer);
    }
    XXH3_freeState(w.hash);
    return status;
}

/* Pages that the file holds, or -1 when they contradict each other. */
static int64_t n_saved_pages(const snapshot_header *h) {
    bool ordered =
        0 <= h->first_page && h->first_page <= h->gap_begin && h->gap_begin <= h->gap_end && h->gap_end <= h->end_page;
    return ordered ? h->end_page - h->first_page - (h->gap_end - h->gap_begin) : -1;
}

/* Bytes of compressed keys in a file of n_tokens; false when they overflow. */
static bool compressed_bytes(const mn_sequence *t, int64_t n_tokens, size_t *out) {
    *out = 0;
    for (int i = 0; i < MN_MAX_RATES && t->compressed[i]; i++) {
        snapshot_header all = compressed_pages(t, i, n_tokens);
        size_t bytes, slab = mn_kv_slab_bytes(mn_kvcache_shape(t->compressed[i]));
        if (!mn_mul_size((size_t)all.end_page, slab, &bytes) || !mn_add_size(*out, bytes, out)) return false;
    }
    return true;
}

/* Bytes that a file with this header must have; false when they overflow. */
static bool expected_bytes(const mn_sequence *t, const snapshot_header *h, size_t *out) {
    size_t pages, grouped, compressed, total = sizeof *h + sizeof(uint64_t);
    int64_t n_pages = n_saved_pages(h);
    if (h->n_tokens < 0 || n_pages < 0) return false;
    if (!mn_mul_size((size_t)n_pages, h->slab_bytes, &pages)) return false;
    if (!mn_mul_size((size_t)n_pages, h->grouped_slab_bytes, &grouped)) return false;
    if (!compressed_bytes(t, h->n_tokens, &compressed)) return false;
    if (h->n_checkpoints < 0 || h->n_checkpoints > MN_MAX_CHECKPOINTS) return false;
    size_t checkpoints =
        (size_t)h->n_checkpoints * (sizeof(int64_t) + h->state_bytes); /* state_bytes is the model's own */
    size_t logits = h->has_logits ? h->n_vocab * sizeof(float) : 0;
    size_t parts[] = {
        (size_t)h->n_tokens * sizeof(int32_t), h->state_bytes, checkpoints, logits, pages, grouped, compressed};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!mn_add_size(total, parts[i], &total)) return false;
    *out = total;
    return true;
}

/* Where the segment begins that tokens behind the saved ones lie in. */
static int64_t segment_begin(const mn_session *s, const int32_t *tokens, int64_t n) {
    mn_sequence at = {.attn = s->attn};
    mn_sequence_resume(&at, tokens, n);
    return mn_sequence_segment_begin(&at);
}

/* Whether the rows that the file lacks are such as no later token sees. */
static bool lacks_only_unseen(const mn_session *s, const snapshot_header *h, const int32_t *tokens) {
    int64_t from = h->gap_begin, to = h->gap_end;
    mn_kept_keys kept = s->sequence.kept;
    if (h->first_page > 0 && h->gap_begin < h->gap_end) return false;
    if (h->first_page > 0) from = 0, to = h->first_page;
    if (from >= to) return true;
    if (s->attn.infini.shape.segment) return from == 0 && to <= segment_begin(s, tokens, h->n_tokens) / MN_PAGE_TOKENS;
    return kept.last && from >= (kept.first + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS &&
           to <= (h->n_tokens + 1 - kept.last) / MN_PAGE_TOKENS;
}

static mn_status check_header(const mn_session *s, const snapshot_header *h, const char *path, mn_error *err) {
    mn_identity model;
    if (h->version != SNAPSHOT_VERSION)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: was saved by another version (session format %u, this one reads %d); read the text again.",
                       path, h->version, SNAPSHOT_VERSION);
    MN_TRY(mn_engine_identity(s->engine, &model, err));
    snapshot_header own = make_header(s, model);
    if (h->model.low != model.low || h->model.high != model.high || h->n_vocab != own.n_vocab)
        return mn_fail(err, MN_ERR_ARGUMENT, "%s: was saved with another model than %s.", path,
                       mn_gguf_path(s->engine->model.gguf));
    if (h->k_type != own.k_type || h->v_type != own.v_type)
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_CACHE_TYPES, 0}),
                            "%s: was saved with other types of KV entries (K %s, V %s); use the same.", path,
                            mn_dtype_get(h->k_type) ? mn_dtype_get(h->k_type)->name : "?",
                            mn_dtype_get(h->v_type) ? mn_dtype_get(h->v_type)->name : "?");
    if (h->reading_hash != own.reading_hash)
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_SAME_READING, 0}),
                            "%s: was saved with other positions%s; use the same.", path,
                            s->sequence.easy.counts ? ", patterns or another threshold for easy tokens"
                                                    : " or patterns");
    if (h->n_tokens > s->n_ctx)
        return mn_fail_with(err, MN_ERR_LIMIT, MN_REMEDIES({MN_REMEDY_WINDOW, (double)h->n_tokens}),
                            "%s: holds %lld tokens; the window is %lld. Use a larger one.", path,
                            (long long)h->n_tokens, (long long)s->n_ctx);
    bool has_rows = mn_attn_n_kv_layers(&s->attn, &s->engine->model.config) > 0;
    int64_t end_page = has_rows ? (h->n_tokens + MN_PAGE_TOKENS - 1) / MN_PAGE_TOKENS : 0;
    if (h->slab_bytes != own.slab_bytes || h->grouped_slab_bytes != own.grouped_slab_bytes ||
        h->state_bytes != own.state_bytes || h->end_page != end_page || (h->state_bytes == 0 && h->n_checkpoints != 0))
        return mn_fail(err, MN_ERR_FORMAT, "%s: its sizes contradict each other; the file is damaged.", path);
    return MN_OK;
}

static mn_status check_file(const mn_session *s, const mn_mapfile *map, const char *path, snapshot_header *h,
                            mn_error *err) {
    size_t want;
    uint64_t sum;
    if (map->bytes < sizeof *h || memcmp(map->data, magic, sizeof magic))
        return mn_fail(err, MN_ERR_FORMAT, "%s: is not a saved session.", path);
    memcpy(h, map->data, sizeof *h);
    MN_TRY(check_header(s, h, path, err));
    if (!expected_bytes(&s->sequence, h, &want) || want != map->bytes)
        return mn_fail(err, MN_ERR_FORMAT,
                       "%s: has %zu bytes where its header asks for another number; it was cut or damaged.", path,
                       map->bytes);
    memcpy(&sum, map->data + map->bytes - sizeof sum, sizeof sum);
    if (sum != XXH3_64bits(map->data, map->bytes - sizeof sum))
        return mn_fail(err, MN_ERR_FORMAT, "%s: its checksum is wrong; the file is damaged.", path);
    if (!lacks_only_unseen(s, h, (const int32_t *)(const void *)((const char *)map->data + sizeof *h)))
        return mn_fail(err, MN_ERR_FORMAT,
                       "%s: lacks KV entries that its next tokens look at; leave out the disk, or read the text again.",
                       path);
    return MN_OK;
}

/* What is left of a checked file to read. */
typedef struct reader {
    const unsigned char *at;
} reader;

static void take(reader *r, void *out, size_t bytes) {
    if (bytes) memcpy(out, r->at, bytes);
    r->at += bytes;
}

static mn_status load_checkpoints(mn_session *s, reader *r, const snapshot_header *h, const char *path, mn_error *err) {
    int64_t last = 0;
    for (int i = 0; i < h->n_checkpoints; i++) {
        mn_checkpoint *c = &s->checkpoints[i];
        if (!c->state && !(c->state = malloc(h->state_bytes)))
            return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu bytes of state.", (size_t)h->state_bytes);
        take(r, &c->n_tokens, sizeof c->n_tokens);
        take(r, c->state, h->state_bytes);
        if (c->n_tokens <= last || c->n_tokens > h->n_tokens)
            return mn_fail(err, MN_ERR_FORMAT, "%s: its checkpoints are out of order; the file is damaged.", path);
        last = c->n_tokens;
        s->n_checkpoints = i + 1;
    }
    s->checkpoint_interval = MN_MAX(h->checkpoint_interval, 1);
    return MN_OK;
}

static mn_status load_pages(mn_kvcache *cache, reader *r, const snapshot_header *h, mn_error *err) {
    mn_kvcache_start_at(cache, h->first_page);
    for (int64_t page = h->first_page; page < h->end_page; page++) {
        if (page == h->gap_begin && h->gap_begin < h->gap_end) {
            mn_kvcache_skip_to(cache, h->gap_end);
            page = h->gap_end;
        }
        if (page == h->end_page) break;
        MN_TRY(mn_kvcache_add_slab(cache, r->at, err));
        r->at += mn_kv_slab_bytes(mn_kvcache_shape(cache));
    }
    return MN_OK;
}

/* Copies everything out of a checked file; ids are looked at once more, since a checksum is no proof of good will. */
static mn_status load(mn_session *s, const unsigned char *data, const snapshot_header *h, const char *path,
                      mn_error *err) {
    mn_sequence *t = &s->sequence;
    reader r = {data + sizeof *h};
    take(&r, s->tokens, (size_t)h->n_tokens * sizeof *s->tokens);
    for (int64_t i = 0; i < h->n_tokens; i++)
        if (s->tokens[i] < 0 || (uint64_t)s->tokens[i] >= h->n_vocab)
            return mn_fail(err, MN_ERR_FORMAT, "%s: token %lld has id %d, which this model lacks.", path, (long long)i,
                           s->tokens[i]);
    take(&r, t->state, h->state_bytes);
    if (h->state_bytes) MN_TRY(load_checkpoints(s, &r, h, path, err));
    mn_session_tell_places(s);
    take(&r, s->logits, h->has_logits ? (size_t)h->n_vocab * sizeof *s->logits : 0);
    MN_TRY(load_pages(t->cache, &r, h, err));
    if (t->second) MN_TRY(load_pages(t->second, &r, h, err));
    for (int i = 0; i < MN_MAX_RATES && t->compressed[i]; i++) {
        snapshot_header all = compressed_pages(t, i, h->n_tokens);
        MN_TRY(load_pages(t->compressed[i], &r, &all, err));
    }
    mn_sequence_resume(t, s->tokens, h->n_tokens);
    s->has_logits = h->has_logits;
    return MN_OK;
}

mn_status mn_session_restore(mn_session *s, const char *path, mn_error *err) {
    mn_mapfile map;
    snapshot_header h;
    MN_TRY(mn_mapfile_open(path, &map, err));
    mn_status status = check_file(s, &map, path, &h, err);
    if (status == MN_OK) {
        mn_session_clear(s);
        s->prompt_tokens = 0;
        status = load(s, map.data, &h, path, err);
        if (status != MN_OK) mn_session_clear(s);
        mn_session_tell_ledger(s);
    }
    mn_mapfile_close(&map);
    return status;
}
