/* AMX: eight tiles of 16 rows by 64 bytes in each thread, and products of tiles. What the files of this level share.
 *
 * The shapes of the tiles are state of the thread: set up before the first use, and given back after the last, because
 * the operating system saves tiles in use at every switch. Setting up costs a quarter of a microsecond. Shapes: C is
 * [rows, 16] sums; A [rows, k] is multiplied by B, k / n by 16 groups of n elements (2 of bf16, 4 bytes).
 */
#ifndef MN_KERNELS_AMX_H
#define MN_KERNELS_AMX_H

#include <immintrin.h>
#include <stdint.h>

typedef struct mn_amx_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} mn_amx_shapes;

_Static_assert(sizeof(mn_amx_shapes) == 64, "what ldtilecfg reads");

enum { MN_AMX_ROWS = 16 };

/* All tiles whole: 16 rows of 64 bytes. */
static inline void mn_amx_enter_whole(void) {
    static const mn_amx_shapes shapes = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, 16, 16},
    };
    _tile_loadconfig(&shapes);
}

static inline void mn_amx_leave(void) { _tile_release(); }

#endif
