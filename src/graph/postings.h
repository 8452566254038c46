/* Postings: for each term the units of text that hold it, how often and where, in few bytes.
 *
 * A list is, for each unit in rising order: the distance to the unit before, the number of occurrences, and the
 * distance of each place to the one before, as numbers of 7 bits a byte. Units are counted from 0; places too, in the
 * sequence of a unit's content words, so that neighbours in it differ by 1.
 */
#ifndef MN_GRAPH_POSTINGS_H
#define MN_GRAPH_POSTINGS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mn_packed {
    uint8_t *data;
    uint32_t bytes, capacity;
    uint32_t last; /* the unit, or number, appended last, plus 1 */
} mn_packed;

/* Appends a unit with its places; units rise. False when memory or 4 GiB end. */
bool mn_postings_add(mn_packed *list, uint32_t unit, const uint32_t *places, uint32_t n_places);
/* Appends a number that is larger than those before: a set. */
bool mn_packed_add(mn_packed *set, uint32_t number);
void mn_packed_release(mn_packed *list);
/* A number of 7 bits a byte, and back; false when memory ends, or where the bytes break off. */
bool mn_packed_put(mn_packed *list, uint32_t value);
bool mn_packed_put_bytes(mn_packed *list, const void *data, size_t bytes);
bool mn_packed_get(const uint8_t **at, const uint8_t *end, uint32_t *value);

typedef struct mn_postings {
    uint32_t *units, *counts, *first_places; /* [n]; places of unit i: places[first_places[i]] ... */
    uint32_t *places;
    uint32_t n, n_places;
    size_t capacity; /* of each of the four */
} mn_postings;

/* Unpacks a list that may be damaged: units at or beyond n_units, or bytes that break off, are MN_ERR_FORMAT. The
 * caller releases *out. */
mn_status mn_postings_unpack(const uint8_t *data, size_t bytes, uint32_t n_units, mn_postings *out, mn_error *err);
/* The same behind what is in *out, whose units are smaller; after an error *out is released. */
mn_status mn_postings_append(const uint8_t *data, size_t bytes, uint32_t n_units, mn_postings *out, mn_error *err);
void mn_postings_release(mn_postings *postings);

/* Steps through a packed set of numbers below `limit`; false at its end, and before what is damaged. */
typedef struct mn_packed_walk {
    const uint8_t *at, *end;
    uint32_t next, limit;
} mn_packed_walk;
mn_packed_walk mn_packed_begin(const void *data, size_t bytes, uint32_t limit);
bool mn_packed_next(mn_packed_walk *walk, uint32_t *number);

#endif
