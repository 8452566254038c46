/* Hash lookup of keys and tensors by name: open addressing, at most half full. */
#include "model/gguf_file.h"

#include <string.h>
#include <xxhash.h>

mn_gguf_string mn_gguf_key_string(const mn_gguf *gguf, int64_t i) { return gguf->kvs[i].key; }

mn_gguf_string mn_gguf_tensor_string(const mn_gguf *gguf, int64_t i) {
    return (mn_gguf_string){gguf->tensors[i].name, strlen(gguf->tensors[i].name)};
}

static bool equal(mn_gguf_string a, mn_gguf_string b) {
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

/* The slot that holds the key, or the free one where it belongs. */
static size_t find_slot(const mn_gguf *gguf, const mn_gguf_index *index,
                        mn_gguf_string (*string_at)(const mn_gguf *, int64_t), mn_gguf_string key) {
    size_t slot = XXH3_64bits(key.data, key.bytes) & index->mask;
    while (index->slots[slot] && !equal(string_at(gguf, index->slots[slot] - 1), key)) slot = (slot + 1) & index->mask;
    return slot;
}

int64_t mn_gguf_index_find(const mn_gguf *gguf, const mn_gguf_index *index,
                           mn_gguf_string (*string_at)(const mn_gguf *, int64_t), mn_gguf_string key) {
    return (int64_t)index->slots[find_slot(gguf, index, string_at, key)] - 1;
}

mn_status mn_gguf_index_build(mn_gguf *gguf, mn_gguf_index *index, mn_gguf_string (*string_at)(const mn_gguf *, int64_t),
                              int64_t n, int64_t *duplicate, mn_error *err) {
    size_t n_slots = 8;
    while (n_slots < 2 * (size_t)n) n_slots *= 2;
    index->slots = mn_arena_zalloc(&gguf->arena, n_slots, sizeof *index->slots);
    if (!index->slots) return mn_fail(err, MN_ERR_MEMORY, "no memory for an index of %zu names.", (size_t)n);
    index->mask = n_slots - 1;
    *duplicate = -1;
    for (int64_t i = 0; i < n && *duplicate < 0; i++) {
        size_t slot = find_slot(gguf, index, string_at, string_at(gguf, i));
        if (index->slots[slot]) *duplicate = i;
        index->slots[slot] = (uint32_t)i + 1;
    }
    return MN_OK;
}
