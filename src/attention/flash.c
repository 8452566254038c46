/* Prefill: tiles of query rows, each walking its keys from the first to the last (FlashAttention-2's loop order). */
#include "attention/flash.h"

#include "attention/tile.h"
#include "base/checked.h"
#include "kernels/kernels.h"

enum { MIN_TILES_PER_THREAD = 4, MIN_TILE_TOKENS = 16 };

typedef struct flash {
    const mn_attend *a;
    mn_arithmetic by;
    int64_t tile_tokens, n_row_tiles;
    size_t tile_bytes, thread_bytes;
    char *scratch; /* thread_bytes per thread */
} flash;

/* As many tokens as fit row_tile_bytes and half of the second-level cache, fewer where threads would be left without
 * work. Results do not depend on it. */
static int64_t choose_tile_tokens(const mn_attend *a, mn_arithmetic by, size_t l2_bytes, int n_threads) {
    int64_t group = a->n_heads / a->kv.n_kv_heads;
    int64_t row_bytes = mn_attend_pad(a->kv.k_dim) * by.ops->operand_bytes + mn_attend_pad(a->kv.v_dim) * 4;
    int64_t fit = MN_MAX((int64_t)MN_MIN(by.ops->row_tile_bytes, l2_bytes / 2) / row_bytes / group, 1);
    int64_t share = a->n_rows * a->kv.n_kv_heads / (MIN_TILES_PER_THREAD * (int64_t)n_threads);
    return MN_MIN(MN_MIN(fit, a->n_rows), MN_MAX(share, MIN_TILE_TOKENS));
}

/* Later rows see more keys: they are handed out first, so that no thread ends alone with a long one. */
static void run_tiles(void *arg, int64_t begin, int64_t end, int thread_index) {
    const flash *f = arg;
    const mn_attend *a = f->a;
    char *scratch = f->scratch + (size_t)thread_index * f->thread_bytes;
    for (int64_t item = begin; item < end; item++) {
        int64_t first_row = (f->n_row_tiles - 1 - item / a->kv.n_kv_heads) * f->tile_tokens;
        int n_tokens = (int)MN_MIN(f->tile_tokens, a->n_rows - first_row);
        mn_row_tile tile = mn_row_tile_init(a, f->by, (int)(item % a->kv.n_kv_heads), first_row, n_tokens, scratch);
        int64_t n_rows = (int64_t)n_tokens * tile.group;
        float *sums = (float *)(void *)(scratch + f->tile_bytes);
        mn_softmax_rows total = mn_softmax_view(sums, n_rows, tile.v_pad);
        mn_softmax_rows part = mn_softmax_view(sums + mn_softmax_floats(n_rows, tile.v_pad), n_rows, tile.v_pad);
        if (a->sums)
            total = mn_softmax_skip(mn_attend_sums_of(a, tile.kv_head), first_row * tile.group, tile.v_pad);
        else
            mn_softmax_clear(total, n_rows, tile.v_pad);
        mn_key_range keys = mn_row_tile_range(a, first_row, n_tokens);
        for (int64_t range = keys.begin / MN_RANGE_KEYS; range * MN_RANGE_KEYS < keys.end; range++) {
            mn_softmax_clear(part, n_rows, tile.v_pad);
            mn_row_tile_absorb(&tile, part, range * MN_RANGE_KEYS, MN_MIN((range + 1) * MN_RANGE_KEYS, keys.end));
            f->by.ops->merge(total, part, n_rows, tile.v_pad);
        }
        mn_row_tile_write(&tile, total);
    }
}

mn_status mn_flash(const mn_compute *c, const mn_attend *a, mn_error *err) {
    MN_TRY(mn_attend_check(a, err));
    if (a->n_rows == 0) return MN_OK;
    int n_threads = mn_pool_threads(c->pool);
    flash f = {.a = a, .by = {.ops = c->exact ? &c->kernels->attend.f32 : &c->kernels->attend.fast}};
    f.tile_tokens = choose_tile_tokens(a, f.by, c->kernels->l2_bytes, n_threads);
    f.n_row_tiles = (a->n_rows + f.tile_tokens - 1) / f.tile_tokens;
    int64_t n_rows = f.tile_tokens * (a->n_heads / a->kv.n_kv_heads);
    f.tile_bytes = mn_row_tile_bytes(a, f.by, n_rows);
    f.thread_bytes = f.tile_bytes + 2 * mn_softmax_floats(n_rows, mn_attend_pad(a->kv.v_dim)) * sizeof(float);
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    f.scratch = mn_arena_alloc(c->scratch, (size_t)n_threads, f.thread_bytes);
    if (!f.scratch)
        return mn_fail(err, MN_ERR_MEMORY, "attention needs %zu bytes for each of %d threads, and memory has ended.",
                       f.thread_bytes, n_threads);
    mn_pool_run(c->pool, f.n_row_tiles * a->kv.n_kv_heads, 1, run_tiles, &f);
    mn_arena_rewind(c->scratch, mark);
    return MN_OK;
}

const mn_technique mn_flash_about = {
    .name = "flash attention (prefill)",
    .paper = "Dao 2023 (arXiv:2307.08691)",
    .file = "src/attention/flash.c",
    .test = "tests/attention/flash_test.c",
    .exact = true,
};
