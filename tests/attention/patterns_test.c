/* attention/patterns: the lists and fields that kernels execute, against the definition of each pattern to the token.
 */
#include "support/support.h"

#include <string.h>

#include "attention/patterns/pattern.h"

static mn_pattern pattern_of(const char *text) {
    mn_pattern p;
    mn_error err;
    assert_ok(mn_pattern_parse(text, &p, &err), err);
    return p;
}

static const char *const all[] = {
    "full",
    "causal",
    "window:1",
    "window:37",
    "window:64",
    "window:200",
    "global:1",
    "global:64",
    "global:100",
    "random:1,3",
    "random:3,9",
    "bigbird:16,3,2,3",
    "bigbird:32,1,0,2",
    "bigbird:64,5,3,0",
    "longformer:64,0",
    "longformer:10,70,3",
    "longformer:0,1",
    "sinks:4,30",
    "sinks:0,64",
    "sinks-abs:65,1",
    "sinks-abs:4,128",
    "shifted-sparse:32",
    "shifted-sparse:96",
    "shifted-sparse:256",
    "infini:1",
    "infini:70",
    "infini:128,delta-exact,0.5",
};
enum { N_ALL = sizeof all / sizeof *all };

static bool listed(const mn_block_list *lists, int64_t i, int64_t j) {
    int64_t q = i / lists->block_tokens - lists->first_query_block;
    assert_true(q >= 0 && q < lists->n_query_blocks);
    for (int64_t n = lists->offsets[q]; n < lists->offsets[q + 1]; n++)
        if (lists->blocks[n] == j / lists->block_tokens) return true;
    return false;
}

/* The rule in attention.h, word for word. */
static bool call_sees(const mn_attend *a, int64_t i, int64_t j) {
    return j <= i && j < a->kv.n_tokens && (a->window == 0 || i - j < a->window || j < a->n_sinks) &&
           (a->segment == 0 || i / a->segment == j / a->segment) &&
           (a->dilation <= 1 || (i - j) % a->dilation == 0 || j < a->n_sinks) &&
           (!a->blocks || listed(a->blocks, i, j));
}

