/* Decode: few rows and many keys, so the keys are split: every range of every KV head of every sequence is an item. */
#include "attention/decode.h"

#include "attention/listed.h"
#include "attention/tile.h"
#include "base/checked.h"
#include "kernels/kernels.h"

/* Ranges are handed out several at a time: what is asked for at the end of one is the beginning of the next. */
enum { RUNS_PER_THREAD = 8 };

/* One sequence's share of the work: ranges [first_range, first_range + n_ranges) for each of its heads. These are KV
 * heads, with all rows that share them, or query heads that walk a list each, whose ranges are of listed keys. */
typedef struct sequence {
    const mn_attend *a;
    mn_arithmetic by;
    bool by_head; /* query heads */
    int64_t first_range, n_ranges, end_key;
    int64_t n_heads;
    int64_t first_item;    /* of all items: one per (head, range) */
    int64_t first_head;    /* of all (sequence, head) pairs */
    int64_t n_rows;        /* of one head */
    size_t partial_floats; /* of one item */
    float *partials;       /* [n_heads, n_ranges] softmaxes */
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

static mn_row_tile tile_of(const decode *d, const sequence *s, int64_t head, int thread_index) {
    char *scratch = d->scratch + (size_t)thread_index * d->thread_bytes;
    if (s->by_head) return mn_head_tile_init(s->a, s->by, (int)head, scratch);
    return mn_row_tile_init(s->a, s->by, (int)head, 0, (int)s->a->n_rows, scratch);
}

static void run_ranges(void *arg, int64_t begin, int64_t end, int thread_index) {
    const decode *d = arg;
    const sequence *s = d->sequences;
    for (int64_t item = begin; item < end; item++) {
        while (item >= s->first_item + s->n_heads * s->n_ranges) s++;
        int64_t head = (item - s->first_item) / s->n_ranges, range = (item - s->first_item) % s->n_ranges;
        mn_row_tile tile = tile_of(d, s, head, thread_index);
        mn_softmax_rows part = mn_softmax_view(partial_of(s, head, range), s->n_rows, tile.v_pad);
        mn_softmax_clear(part, s->n_rows, tile.v_pad);
        int64_t first_key = (s->first_range + range) * MN_RANGE_KEYS;
        int64_t end_key = MN_MIN(first_key + MN_RANGE_KEYS, s->end_key);
        (s->by_head ? mn_absorb_listed_nth : mn_row_tile_absorb)(&tile, part, first_key, end_key);
    }
}

/* The first range's partial becomes the total of its head, unless earlier calls left one. */
static void run_merges(void *arg, int64_t begin, int64_t end, int thread_index) {
    const decode *d = arg;
    const sequence *s = d->sequences;
    for (int64_t item = begin; item < end; item++) {
        while (item >= s->first_head + s->n_heads) s++;
        int64_t head = item - s->first_head;
        mn_row_tile tile = tile_of(d, s, head, thread_index);
        mn_softmax_rows total = mn_softmax_view(partial_of(s, head, 0), s->n_rows, tile.v_pad);
        if (s->a->sums)
            total = mn_softmax_skip(mn_attend_sums_of(s->a, tile.kv_head),
                                    tile.first_head % (s->a->n_heads / s->a->kv.n_kv_heads), tile.v_pad);
        for (int64_t range = s->a->sums ? 0 : 1; range < s->n_ranges; range++)
            s->by.ops->merge(total, mn_softmax_view(partial_of(s, head, range), s->n_rows, tile.v_pad), s->n_rows,
                             tile.v_pad);
        mn_row_tile_write(&tile, total);
    }
}

/* Lays out a sequence's work behind that of those before it. false when scratch memory ends. */
static bool plan_sequence(decode *d, const mn_compute *c, const mn_attend *a, int64_t first_item, int64_t first_head) {
    sequence *s = &d->sequences[d->n_sequences++];
    *s = (sequence){.a = a, .first_item = first_item, .first_head = first_head};
    s->by = mn_choose_arithmetic(&c->kernels->attend, c->exact, a, a->n_rows);
    s->by_head = mn_walks_by_head(a, s->by);
    s->n_heads = s->by_head ? a->n_heads : a->kv.n_kv_heads;
    mn_key_range keys = mn_row_tile_range(a, 0, a->n_rows);
    if (s->by_head && !mn_pool_is_dry(c->pool)) keys = (mn_key_range){0, mn_listed_keys(a)};
    s->end_key = keys.end;
    s->first_range = keys.begin / MN_RANGE_KEYS;
    s->n_ranges = MN_MAX(1, (keys.end + MN_RANGE_KEYS - 1) / MN_RANGE_KEYS - s->first_range);
    s->n_rows = a->n_rows * a->n_heads / s->n_heads;
    s->partial_floats = (mn_softmax_floats(s->n_rows, mn_attend_pad(a->kv.v_dim)) + 15) & ~(size_t)15;
    s->partials =
        mn_arena_alloc(c->scratch, (size_t)(s->n_heads * s->n_ranges), s->partial_floats * sizeof *s->partials);
    d->thread_bytes = MN_MAX(d->thread_bytes, mn_row_tile_bytes(a, s->by, s->n_rows));
    return s->partials;
}

/* Lays out the work of all sequences; returns the items, or -1 when scratch memory ends. */
static int64_t plan(decode *d, const mn_compute *c, const mn_attend *batch, int n_batch, int64_t *n_heads) {
    int64_t n_items = 0;
    for (int i = 0; i < n_batch; i++) {
        if (batch[i].n_rows == 0) continue;
        if (!plan_sequence(d, c, &batch[i], n_items, *n_heads)) return -1;
        const sequence *s = &d->sequences[d->n_sequences - 1];
        n_items += s->n_heads * s->n_ranges;
        *n_heads += s->n_heads;
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
