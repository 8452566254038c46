#include "train/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, NAME_BYTES = 160, SOURCE = 4, N_HEAD, N_COUNTERS = N_HEAD + MN_MAX_SOURCES };
static const int64_t MOST = INT64_C(1) << 62; /* of anything that is counted */

static const char *const moment_suffix[2] = {".m0", ".m1"};

/* The counters of a state in the order of the file. */
static void pack_state(const mn_train_state *s, int64_t out[N_COUNTERS]) {
    const int64_t head[N_HEAD] = {s->step, s->n_tokens, s->cursor.n_documents, s->cursor.offset, s->cursor.source};
    memcpy(out, head, sizeof head);
    memcpy(out + N_HEAD, s->cursor.n_of_source, sizeof s->cursor.n_of_source);
}

/* False: no training stands there. */
static bool unpack_state(const int64_t in[N_COUNTERS], mn_train_state *s) {
    for (int i = 0; i < N_COUNTERS; i++)
        if (in[i] > MOST || in[i] < (i == SOURCE ? -1 : 0)) return false;
    if (in[SOURCE] >= MN_MAX_SOURCES) return false;
    s->step = in[0];
    s->n_tokens = in[1];
    s->cursor.n_documents = in[2];
    s->cursor.offset = in[3];
    s->cursor.source = in[SOURCE];
    memcpy(s->cursor.n_of_source, in + N_HEAD, sizeof s->cursor.n_of_source);
    return true;
}

static void put_numbers(mn_gguf_writer *w, const char *key, mn_gguf_type type, const void *data, uint64_t n,
                        uint64_t item_bytes) {
    mn_gguf_put_kv(w, &(mn_gguf_kv){.key = {key, strlen(key)},
                                    .type = MN_GGUF_ARRAY,
                                    .item_type = type,
                                    .n_items = n,
                                    .data = data,
                                    .bytes = n * item_bytes,
                                    .length_bytes = sizeof(uint64_t)});
}

static void put_floats(mn_gguf_writer *w, const mn_parameter *p, const char *suffix, const float *data) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", p->name, suffix);
    mn_tensor t = {.name = name, .type = MN_F32, .n_dims = 2, .ne = {p->n_in, p->n_out, 1, 1}, .data = data};
    mn_gguf_put_tensor(w, &t);
}

static void put_set(mn_gguf_writer *w, const mn_parameters *all) {
    for (int64_t i = 0; i < all->n_items; i++) {
        const mn_parameter *p = &all->items[i];
        if (!p->frozen || p->moves) put_floats(w, p, "", p->weights);
        if (p->frozen) continue;
        put_floats(w, p, moment_suffix[0], p->moments[0]);
        if (p->optimiser == MN_OPTIMISER_ADAMW) put_floats(w, p, moment_suffix[1], p->moments[1]);
    }
}

static void put_state(mn_gguf_writer *w, const mn_train_state *state, const char *config) {
    int64_t counters[N_COUNTERS];
    double times[] = {state->seconds, state->best_validation};
    pack_state(state, counters);
    mn_gguf_put_string(w, "general.type", "checkpoint");
    mn_gguf_put_u32(w, "checkpoint.version", VERSION);
    mn_gguf_put_string(w, "checkpoint.config", config);
    put_numbers(w, "checkpoint.state", MN_GGUF_I64, counters, sizeof counters / sizeof *counters, 8);
    put_numbers(w, "checkpoint.times", MN_GGUF_F64, times, 2, 8);
    if (state->pool && state->n_pool)
        put_numbers(w, "checkpoint.pool", MN_GGUF_I32, state->pool, (uint64_t)state->n_pool, sizeof *state->pool);
}

mn_status mn_checkpoint_save(const char *path, mn_parameters *const *sets, int n_sets, const mn_train_state *state,
                             const char *config, mn_error *err) {
    mn_gguf_writer *w;
    MN_TRY(mn_gguf_writer_create(&w, err));
    put_state(w, state, config);
    for (int i = 0; i < n_sets; i++) put_set(w, sets[i]);
    mn_status status = mn_gguf_write(w, path, NULL, NULL, err);
    mn_gguf_writer_destroy(w);
    return status;
}

/* An array of n values of 8 bytes. */
static mn_status get_numbers(const mn_gguf *g, const char *key, mn_gguf_type type, void *out, uint64_t n,
                             mn_error *err) {
    const mn_gguf_kv *kv = mn_gguf_find(g, key);
    if (!kv || kv->type != MN_GGUF_ARRAY || kv->item_type != type || kv->n_items != n)
        return mn_fail(err, MN_ERR_FORMAT, "%s: is no checkpoint of this version: key %s is missing or another.",
                       mn_gguf_path(g), key);
    memcpy(out, kv->data, n * 8);
    return MN_OK;
}

