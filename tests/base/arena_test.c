/* base/arena: blocks are aligned and apart, rewinding frees what came after, a step that repeats takes no new memory.
 */
#include "support/support.h"

#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/random.h"

enum { BLOCKS = 300 };

static void blocks_stay_apart(void **state) {
    (void)state;
    mn_arena arena = MN_ARENA_INIT;
    unsigned char *blocks[BLOCKS];
    size_t bytes[BLOCKS], sum = 0;
    mn_random rng;
    mn_random_seed(&rng, 1, 0);
    for (int i = 0; i < BLOCKS; i++) {
        bytes[i] = mn_random_below(&rng, i % 50 ? 5000 : 500000);
        blocks[i] = mn_arena_alloc(&arena, bytes[i], 1);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        memset(blocks[i], i, bytes[i]);
        sum += bytes[i];
    }
    for (int i = 0; i < BLOCKS; i++)
        for (size_t j = 0; j < bytes[i]; j++) assert_int_equal(blocks[i][j], (unsigned char)i);
    assert_in_range(arena.used_bytes, sum, sum + BLOCKS * 64);
    assert_in_range(arena.held_bytes, arena.used_bytes, SIZE_MAX);
    mn_arena_release(&arena);
    assert_int_equal(arena.held_bytes, 0);
}

static void zeroed_after_reuse(void **state) {
    (void)state;
    mn_arena arena = MN_ARENA_INIT;
    memset(mn_arena_alloc(&arena, 1000, 1), 0xff, 1000);
    mn_arena_reset(&arena);
    const unsigned char *block = mn_arena_zalloc(&arena, 250, 4);
    for (int i = 0; i < 1000; i++) assert_int_equal(block[i], 0);
    mn_arena_release(&arena);
}

static void rewinding_gives_the_same_place(void **state) {
    (void)state;
    mn_arena arena = MN_ARENA_INIT;
    for (int start = 0; start < 3; start++) { /* from nothing, within a chunk, across chunks */
        mn_arena_mark mark = mn_arena_get_mark(&arena);
        size_t used = arena.used_bytes;
        void *first = mn_arena_alloc(&arena, 100, 1);
        mn_arena_alloc(&arena, 1 << 19, 1);
        mn_arena_rewind(&arena, mark);
        assert_int_equal(arena.used_bytes, used);
        assert_ptr_equal(mn_arena_alloc(&arena, 100, 1), first);
        if (start == 1) mn_arena_alloc(&arena, 1 << 20, 1);
    }
    mn_arena_release(&arena);
}

static void a_repeated_step_takes_no_memory(void **state) {
    (void)state;
    mn_arena arena = MN_ARENA_INIT;
    size_t held = 0;
    for (int step = 0; step < 5; step++) {
        for (size_t i = 1; i <= 40; i++) assert_non_null(mn_arena_alloc(&arena, i * 3000, 7));
        if (step == 0) held = arena.held_bytes;
        assert_int_equal(arena.held_bytes, held);
        mn_arena_reset(&arena);
        assert_int_equal(arena.used_bytes, 0);
    }
    mn_arena_release(&arena);
}

static void reserved_bytes_are_there(void **state) {
    (void)state;
    mn_arena arena = MN_ARENA_INIT;
    assert_true(mn_arena_reserve(&arena, 3000000));
    size_t held = arena.held_bytes;
    for (int i = 0; i < 30; i++) mn_arena_alloc(&arena, 100000 / 64, 64);
    assert_int_equal(arena.held_bytes, held);
    mn_arena_release(&arena);
}

static void sizes_that_overflow_are_refused(void **state) {
    (void)state;
    mn_arena arena = MN_ARENA_INIT;
    assert_null(mn_arena_alloc(&arena, SIZE_MAX, 2));
    assert_null(mn_arena_alloc(&arena, (size_t)1 << 33, (size_t)1 << 33));
    assert_null(mn_arena_alloc(&arena, SIZE_MAX, 1));
    assert_null(mn_arena_zalloc(&arena, SIZE_MAX - 10, 1));
    assert_false(mn_arena_reserve(&arena, SIZE_MAX));
    assert_non_null(mn_arena_alloc(&arena, 0, 8));
    mn_arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_stay_apart),
                                       cmocka_unit_test(zeroed_after_reuse),
                                       cmocka_unit_test(rewinding_gives_the_same_place),
                                       cmocka_unit_test(a_repeated_step_takes_no_memory),
                                       cmocka_unit_test(reserved_bytes_are_there),
                                       cmocka_unit_test(sizes_that_overflow_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
