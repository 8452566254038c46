/* Position maps: schemes in which the distance between two tokens is not simply i - j, so that one rotation of the
 * query is not enough. Self-Extend, Dual Chunk Attention, STRING, and StreamingLLM's positions within the cache.
 *
 * The keys of query i fall into at most MN_POSMAP_RANGES ranges. In each range the query takes one position of its own,
 * and a key takes the position of the range's plane: the rotation score then depends on
 *     range.q_position - mn_posmap_key(map, plane, j).
 * Attention runs once per range, with q rotated by q_position, over keys [key_begin, key_end) of that plane, and the
 * results are merged by their log-sum-exp; the ranges cover [0, i] without overlap (streaming: what is kept of it), so
 * that no key is read twice. All maps but Self-Extend have one plane: their cache of rotated keys is an ordinary one.
 */
#ifndef MN_POSITION_POSMAP_H
#define MN_POSITION_POSMAP_H

#include "base/status.h"
#include "base/technique.h"

#include <stdint.h>

enum { MN_POSMAP_RANGES = 3, MN_POSMAP_PLANES = 2 };

typedef struct mn_posmap_scheme mn_posmap_scheme;

typedef struct mn_posmap {
    const mn_posmap_scheme *scheme;
    int64_t a, b; /* as written: "self-extend:A,B" */
    int n_ranges; /* 2 or 3; the same for all queries, though a range may be empty */
    int n_planes; /* rotated copies of a key that are read: 1, Self-Extend 2 */
} mn_posmap;

typedef struct mn_posmap_range {
    int64_t q_position;
    int64_t key_begin, key_end; /* 0 <= begin <= end <= i + 1 */
} mn_posmap_range;

/* Reads "self-extend:G,W", "dca:C,L", "string:S,W" or "sinks:S,W". A bare name takes the paper's defaults for a window
 * of original_ctx trained tokens. Errors name what is known, and the limit that a number breaks. */
mn_status mn_posmap_parse(const char *text, int64_t original_ctx, mn_posmap *out, mn_error *err);
/* The index-th scheme of the registry, NULL behind the last. */
const mn_posmap_scheme *mn_posmap_scheme_at(int index);
/* A range of query i, of n_ranges. Its keys are those of plane mn_posmap_plane(map, range). */
mn_posmap_range mn_posmap_at(const mn_posmap *map, int range, int64_t i);
int mn_posmap_plane(const mn_posmap *map, int range);
/* The position of key j in a plane: the position it is rotated by before it is cached. */
int64_t mn_posmap_key(const mn_posmap *map, int plane, int64_t j);
/* The longest text in which no distance reaches original_ctx, the trained window; INT64_MAX = any. */
int64_t mn_posmap_reach(const mn_posmap *map, int64_t original_ctx);

/* One scheme, for posmap.c: a row of its registry. */
struct mn_posmap_scheme {
    const char *name, *usage; /* "dca", "dca:C,L" */
    mn_technique about;
    int n_ranges, n_planes;
    void (*defaults)(mn_posmap *map, int64_t original_ctx);
    const char *(*wrong)(const mn_posmap *map); /* what is wrong with the numbers, or NULL */
    mn_posmap_range (*at)(const mn_posmap *map, int range, int64_t i);
    int64_t (*key)(const mn_posmap *map, int plane, int64_t j);
    int64_t (*reach)(const mn_posmap *map, int64_t original_ctx);
};
extern const mn_posmap_scheme mn_posmap_self_extend, mn_posmap_dual_chunk, mn_posmap_string, mn_posmap_streaming;

#endif