static bool are_tokens(const int32_t *tokens, size_t n, int64_t n_vocab) {
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab) return false;
    return true;
}

/* Tokens mined, where this training keeps some and the file has them. */
static mn_status get_pool(const mn_gguf *g, int64_t n_vocab, mn_train_state *state, mn_error *err) {
    int32_t *tokens = NULL;
    size_t n = 0;
    bool found = false;
    state->n_pool = 0;
    if (!state->pool) return MN_OK;
    MN_TRY(mn_gguf_get_i32s(g, "checkpoint.pool", &tokens, &n, &found, err));
    mn_status status = MN_OK;
    if (found && !are_tokens(tokens, n, n_vocab))
        status = mn_fail(err, MN_ERR_FORMAT, "%s: checkpoint.pool holds tokens that the vocabulary of %lld has not.",
                         mn_gguf_path(g), (long long)n_vocab);
    if (status == MN_OK && found && n <= (size_t)state->pool_capacity) {
        memcpy(state->pool, tokens, n * sizeof *tokens);
        state->n_pool = (int64_t)n;
    }
    free(tokens);
    return status;
}

static mn_status get_floats(const mn_gguf *g, const mn_parameter *p, const char *suffix, float *out, mn_error *err) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", p->name, suffix);
    const mn_tensor *t = mn_gguf_tensor(g, name);
    if (!t || t->type != MN_F32 || t->ne[0] != p->n_in || t->ne[1] != p->n_out || t->ne[2] != 1 || t->ne[3] != 1)
        return mn_fail(err, MN_ERR_FORMAT,
                       "%s: has no tensor %s of %lld x %lld; it is a checkpoint of another training.", mn_gguf_path(g),
                       name, (long long)p->n_in, (long long)p->n_out);
    memcpy(out, t->data, t->bytes);
    return MN_OK;
}

static mn_status get_set(const mn_gguf *g, const mn_parameters *all, mn_error *err) {
    for (int64_t i = 0; i < all->n_items; i++) {
        const mn_parameter *p = &all->items[i];
        if (!p->frozen || p->moves) MN_TRY(get_floats(g, p, "", p->weights, err));
        if (p->frozen) continue;
        MN_TRY(get_floats(g, p, moment_suffix[0], p->moments[0], err));
        if (p->optimiser == MN_OPTIMISER_ADAMW) MN_TRY(get_floats(g, p, moment_suffix[1], p->moments[1], err));
    }
    return MN_OK;
}

static mn_status get_state(const mn_gguf *g, mn_train_state *state, mn_error *err) {
    int64_t counters[N_COUNTERS], version = 0;
    double times[2];
    bool found = false;
    MN_TRY(mn_gguf_get_i64(g, "checkpoint.version", &version, &found, err));
    if (version != VERSION)
        return mn_fail(err, MN_ERR_FORMAT, "%s: is a checkpoint of version %lld; this program reads version %d.",
                       mn_gguf_path(g), (long long)version, VERSION);
    MN_TRY(get_numbers(g, "checkpoint.state", MN_GGUF_I64, counters, sizeof counters / sizeof *counters, err));
    MN_TRY(get_numbers(g, "checkpoint.times", MN_GGUF_F64, times, 2, err));
    if (!unpack_state(counters, state))
        return mn_fail(err, MN_ERR_FORMAT, "%s: says that it is at a place where no training is; it is damaged.",
                       mn_gguf_path(g));
    state->seconds = times[0];
    state->best_validation = times[1];
    return MN_OK;
}

mn_status mn_checkpoint_load(const char *path, mn_parameters *const *sets, int n_sets, mn_train_state *state,
                             mn_error *err) {
    mn_gguf *g;
    MN_TRY(mn_gguf_open(path, &g, err));
    mn_status status = get_state(g, state, err);
    if (status == MN_OK) status = get_pool(g, sets[0]->model.config.n_vocab, state, err);
    for (int i = 0; i < n_sets && status == MN_OK; i++) status = get_set(g, sets[i], err);
    mn_gguf_close(g);
    return status;
}

mn_status mn_checkpoint_config(const char *path, char **out, mn_error *err) {
    mn_gguf *g;
    mn_gguf_string text = {"", 0};
    bool found = false;
    MN_TRY(mn_gguf_open(path, &g, err));
    mn_status status = mn_gguf_get_string(g, "checkpoint.config", &text, &found, err);
    if (status == MN_OK && !found)
        status = mn_fail(err, MN_ERR_FORMAT, "%s: is no checkpoint: key checkpoint.config is missing.", path);
    if (status == MN_OK && !(*out = strndup(text.data, text.bytes)))
        status = mn_fail(err, MN_ERR_MEMORY, "no memory for a configuration.");
    mn_gguf_close(g);
    return status;
}
