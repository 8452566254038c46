/* STRING, An et al. 2024 (arXiv:2410.18745), sec. 4: long distances are the ones a model has seen least often in
 * training. Without training, keys at a distance of S or more are moved S - W closer, into distances it knows well:
 *     i - j < S: i - j          else: i - j - S + W.
 * It makes better use of the window there is rather than a longer one.
 */
#include "position/posmap.h"

#include "base/checked.h"

static void defaults(mn_posmap *map, int64_t original_ctx) {
    map->a = MN_MAX(1, original_ctx / 3);
    map->b = MN_MIN(128, map->a);
}

static const char *wrong(const mn_posmap *map) {
    return map->a < 1 || map->b > map->a ? "the shift S must be 1 or more, and the exact window W at most S" : NULL;
}

static mn_posmap_range at(const mn_posmap *map, int range, int64_t i) {
    int64_t far_end = MN_MAX(0, i + 1 - map->a);
    if (range == 0) return (mn_posmap_range){.q_position = i, .key_begin = far_end, .key_end = i + 1};
    return (mn_posmap_range){.q_position = MN_MAX(0, i - map->a + map->b), .key_end = far_end};
}

static int64_t key(const mn_posmap *map, int plane, int64_t j) {
    (void)map, (void)plane;
    return j;
}

static int64_t reach(const mn_posmap *map, int64_t original_ctx) { return original_ctx + map->a - map->b; }

const mn_posmap_scheme mn_posmap_string = {
    .name = "string",
    .usage = "string:S,W",
    .about = {.name = "STRING",
              .paper = "An et al. 2024 (arXiv:2410.18745)",
              .flag = "--pos string:S,W",
              .file = "src/position/string.c",
              .test = "tests/position/posmap_test.c"},
    .n_ranges = 2,
    .n_planes = 1,
    .defaults = defaults,
    .wrong = wrong,
    .at = at,
    .key = key,
    .reach = reach,
};
