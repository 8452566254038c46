/* Position maps by name. */
#include "position/posmap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const mn_posmap_scheme *const schemes[] = {&mn_posmap_self_extend, &mn_posmap_dual_chunk, &mn_posmap_string,
                                                  &mn_posmap_streaming};
enum { N_SCHEMES = sizeof schemes / sizeof *schemes };

const mn_posmap_scheme *mn_posmap_scheme_at(int index) {
    return index >= 0 && index < N_SCHEMES ? schemes[index] : NULL;
}

static const mn_posmap_scheme *find(const char *name, size_t bytes) {
    for (int i = 0; i < N_SCHEMES; i++)
        if (strlen(schemes[i]->name) == bytes && !memcmp(schemes[i]->name, name, bytes)) return schemes[i];
    return NULL;
}

static bool read_pair(const char *text, int64_t *a, int64_t *b) {
    char *end;
    errno = 0;
    *a = strtoll(text, &end, 10);
    if (end == text || *end != ',') return false;
    text = end + 1;
    *b = strtoll(text, &end, 10);
    return end != text && !*end && !errno && *a >= 0 && *b >= 0 && *a <= INT32_MAX && *b <= INT32_MAX;
}

mn_status mn_posmap_parse(const char *text, int64_t original_ctx, mn_posmap *out, mn_error *err) {
    size_t bytes = strcspn(text, ":");
    const mn_posmap_scheme *s = find(text, bytes);
    if (!s)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "\"%s\" is no position map: there are self-extend:G,W, dca:C,L, string:S,W and sinks:S,W.",
                       text);
    *out = (mn_posmap){.scheme = s, .n_ranges = s->n_ranges, .n_planes = s->n_planes};
    if (!text[bytes])
        s->defaults(out, original_ctx);
    else if (!read_pair(text + bytes + 1, &out->a, &out->b))
        return mn_fail(err, MN_ERR_ARGUMENT, "\"%s\" is not %s with two whole numbers up to %d.", text, s->usage,
                       INT32_MAX);
    const char *wrong = s->wrong(out);
    if (wrong)
        return mn_fail(err, MN_ERR_ARGUMENT, "%s with %lld and %lld: %s.", s->usage, (long long)out->a,
                       (long long)out->b, wrong);
    return MN_OK;
}

mn_posmap_range mn_posmap_at(const mn_posmap *map, int range, int64_t i) { return map->scheme->at(map, range, i); }

int mn_posmap_plane(const mn_posmap *map, int range) { return range % map->n_planes; }

int64_t mn_posmap_key(const mn_posmap *map, int plane, int64_t j) { return map->scheme->key(map, plane, j); }

int64_t mn_posmap_reach(const mn_posmap *map, int64_t original_ctx) { return map->scheme->reach(map, original_ctx); }
