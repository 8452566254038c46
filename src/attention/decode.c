/* Decode: few rows and many keys, so the keys are split: every range of every KV head of every sequence is an item. */
#include "attention/decode.h"

#include "attention/tile.h"
#include "base/checked.h"
#include "kernels/kernels.h"

/* Ranges are handed out several at a time: what is asked for at the end of one is the beginning of the next. */
enum { RUNS_PER_THREAD = 8 };

/* One sequence's share of the work: ranges [first_range, first_range + n_ranges) for each of its KV heads. */
typedef struct sequence {
    const mn_attend *a;
    mn_arithmetic by;
    int64_t first_range, n_ranges;
    int64_t first_item;    /* of all items: one per (KV head, range) */
    int64_t first_head;    /* of all (sequence, KV head) pairs */
    int64_t n_rows;        /* of one KV head: tokens times group */
    size_t partial_floats; /* of one item */
    float *partials;       /* [n_kv_heads, n_ranges] softmaxes */
} sequence;

typedef struct decode {
    sequence *sequences;
    int n_sequences;
    size_t thread_bytes;
    char *scratch;
} decode;

static float *partial_of(const sequence *s, int64_t head, int64_t range) {
    return s->partials + (size_t)(head * s->n_ranges + range) * s->partial_floats;
}

static void run_ranges(void *arg, int64_t begin, int64_t end, int thread_index) {
    const decode *d = arg;
    const sequence *s = d->sequences;
    for (int64_t item = begin; item < end; item++) {
        while (item >= s->first_item + s->a->kv.n_kv_heads * s->n_ranges) s++;
        int64_t head = (item - s->first_item) / s->n_ranges, range = (item - s->first_item) % s->n_ranges;
        mn_row_tile tile = mn_row_tile_init(s->a, s->by, (int)head, 0, (int)s->a->n_rows,
                                            d->scratch + (size_t)thread_index * d->thread_bytes);
        mn_softmax_rows part = mn_softmax_view(partial_of(s, head, range), s->n_rows, tile.v_pad);
        mn_softmax_clear(part, s->n_rows, tile.v_pad);
        int64_t first_key = (s->first_range + range) * MN_RANGE_KEYS;
        int64_t last_key = mn_row_tile_range(s->a, 0, s->a->n_rows).end;
        mn_row_tile_absorb(&tile, part, first_key, MN_MIN(first_key + MN_RANGE_KEYS, last_key));
    }
}

/* The first range's partial becomes the total of its head, unless earlier calls left one. */
static void run_merges(void *arg, int64_t begin, int64_t end, int thread_index) {
    const decode *d = arg;
    const sequence *s = d->sequences;
    for (int64_t item = begin; item < end; item++) {
        while (item >= s->first_head + s->a->kv.n_kv_heads) s++;
        int64_t head = item - s->first_head;
        mn_row_tile tile = mn_row_tile_init(s->a, s->by, (int)head, 0, (int)s->a->n_rows,
                                            d->scratch + (size_t)thread_index * d->thread_bytes);
        mn_softmax_rows total = mn_softmax_view(partial_of(s, head, 0), s->n_rows, tile.v_pad);
        if (s->a->sums) total = mn_attend_sums_of(s->a, (int)head);
        for (int64_t range = s->a->sums ? 0 : 1; range < s->n_ranges; range++)
            s->by.ops->merge(total, mn_softmax_view(partial_of(s, head, range), s->n_rows, tile.v_pad), s->n_rows,
                             tile.v_pad);
        mn_row_tile_write(&tile, total);
    }
}

/* Lays out the work of all sequences; returns the items, or -1 when scratch memory ends. */
static int64_t plan(decode *d, const mn_compute *c, const mn_attend *batch, int n_batch, int64_t *n_heads) {
    int64_t n_items = 0;
    for (int i = 0; i < n_batch; i++) {
        const mn_attend *a = &batch[i];
        if (a->n_rows == 0) continue;
        sequence *s = &d->sequences[d->n_sequences++];
        mn_key_range keys = mn_row_tile_range(a, 0, a->n_rows);
        *s = (sequence){.a = a, .first_item = n_items, .first_head = *n_heads};
        s->by = mn_choose_arithmetic(&c->kernels->attend, c->exact, a, a->n_rows);
        s->first_range = keys.begin / MN_RANGE_KEYS;
        s->n_ranges = MN_MAX(1, (keys.end + MN_RANGE_KEYS - 1) / MN_RANGE_KEYS - s->first_range);
        s->n_rows = a->n_rows * (a->n_heads / a->kv.n_kv_heads);
        s->partial_floats = (mn_softmax_floats(s->n_rows, mn_attend_pad(a->kv.v_dim)) + 15) & ~(size_t)15;
        int64_t items = a->kv.n_kv_heads * s->n_ranges;
        s->partials = mn_arena_alloc(c->scratch, (size_t)items, s->partial_floats * sizeof(float));
        if (!s->partials) return -1;
        d->thread_bytes = MN_MAX(d->thread_bytes, mn_row_tile_bytes(a, s->by, s->n_rows));
        n_items += items;
        *n_heads += a->kv.n_kv_heads;
    }
    return n_items;
}

mn_status mn_decode(const mn_compute *c, const mn_attend *batch, int n_batch, mn_error *err) {
    for (int i = 0; i < n_batch; i++) MN_TRY(mn_attend_check(&batch[i], err));
    int n_threads = mn_pool_threads(c->pool);
    decode d = {0};
    mn_arena_mark mark = mn_arena_get_mark(c->scratch);
    int64_t n_items = -1, n_heads = 0;
    d.sequences = mn_arena_alloc(c->scratch, (size_t)n_batch, sizeof *d.sequences);
    if (d.sequences) n_items = plan(&d, c, batch, n_batch, &n_heads);
    if (n_items >= 0) d.scratch = mn_arena_alloc(c->scratch, (size_t)n_threads, d.thread_bytes);
    if (d.scratch) {
        mn_pool_run(c->pool, n_items, MN_MAX(1, n_items / (RUNS_PER_THREAD * n_threads)), run_ranges, &d);
        mn_pool_run(c->pool, n_heads, 1, run_merges, &d);
    }
    mn_arena_rewind(c->scratch, mark);
    if (!d.scratch) return mn_fail(err, MN_ERR_MEMORY, "memory has ended while splitting %d sequences.", n_batch);
    return MN_OK;
}

const mn_technique mn_decode_about = {
    .name = "split-KV decoding (decode)",
    .paper = "Dao et al. 2023, Flash-Decoding",
    .file = "src/attention/decode.c",
    .test = "tests/attention/decode_test.c",
    .exact = true,
};