/* LongLoRA's groups to the token; in the shifted half the first half group is one by itself. */
static void shifted_groups_are_the_papers(void **state) {
    (void)state;
    const char *const texts[] = {"shifted-sparse:32", "shifted-sparse:96", "shifted-sparse:320"};
    for (int k = 0; k < 3; k++)
        for (int half = 0; half < 2; half++) {
            mn_pattern p = pattern_of(texts[k]);
            int64_t group = p.args[0], offset = half ? group / 2 : 0;
            p.shifted = half;
            for (int64_t i = 0; i < 400; i++)
                for (int64_t j = 0; j < 400; j++)
                    assert_int_equal(mn_pattern_sees(&p, 400, i, j),
                                     j <= i && (i + offset) / group == (j + offset) / group);
        }
    mn_pattern p;
    mn_error err;
    assert_int_equal(mn_pattern_parse("shifted-sparse:40", &p, &err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_pattern_parse("shifted-sparse:0", &p, &err), MN_ERR_ARGUMENT);
}

static void assert_ascending(const mn_block_list *lists) {
    for (int64_t q = 0; q < lists->n_query_blocks; q++)
        for (int64_t n = lists->offsets[q]; n < lists->offsets[q + 1]; n++) {
            assert_true(n == lists->offsets[q] || lists->blocks[n] > lists->blocks[n - 1]);
            assert_true(lists->blocks[n] >= 0 && lists->blocks[n] <= q + lists->first_query_block);
        }
}

static void calls_see_what_is_defined(void **state) {
    (void)state;
    const int64_t lengths[] = {1, 15, 64, 65, 200, 517};
    mn_arena arena = MN_ARENA_INIT;
    mn_compute compute = {.scratch = &arena};
    mn_error err;
    for (int k = 0; k < N_ALL; k++) { /* of two heads the first: the half that is not shifted */
        mn_pattern p = pattern_of(all[k]);
        for (int l = 0; l < 6; l++)
            for (int64_t first = 0; first < lengths[l]; first += first < 60 ? 59 : 131) {
                mn_attend a = {.first_token = first,
                               .n_rows = lengths[l] - first,
                               .kv.n_tokens = lengths[l],
                               .n_heads = 2,
                               .kv.n_kv_heads = 2};
                assert_ok(mn_pattern_apply(&p, &compute, 0, &a, &err), err);
                if (a.blocks) assert_ascending(a.blocks);
                for (int64_t i = first; i < lengths[l]; i += i % 7 + 1)
                    for (int64_t j = 0; j < lengths[l]; j++)
                        if (call_sees(&a, i, j) != mn_pattern_sees(&p, lengths[l], i, j))
                            fail_msg("%s: query %d, key %d of %d from %d: the call says %d", all[k], (int)i, (int)j,
                                     (int)lengths[l], (int)first, call_sees(&a, i, j));
                mn_arena_reset(&arena);
            }
    }
    mn_arena_release(&arena);
}

static void no_future_key_is_seen(void **state) {
    (void)state;
    for (int k = 0; k < N_ALL; k++) {
        mn_pattern p = pattern_of(all[k]);
        for (int64_t i = 0; i < 300; i += 3)
            for (int64_t j = i + 1; j < 300; j++) assert_false(mn_pattern_sees(&p, 300, i, j));
    }
}

/* A list holds every block of which something is seen and, for patterns that are exact to the token, no other. */
static void lists_are_tight(void **state) {
    (void)state;
    mn_arena arena = MN_ARENA_INIT;
    mn_error err;
    for (int k = 0; k < N_ALL; k++)
        for (int both = 0; both < 2; both++) {
            mn_pattern p = pattern_of(all[k]);
            p.bidirectional = both;
            mn_block_list lists;
            assert_ok(mn_pattern_blocks(&p, 0, 512, 512, &arena, &lists, &err), err);
            for (int64_t q = 0; q < 512 / p.block_tokens; q++)
                for (int64_t b = 0; b < 512 / p.block_tokens; b++) {
                    bool any = false;
                    for (int64_t n = 0; n < (int64_t)p.block_tokens * p.block_tokens; n++)
                        any |= mn_pattern_sees(&p, 512, q * p.block_tokens + n / p.block_tokens,
                                               b * p.block_tokens + n % p.block_tokens);
                    assert_int_equal(listed(&lists, q * p.block_tokens, b * p.block_tokens), any);
                }
        }
    mn_arena_release(&arena);
}

static void enough_budget_is_full(void **state) {
    (void)state;
    const char *enough[] = {"full",
                            "causal",
                            "window:500",
                            "global:500",
                            "random:7,1",
                            "sinks:250,250",
                            "bigbird:64,17,0,0",
                            "bigbird:16,1,40,0",
                            "bigbird:16,1,0,31",
                            "longformer:998,0"};
    for (int k = 0; k < 10; k++) {
        mn_pattern p = pattern_of(enough[k]);
        for (int64_t i = 0; i < 500; i += 3)
            for (int64_t j = 0; j <= i; j++) assert_true(mn_pattern_sees(&p, 500, i, j));
    }
}

static void assert_mask(const char *text, bool bidirectional, int n, const char *rows) {
    mn_pattern p = pattern_of(text);
    p.bidirectional = bidirectional;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            if (mn_pattern_sees(&p, n, i, j) != (rows[i * n + j] == 'x'))
                fail_msg("%s: query %d, key %d is not as drawn", text, i, j);
}

static void masks_are_as_drawn(void **state) {
    (void)state;
    assert_mask("window:2", false, 5,
                "x...."
                "xx..."
                ".xx.."
                "..xx."
                "...xx");
    assert_mask("global:2", true, 5,
                "xxxxx"
                "xxxxx"
                "xx..."
                "xx..."
                "xx...");
    assert_mask("global:2", false, 5,
                "x...."
                "xx..."
                "xx..."
                "xx..."
                "xx...");
    assert_mask("sinks:1,2", false, 5,
                "x...."
                "xx..."
                "xxx.."
                "x.xx."
                "x..xx");
    assert_mask("longformer:4,1,2", false, 7,
                "x......"
                "xx....."
                "x.x...."
                "xx.x..."
                "x.x.x.."
                "xx.x.x."
                "x.x.x.x");
    assert_mask("longformer:2,1,1", true, 5,
                "xxxxx"
                "xxx.."
                "xxxx."
                "x.xxx"
                "x..xx");
}

/* The blocks that query block q lists, as a set of bits. */
static uint64_t row_of(const mn_pattern *p, int64_t q, int64_t n_blocks) {
    uint64_t row = 0;
    for (int64_t b = 0; b < n_blocks; b++)
        row |= (uint64_t)mn_pattern_sees(p, n_blocks * p->block_tokens, q * p->block_tokens + p->block_tokens - 1,
                                         b * p->block_tokens)
               << b;
    return row;
}

/* Appendix D of the paper with w = 3, g = 2, r = 3 and 16 blocks: the first and the last block see and are seen by all,
 * the second and the last but one have a neighbour among the global ones, and all others keep 5 + r. */
static void bigbird_as_in_the_paper(void **state) {
    (void)state;
    mn_pattern p = pattern_of("bigbird");
    p.bidirectional = true;
    const uint64_t n = 16, every = (1u << n) - 1;
    assert_true(row_of(&p, 0, 16) == every && row_of(&p, 15, 16) == every);
    for (int q = 1; q < 15; q++) {
        uint64_t row = row_of(&p, q, 16), fixed = 1u | 1u << 15 | 7u << (q - 1);
        assert_int_equal(row & fixed, fixed);
        assert_int_equal(__builtin_popcountll(row), q == 1 || q == 14 ? 4 + 3 : 5 + 3);
    }
    p.bidirectional = false; /* two sinks, the block before, the own, three random ones among the earlier */
    for (int q = 0; q < 16; q++) {
        uint64_t row = row_of(&p, q, 16), fixed = q ? 3u | 3u << (q - 1) : 1;
        assert_int_equal(row & fixed, fixed);
        assert_int_equal(__builtin_popcountll(row), q < 7 ? q + 1 : 7);
    }
}

static void random_blocks_keep_their_seed(void **state) {
    (void)state;
    mn_pattern one = pattern_of("random:3,1"), again = pattern_of("random:3,1"), two = pattern_of("random:3,2");
    uint64_t seen = 0;
    int n_different = 0;
    for (int q = 0; q < 60; q++) {
        uint64_t row = row_of(&one, q, 60);
        assert_true(row == row_of(&again, q, 60) && row == row_of(&one, q, 64)); /* a longer text keeps its blocks */
        assert_int_equal(__builtin_popcountll(row), q < 3 ? q + 1 : 4);
        assert_true(row >> q == 1);
        n_different += row != row_of(&two, q, 60);
    }
    assert_true(n_different > 50);
    assert_int_equal(row_of(&one, 40, 60),
                     1 << 1 | 1 << 21 | UINT64_C(1) << 34 | UINT64_C(1) << 40); /* on any machine */
    one.bidirectional = true; /* 60 draws of 3 from 59 leave about 3 blocks out */
    for (int q = 0; q < 60; q++) seen |= row_of(&one, q, 60) & ~(UINT64_C(1) << q);
    assert_in_range(__builtin_popcountll(seen), 50, 60);
}

static void layers_take_their_patterns(void **state) {
    (void)state;
    mn_pattern layers[8];
    mn_error err;
    for (int i = 0; i < 8; i++) layers[i] = pattern_of("full");
    assert_ok(mn_pattern_parse_layers("0-1=sinks:4,512,3=bigbird:64,3,2,3,5-=window:4096", 8, layers, &err), err);
    const char *names[] = {"sinks", "sinks", "full", "bigbird", "full", "window", "window", "window"};
    for (int i = 0; i < 8; i++) assert_string_equal(layers[i].kind->name, names[i]);
    assert_true(layers[1].args[1] == 512 && layers[7].args[0] == 4096);
    const char *bad[] = {"",          "causal",         "0-8=causal", "3-1=causal", "0=",
                         "0=causal,", "0-1=window:4,x", "9=full",     "-1=full",    "99999999999999999999=full"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (mn_pattern_parse_layers(bad[i], 8, layers, &err) == MN_OK) fail_msg("\"%s\" was taken", bad[i]);
}

static void bad_patterns_are_refused(void **state) {
    (void)state;
    const char *bad[] = {"",
                         "windows:4",
                         "window",
                         "window:0",
                         "window:-3",
                         "window:4,5",
                         "window:",
                         "window:4x",
                         "window:9999999999",
                         "global:0",
                         "random:65,1",
                         "random:0,1",
                         "full:1",
                         "bigbird:60,3,2,3",
                         "bigbird:8,3,2,3",
                         "bigbird:64,2,2,3",
                         "longformer:3,0",
                         "longformer:4,0,0",
                         "sinks:4",
                         "sinks:4,0",
                         "linear:1",
                         "infini",
                         "infini:0",
                         "infini:64,deltas",
                         "infini:64,0.5",
                         "infini:64,delta,2",
                         "infini:64,delta,0.5,1",
                         "bigbird:64,3,2,3,1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mn_pattern p;
        mn_error err = {0};
        if (mn_pattern_parse(bad[i], &p, &err) == MN_OK) fail_msg("\"%s\" was taken", bad[i]);
        assert_true(err.text[strlen(err.text) - 1] == '.');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_see_what_is_defined),  cmocka_unit_test(shifted_groups_are_the_papers),
        cmocka_unit_test(no_future_key_is_seen),      cmocka_unit_test(lists_are_tight),
        cmocka_unit_test(enough_budget_is_full),      cmocka_unit_test(masks_are_as_drawn),
        cmocka_unit_test(bigbird_as_in_the_paper),    cmocka_unit_test(random_blocks_keep_their_seed),
        cmocka_unit_test(layers_take_their_patterns), cmocka_unit_test(bad_patterns_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
