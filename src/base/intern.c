/* Texts to small numbers: open addressing over a text that grows. */
#include "base/intern.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static uint32_t hash_of(const char *text, size_t bytes) { return (uint32_t)XXH3_64bits(text, bytes); }

/* The slot that holds the text, or the free one where it belongs. */
static size_t slot_of(const mn_intern *set, const char *text, size_t bytes, uint32_t hash) {
    size_t mask = set->table_size - 1, at = hash & mask;
    while (set->table[at]) {
        uint32_t id = set->table[at] - 1;
        if (set->hashes[id] == hash && set->begins[id + 1] - set->begins[id] == bytes + 1 &&
            !memcmp(set->text + set->begins[id], text, bytes))
            break;
        at = (at + 1) & mask;
    }
    return at;
}

static bool grow_table(mn_intern *set) {
    size_t size = set->table_size ? 2 * set->table_size : 1024;
    uint32_t *table = calloc(size, sizeof *table);
    if (!table) return false;
    for (uint32_t id = 0; id < set->n; id++) {
        size_t at = set->hashes[id] & (size - 1);
        while (table[at]) at = (at + 1) & (size - 1);
        table[at] = id + 1;
    }
    free(set->table);
    set->table = table;
    set->table_size = size;
    return true;
}

static bool grow_list(mn_intern *set) {
    uint32_t capacity = set->n_capacity ? 2 * set->n_capacity : 512;
    size_t *begins = realloc(set->begins, (capacity + (size_t)1) * sizeof *begins);
    if (begins) set->begins = begins;
    uint32_t *hashes = realloc(set->hashes, capacity * sizeof *hashes);
    if (hashes) set->hashes = hashes;
    if (!begins || !hashes) return false;
    if (!set->n) begins[0] = 0;
    set->n_capacity = capacity;
    return true;
}

static bool append_text(mn_intern *set, const char *text, size_t bytes) {
    if (set->text_capacity - set->text_bytes <= bytes) {
        size_t capacity = MN_MAX(2 * set->text_capacity, set->text_bytes + bytes + 4096);
        char *grown = realloc(set->text, capacity);
        if (!grown) return false;
        set->text = grown;
        set->text_capacity = capacity;
    }
    memcpy(set->text + set->text_bytes, text, bytes);
    set->text[set->text_bytes + bytes] = '\0';
    set->text_bytes += bytes + 1;
    return true;
}

uint32_t mn_intern_put(mn_intern *set, const char *text, size_t bytes) {
    if (set->n >= MN_INTERN_NONE / 2) return MN_INTERN_NONE;
    if (2 * ((size_t)set->n + 1) > set->table_size && !grow_table(set)) return MN_INTERN_NONE;
    uint32_t hash = hash_of(text, bytes);
    size_t slot = slot_of(set, text, bytes, hash);
    if (set->table[slot]) return set->table[slot] - 1;
    if (set->n == set->n_capacity && !grow_list(set)) return MN_INTERN_NONE;
    if (!append_text(set, text, bytes)) return MN_INTERN_NONE;
    set->hashes[set->n] = hash;
    set->begins[set->n + 1] = set->text_bytes;
    set->table[slot] = ++set->n;
    return set->n - 1;
}

uint32_t mn_intern_find(const mn_intern *set, const char *text, size_t bytes) {
    if (!set->n) return MN_INTERN_NONE;
    size_t slot = slot_of(set, text, bytes, hash_of(text, bytes));
    return set->table[slot] ? set->table[slot] - 1 : MN_INTERN_NONE;
}

const char *mn_intern_text(const mn_intern *set, uint32_t id, size_t *bytes) {
    if (bytes) *bytes = set->begins[id + 1] - set->begins[id] - 1;
    return set->text + set->begins[id];
}

void mn_intern_release(mn_intern *set) {
    free(set->text);
    free(set->begins);
    free(set->table);
    free(set->hashes);
    *set = (mn_intern){0};
}
