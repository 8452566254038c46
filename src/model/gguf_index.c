/* Hash lookup of keys and tensors by name: open addressing, at most half full. */
#include "model/gguf_file.h"

#include <string.h>
#include <xxhash.h>

static bool equal(mn_gguf_string a, mn_gguf_string b) {
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

/* The slot that holds the name, or the free one where it belongs. */
static size_t find_slot(const mn_gguf_index *index, mn_gguf_string name) {
    size_t slot = XXH3_64bits(name.data, name.bytes) & index->mask;
    while (index->slots[slot] && !equal(index->names[index->slots[slot] - 1], name)) slot = (slot + 1) & index->mask;
    return slot;
}

int64_t mn_gguf_index_find(const mn_gguf_index *index, const char *name) {
    return (int64_t)index->slots[find_slot(index, (mn_gguf_string){name, strlen(name)})] - 1;
}

static mn_status build(mn_gguf_index *index, mn_arena *arena, const mn_gguf_string *names, int64_t n, const char *what,
                       mn_error *err) {
    size_t n_slots = 8;
    while (n_slots < 2 * (size_t)n) n_slots *= 2;
    *index = (mn_gguf_index){mn_arena_zalloc(arena, n_slots, sizeof *index->slots), n_slots - 1, names};
    if (!index->slots) return mn_fail(err, MN_ERR_MEMORY, "no memory for an index of %zu names.", (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        size_t slot = find_slot(index, names[i]);
        if (index->slots[slot])
            return mn_fail(err, MN_ERR_FORMAT, "%s \"%s\" is there twice; every name must be different.", what,
                           mn_gguf_show(names[i]).text);
        index->slots[slot] = (uint32_t)i + 1;
    }
    return MN_OK;
}

static mn_gguf_string *alloc_names(mn_arena *arena, int64_t n, mn_error *err) {
    mn_gguf_string *names = mn_arena_alloc(arena, (size_t)n, sizeof *names);
    if (!names) mn_fail(err, MN_ERR_MEMORY, "no memory for %lld names.", (long long)n);
    return names;
}

mn_status mn_gguf_index_keys(mn_gguf_index *index, mn_arena *arena, const mn_gguf_kv *kvs, int64_t n, mn_error *err) {
    mn_gguf_string *names = alloc_names(arena, n, err);
    if (!names) return MN_ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) names[i] = kvs[i].key;
    return build(index, arena, names, n, "key", err);
}

mn_status mn_gguf_index_tensors(mn_gguf_index *index, mn_arena *arena, const mn_tensor *tensors, int64_t n,
                                mn_error *err) {
    mn_gguf_string *names = alloc_names(arena, n, err);
    if (!names) return MN_ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) names[i] = (mn_gguf_string){tensors[i].name, strlen(tensors[i].name)};
    return build(index, arena, names, n, "tensor", err);
}
