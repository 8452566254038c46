/* Self-Extend, Jin et al. 2024 (arXiv:2401.01325), sec. 3: without training, the W nearest keys keep their exact
 * distance, and all farther ones are counted in groups of G tokens:
 *     floor(i / G) + W - floor(W / G) - floor(j / G),
 * so that a model of window L0 reads (L0 - W) G + W tokens. Grouping changes the keys too: they are wanted in two
 * rotations, plane 0 exact, plane 1 grouped.
 */
#include "position/posmap.h"

#include "base/checked.h"

static void defaults(mn_posmap *map, int64_t original_ctx) {
    map->a = 8;
    map->b = MN_MIN(1024, MN_MAX(1, original_ctx / 4)); /* the paper's 1024, and less for small windows */
}

static const char *wrong(const mn_posmap *map) {
    return map->a < 1 || map->b < 1 ? "the group G and the window W of exact positions must be 1 or more" : NULL;
}

static mn_posmap_range at(const mn_posmap *map, int range, int64_t i) {
    int64_t g = map->a, w = map->b, near = MN_MAX(0, i + 1 - w);
    if (range == 0) return (mn_posmap_range){.q_position = i, .key_begin = near, .key_end = i + 1};
    return (mn_posmap_range){.q_position = i / g + w - w / g, .key_end = near};
}

static int64_t key(const mn_posmap *map, int plane, int64_t j) { return plane == 0 ? j : j / map->a; }

static int64_t reach(const mn_posmap *map, int64_t original_ctx) {
    int64_t g = map->a, w = map->b;
    return w >= original_ctx ? original_ctx : (original_ctx - w + w / g) * g;
}

const mn_posmap_scheme mn_posmap_self_extend = {
    .name = "self-extend",
    .usage = "self-extend:G,W",
    .about = {.name = "Self-Extend",
              .paper = "Jin et al. 2024 (arXiv:2401.01325)",
              .flag = "--pos self-extend:G,W",
              .file = "src/position/self_extend.c",
              .test = "tests/position/posmap_test.c"},
    .n_ranges = 2,
    .n_planes = 2,
    .defaults = defaults,
    .wrong = wrong,
    .at = at,
    .key = key,
    .reach = reach,
};
