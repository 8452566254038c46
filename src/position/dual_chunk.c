/* Dual Chunk Attention, An et al. 2024 (arXiv:2402.17463), sec. 3: the text is cut into chunks of C - L tokens, keys
 * count from the start of their chunk, and the query takes three positions: its own for keys of its chunk; for the
 * chunk before, that plus a chunk, so that neighbours across the border keep their distance, but at most C; and C for
 * all earlier ones. No distance exceeds C whatever the length.
 *
 * The paper's formulas stop at C - 1; the released code and the engines that run models made for it stop at C, as here.
 */
#include "position/posmap.h"

#include "base/checked.h"

enum { INTRA, SUCCESSIVE, INTER };

/* The released code's: C three quarters of the trained window, L an eighth. */
static void defaults(mn_posmap *map, int64_t original_ctx) {
    map->a = original_ctx / 4 * 3;
    map->b = original_ctx / 8;
}

static const char *wrong(const mn_posmap *map) {
    return map->b >= map->a ? "the chunk C must be longer than its local part L" : NULL;
}

static mn_posmap_range at(const mn_posmap *map, int range, int64_t i) {
    int64_t length = map->a - map->b, offset = i % length, start = i - offset, before = MN_MAX(0, start - length);
    switch (range) {
    case INTRA: return (mn_posmap_range){.q_position = offset, .key_begin = start, .key_end = i + 1};
    case SUCCESSIVE:
        return (mn_posmap_range){.q_position = MN_MIN(offset + length, map->a), .key_begin = before, .key_end = start};
    default: return (mn_posmap_range){.q_position = MN_MIN(2 * length - 1, map->a), .key_end = before};
    }
}

static int64_t key(const mn_posmap *map, int plane, int64_t j) {
    (void)plane;
    return j % (map->a - map->b);
}

static int64_t reach(const mn_posmap *map, int64_t original_ctx) {
    return map->a <= original_ctx ? INT64_MAX : original_ctx;
}

const mn_posmap_scheme mn_posmap_dual_chunk = {
    .name = "dca",
    .usage = "dca:C,L",
    .about = {.name = "Dual Chunk Attention",
              .paper = "An et al. 2024 (arXiv:2402.17463)",
              .flag = "--pos dca:C,L",
              .file = "src/position/dual_chunk.c",
              .test = "tests/position/posmap_test.c"},
    .n_ranges = 3,
    .n_planes = 1,
    .defaults = defaults,
    .wrong = wrong,
    .at = at,
    .key = key,
    .reach = reach,
};
