#include "model/identity.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

enum { CHUNK_BYTES = 1 << 22 };

/* Part of a tensor's data; a thread hashes it alone. */
typedef struct chunk {
    const unsigned char *data;
    size_t bytes;
    XXH128_hash_t hash;
} chunk;

static size_t n_chunks_of(const mn_tensor *t) { return t->bytes / CHUNK_BYTES + (t->bytes % CHUNK_BYTES > 0); }

static chunk *make_chunks(const mn_gguf *gguf, size_t *n) {
    *n = 0;
    for (int64_t i = 0; i < mn_gguf_n_tensors(gguf); i++) *n += n_chunks_of(mn_gguf_tensor_at(gguf, i));
    chunk *chunks = calloc(*n + 1, sizeof *chunks), *c = chunks;
    for (int64_t i = 0; chunks && i < mn_gguf_n_tensors(gguf); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(gguf, i);
        for (size_t at = 0; at < t->bytes; at += CHUNK_BYTES)
            *c++ = (chunk){(const unsigned char *)t->data + at, MN_MIN(t->bytes - at, (size_t)CHUNK_BYTES), {0}};
    }
    return chunks;
}

static void hash_chunks(void *arg, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    for (chunk *c = (chunk *)arg + begin; c < (chunk *)arg + end; c++) c->hash = XXH3_128bits(c->data, c->bytes);
}

/* A value behind its length, so that no two lists of values are alike. */
static void add(XXH3_state_t *state, const void *data, size_t bytes) {
    uint64_t length = bytes;
    XXH3_128bits_update(state, &length, sizeof length);
    if (bytes) XXH3_128bits_update(state, data, bytes);
}

static bool begins_with(mn_gguf_string key, mn_gguf_string prefix) {
    return key.bytes > prefix.bytes && !memcmp(key.data, prefix.data, prefix.bytes) && key.data[prefix.bytes] == '.';
}

/* Whether the value changes what is computed, or which ids a text has. */
static bool counts(mn_gguf_string key, mn_gguf_string arch) {
    static const char name[] = "general.architecture", vocabulary[] = "tokenizer.ggml";
    if (key.bytes == sizeof name - 1 && !memcmp(key.data, name, key.bytes)) return true;
    return begins_with(key, arch) || begins_with(key, (mn_gguf_string){vocabulary, sizeof vocabulary - 1});
}

static void add_keys(XXH3_state_t *state, const mn_gguf *gguf) {
    mn_gguf_string arch = {"", 0};
    bool found;
    mn_gguf_get_string(gguf, "general.architecture", &arch, &found, NULL);
    for (int64_t i = 0; i < mn_gguf_n_kv(gguf); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(gguf, i);
        const uint64_t numbers[] = {kv->type, kv->item_type, kv->n_items, (uint64_t)kv->length_bytes};
        if (!counts(kv->key, arch)) continue;
        add(state, kv->key.data, kv->key.bytes);
        add(state, numbers, sizeof numbers);
        add(state, kv->data, kv->bytes);
    }
}

static void add_tensors(XXH3_state_t *state, const mn_gguf *gguf, const chunk *chunks) {
    for (int64_t i = 0; i < mn_gguf_n_tensors(gguf); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(gguf, i);
        const uint64_t type = t->type;
        add(state, t->name, strlen(t->name));
        add(state, &type, sizeof type);
        add(state, t->ne, sizeof t->ne);
        for (size_t n = n_chunks_of(t); n > 0; n--, chunks++) add(state, &chunks->hash, sizeof chunks->hash);
    }
}

mn_status mn_identity_of(const mn_gguf *gguf, mn_pool *pool, mn_identity *out, mn_error *err) {
    size_t n_chunks;
    XXH3_state_t *state = XXH3_createState();
    chunk *chunks = make_chunks(gguf, &n_chunks);
    bool fits = state && chunks;
    if (fits) {
        XXH3_128bits_reset(state);
        mn_pool_run(pool, (int64_t)n_chunks, 1, hash_chunks, chunks);
        add_keys(state, gguf);
        add_tensors(state, gguf, chunks);
        XXH128_hash_t hash = XXH3_128bits_digest(state);
        *out = (mn_identity){hash.low64, hash.high64};
    }
    XXH3_freeState(state);
    free(chunks);
    return fits ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory to hash the weights.");
}

mn_identity mn_identity_join(mn_identity a, mn_identity b, const void *how, size_t how_bytes) {
    const uint64_t all[] = {a.low, a.high, b.low, b.high, XXH3_64bits(how, how_bytes)};
    XXH128_hash_t hash = XXH3_128bits(all, sizeof all);
    return (mn_identity){hash.low64, hash.high64};
}
