#include "kernels/amx.h"
#include "kernels/peak.h"

/* Two by two sums, as products of matrices have them. */
static void begin(void) {
    mn_amx_enter_whole();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
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
