#include "kernels/amx.h"
#include "bench/peak.h"

/* Tiles of zeros would take four cycles of five: what the multipliers have to do decides how fast they are let run.
 * These are numbers of both signs between 1 and 2, or bytes of all sizes. */
static void fill(uint16_t *tiles, int n) {
    uint32_t state = 1;
    for (int i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        tiles[i] = (uint16_t)(0x3f80 | (state >> 24 & 0x7f) | (state >> 16 & 0x8000));
    }
}

/* Two by two sums, as products of matrices have them. */
static void begin(void) {
    uint16_t tiles[4][512] __attribute__((aligned(64)));
    fill(tiles[0], 4 * 512);
    mn_amx_enter_whole();
    __asm__ volatile("" ::: "memory");
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, tiles[0], 64);
    _tile_loadd(5, tiles[1], 64);
    _tile_loadd(6, tiles[2], 64);
    _tile_loadd(7, tiles[3], 64);
}

static void end(float *sink) {
    float rows[16][16];
    _tile_stored(3, rows, sizeof rows[0]);
    mn_amx_leave();
    *sink += rows[0][0];
}

double mn_peak_bf16_amx(int64_t n_steps, float *sink) {
    begin();
    for (int64_t i = 0; i < n_steps; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    end(sink);
    return 2.0 * 4 * 16 * 16 * 32 * (double)n_steps;
}

double mn_peak_int8_amx(int64_t n_steps, float *sink) {
    begin();
    for (int64_t i = 0; i < n_steps; i++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    end(sink);
    return 2.0 * 4 * 16 * 16 * 64 * (double)n_steps;
}
