/* position: maps against the matrices of the papers' code, and what every map must keep. */
#include "support/support.h"

#include <string.h>

#include "position/posmap.h"

static mn_posmap map_of(const char *text, int64_t original_ctx) {
    mn_posmap map;
    mn_error err;
    assert_ok(mn_posmap_parse(text, original_ctx, &map, &err), err);
    return map;
}

/* The distance that query i sees to key j, and -1 when no range holds j. Fails when two do. */
static int64_t distance(const mn_posmap *map, int64_t i, int64_t j) {
    int64_t found = -1;
    for (int range = 0; range < map->n_ranges; range++) {
        mn_posmap_range p = mn_posmap_at(map, range, i);
        assert_true(0 <= p.key_begin && p.key_begin <= p.key_end && p.key_end <= i + 1 && p.q_position >= 0);
        if (j < p.key_begin || j >= p.key_end) continue;
        assert_int_equal(found, -1);
        found = p.q_position - mn_posmap_key(map, mn_posmap_plane(map, range), j);
        assert_true(found >= 0);
    }
    return found;
}

static void assert_row(const mn_posmap *map, int64_t i, const int *wanted) {
    for (int64_t j = 0; j <= i; j++)
        if (distance(map, i, j) != wanted[j])
            fail_msg("%s: query %d, key %d: %d, wanted %d", map->scheme->name, (int)i, (int)j, (int)distance(map, i, j),
                     wanted[j]);
}

static void dual_chunk_matrix(void **state) {
    (void)state;
    mn_posmap map = map_of("dca:10,4", 4096);
    const int rows[20][20] = {[5] = {5, 4, 3, 2, 1, 0},
                              [6] = {6, 5, 4, 3, 2, 1, 0},
                              [9] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
                              [10] = {10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
                              [11] = {10, 9, 8, 7, 6, 5, 5, 4, 3, 2, 1, 0},
                              [12] = {10, 9, 8, 7, 6, 5, 6, 5, 4, 3, 2, 1, 0},
                              [16] = {10, 9, 8, 7, 6, 5, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
                              [17] = {10, 9, 8, 7, 6, 5, 10, 9, 8, 7, 6, 5, 5, 4, 3, 2, 1, 0},
                              [19] = {10, 9, 8, 7, 6, 5, 10, 9, 8, 7, 6, 5, 7, 6, 5, 4, 3, 2, 1, 0}};
    for (int i = 0; i < 20; i++)
        if (rows[i][0]) assert_row(&map, i, rows[i]);
}

static void self_extend_matrix(void **state) {
    (void)state;
    mn_posmap map = map_of("self-extend:2,4", 4096);
    const int rows[10][10] = {{0},
                              {1, 0},
                              {2, 1, 0},
                              {3, 2, 1, 0},
                              {4, 3, 2, 1, 0},
                              {4, 4, 3, 2, 1, 0},
                              {5, 5, 4, 3, 2, 1, 0},
                              {5, 5, 4, 4, 3, 2, 1, 0},
                              {6, 6, 5, 5, 4, 3, 2, 1, 0},
                              {6, 6, 5, 5, 4, 4, 3, 2, 1, 0}};
    for (int i = 0; i < 10; i++) assert_row(&map, i, rows[i]);
}

static void string_matrix(void **state) {
    (void)state;
    mn_posmap map = map_of("string:3,0", 9);
    assert_row(&map, 8, (int[]){5, 4, 3, 2, 1, 0, 2, 1, 0});
}

static void streaming_counts_within_the_cache(void **state) {
    (void)state;
    mn_posmap map = map_of("sinks:2,4", 4096);
    assert_row(&map, 5, (int[]){5, 4, 3, 2, 1, 0}); /* the cache of 6 is just full */
    assert_row(&map, 6, (int[]){5, 4, -1, 3, 2, 1, 0});
    assert_row(&map, 9, (int[]){5, 4, -1, -1, -1, -1, 3, 2, 1, 0});
}

static void every_key_is_seen_once(void **state) {
    (void)state;
    const char *maps[] = {"self-extend:1,1", "self-extend:8,5", "self-extend:3,100", "dca:7,6",     "dca:24,8",
                          "dca:500,3",       "string:1,0",      "string:9,4",        "string:300,2"};
    for (size_t m = 0; m < sizeof maps / sizeof *maps; m++) {
        mn_posmap map = map_of(maps[m], 4096);
        for (int64_t i = 0; i < 120; i++) {
            for (int64_t j = 0; j <= i; j++) assert_true(distance(&map, i, j) >= 0);
            assert_int_equal(distance(&map, i, i), 0);
            if (i > 0 && map.a > 1) assert_int_equal(distance(&map, i, i - 1), 1);
        }
    }
}

static void plain_where_nothing_is_far(void **state) {
    (void)state;
    const char *maps[] = {"self-extend:1,7", "self-extend:8,200", "dca:300,80", "string:200,0", "sinks:3,200"};
    for (int m = 0; m < 5; m++) {
        mn_posmap map = map_of(maps[m], 4096);
        for (int64_t i = 0; i < 200; i++)
            for (int64_t j = 0; j <= i; j++) assert_int_equal(distance(&map, i, j), i - j);
    }
}

static int64_t farthest(const mn_posmap *map, int64_t n_tokens) {
    int64_t most = 0;
    for (int64_t i = 0; i < n_tokens; i++)
        for (int64_t j = 0; j <= i; j++) most = distance(map, i, j) > most ? distance(map, i, j) : most;
    return most;
}

static void reach_is_the_last_length_that_fits(void **state) {
    (void)state;
    const char *maps[] = {"self-extend:4,16", "self-extend:3,10", "self-extend:1,8", "string:20,5"};
    for (int m = 0; m < 4; m++) {
        mn_posmap map = map_of(maps[m], 64);
        int64_t reach = mn_posmap_reach(&map, 64);
        assert_true(farthest(&map, reach) < 64 && farthest(&map, reach + 1) >= 64);
    }
    mn_posmap map = map_of("self-extend:4,16", 64);
    assert_int_equal(mn_posmap_reach(&map, 64), (64 - 16) * 4 + 16);
    map = map_of("dca", 64);
    assert_true(map.a == 48 && map.b == 8 && mn_posmap_reach(&map, 64) == INT64_MAX && farthest(&map, 300) == 48);
    map = map_of("sinks", 64);
    assert_true(mn_posmap_reach(&map, 64) == INT64_MAX && farthest(&map, 300) == 63);
}

static void bad_maps_are_refused(void **state) {
    (void)state;
    const char *bad[] = {
        "",        "dca:4",      "dca:4,4",           "dca:-1,2",     "self-extend:0,4", "self-extend:4,0",
        "dca:9,x", "string:2,3", "dca:99999999999,1", "self-extend:", "dca:8,2,1",       "sinks:4,0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mn_posmap map;
        mn_error err = {0};
        if (mn_posmap_parse(bad[i], 4096, &map, &err) == MN_OK) fail_msg("\"%s\" was taken", bad[i]);
        assert_non_null(strchr(err.text, '.'));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dual_chunk_matrix),
        cmocka_unit_test(self_extend_matrix),
        cmocka_unit_test(string_matrix),
        cmocka_unit_test(streaming_counts_within_the_cache),
        cmocka_unit_test(every_key_is_seen_once),
        cmocka_unit_test(plain_where_nothing_is_far),
        cmocka_unit_test(reach_is_the_last_length_that_fits),
        cmocka_unit_test(bad_maps_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
