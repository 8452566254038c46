/* StreamingLLM, Xiao et al. 2023 (arXiv:2309.17453), sec. 3.2: the first S keys (the attention sinks) and the last W
 * stay, and positions are counted within what is kept, not in the text. Between query and recent keys that changes
 * nothing; only the sinks come closer: the query stands S + W - 1 tokens after the first, however long the text.
 */
#include "position/posmap.h"

#include "base/checked.h"

static void defaults(mn_posmap *map, int64_t original_ctx) {
    map->a = 4;
    map->b = MN_MAX(1, original_ctx - 4);
}

static const char *wrong(const mn_posmap *map) {
    return map->b < 1 ? "the window W must hold 1 token or more, the query's own" : NULL;
}

static mn_posmap_range at(const mn_posmap *map, int range, int64_t i) {
    int64_t s = map->a, w = map->b, recent = MN_MAX(MN_MIN(s, i + 1), i + 1 - w);
    if (range == 0) return (mn_posmap_range){.q_position = i, .key_begin = recent, .key_end = i + 1};
    return (mn_posmap_range){.q_position = MN_MIN(i, s + w - 1), .key_end = MN_MIN(s, i + 1)};
}

static int64_t key(const mn_posmap *map, int plane, int64_t j) {
    (void)map, (void)plane;
    return j;
}

static int64_t reach(const mn_posmap *map, int64_t original_ctx) {
    return map->a + map->b <= original_ctx ? INT64_MAX : original_ctx;
}

const mn_posmap_scheme mn_posmap_streaming = {
    .name = "sinks",
    .usage = "sinks:S,W",
    .about = {.name = "positions within the cache",
              .paper = "Xiao et al. 2023 (arXiv:2309.17453)",
              .flag = "--attn sinks:S,W",
              .file = "src/position/streaming.c",
              .test = "tests/position/posmap_test.c"},
    .n_ranges = 2,
    .n_planes = 1,
    .defaults = defaults,
    .wrong = wrong,
    .at = at,
    .key = key,
    .reach = reach,
};
