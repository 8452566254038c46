/* Postings, packed and unpacked. */
#include "graph/postings.h"

#include <stdlib.h>
#include <string.h>

static bool has_room(mn_packed *list, size_t bytes) {
    size_t capacity = list->capacity ? list->capacity : 16;
    if (bytes > UINT32_MAX - list->bytes) return false;
    while (capacity - list->bytes < bytes) capacity *= 2;
    if (capacity == list->capacity) return true;
    uint8_t *data = capacity > UINT32_MAX ? NULL : realloc(list->data, capacity);
    if (!data) return false;
    list->data = data;
    list->capacity = (uint32_t)capacity;
    return true;
}

bool mn_packed_put(mn_packed *list, uint32_t value) {
    if (!has_room(list, 5)) return false;
    for (; value >= 0x80; value >>= 7) list->data[list->bytes++] = (uint8_t)(value | 0x80);
    list->data[list->bytes++] = (uint8_t)value;
    return true;
}

bool mn_packed_put_bytes(mn_packed *list, const void *data, size_t bytes) {
    if (!has_room(list, bytes)) return false;
    if (bytes) memcpy(list->data + list->bytes, data, bytes);
    list->bytes += (uint32_t)bytes;
    return true;
}

bool mn_packed_get(const uint8_t **at, const uint8_t *end, uint32_t *value) {
    uint64_t sum = 0;
    for (int shift = 0; shift < 35 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        sum |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80) continue;
        *value = (uint32_t)sum;
        return sum <= UINT32_MAX;
    }
    return false;
}

bool mn_packed_add(mn_packed *set, uint32_t number) {
    bool ok = mn_packed_put(set, number - set->last);
    set->last = number + 1;
    return ok;
}

bool mn_postings_add(mn_packed *list, uint32_t unit, const uint32_t *places, uint32_t n_places) {
    bool ok = mn_packed_add(list, unit) && mn_packed_put(list, n_places);
    uint32_t last = 0;
    for (uint32_t i = 0; ok && i < n_places; i++) {
        ok = mn_packed_put(list, places[i] - last);
        last = places[i];
    }
    return ok;
}

void mn_packed_release(mn_packed *list) {
    free(list->data);
    *list = (mn_packed){0};
}

void mn_postings_release(mn_postings *p) {
    free(p->units);
    free(p->counts);
    free(p->first_places);
    free(p->places);
    *p = (mn_postings){0};
}

static bool unpack(const uint8_t *at, const uint8_t *end, uint32_t n_units, mn_postings *out) {
    uint64_t next = 0, least = out->n ? out->units[out->n - 1] + (uint64_t)1 : 0;
    while (at < end) {
        uint32_t distance, count, place, last = 0;
        if (!mn_packed_get(&at, end, &distance) || !mn_packed_get(&at, end, &count)) return false;
        next += distance;
        if (next < least || next >= n_units || count > (size_t)(end - at)) return false;
        out->units[out->n] = (uint32_t)next++;
        out->counts[out->n] = count;
        out->first_places[out->n++] = out->n_places;
        for (uint32_t i = 0; i < count; i++) {
            if (!mn_packed_get(&at, end, &place)) return false;
            out->places[out->n_places++] = last += place;
        }
    }
    return true;
}

static bool reserve(mn_postings *p, size_t capacity) {
    uint32_t **const arrays[] = {&p->units, &p->counts, &p->first_places, &p->places};
    for (int i = 0; i < 4; i++) {
        uint32_t *grown = realloc(*arrays[i], capacity * sizeof *grown);
        if (!grown) return false;
        *arrays[i] = grown;
    }
    p->capacity = capacity;
    return true;
}

mn_status mn_postings_append(const uint8_t *data, size_t bytes, uint32_t n_units, mn_postings *out, mn_error *err) {
    mn_status status = MN_OK;
    /* Each number takes a byte or more. */
    size_t most = (size_t)out->n_places + out->n + bytes + 1;
    if (most > UINT32_MAX || (most > out->capacity && !reserve(out, most)))
        status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for postings of %zu bytes.", bytes);
    else if (bytes && !unpack(data, data + bytes, n_units, out))
        status = mn_fail(err, MN_ERR_FORMAT, "The index of the store is damaged.");
    if (status != MN_OK) mn_postings_release(out);
    return status;
}

mn_status mn_postings_unpack(const uint8_t *data, size_t bytes, uint32_t n_units, mn_postings *out, mn_error *err) {
    *out = (mn_postings){0};
    return mn_postings_append(data, bytes, n_units, out, err);
}

mn_packed_walk mn_packed_begin(const void *data, size_t bytes, uint32_t limit) {
    return (mn_packed_walk){.at = data, .end = (const uint8_t *)data + bytes, .limit = limit};
}

bool mn_packed_next(mn_packed_walk *walk, uint32_t *number) {
    uint32_t distance;
    const uint8_t *at = walk->at;
    if (!mn_packed_get(&at, walk->end, &distance) || distance >= walk->limit - walk->next) return false;
    walk->at = at;
    *number = walk->next + distance;
    walk->next = *number + 1;
    return true;
}
