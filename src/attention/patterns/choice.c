#include "attention/patterns/choice.h"

#include "base/checked.h"

#include <string.h>

mn_status mn_choice_init(mn_choice *choice, mn_block_list lists, int64_t capacity, mn_arena *arena, mn_error *err) {
    size_t n = (size_t)(lists.n_lists * lists.n_query_blocks), n_blocks;
    *choice = (mn_choice){.lists = lists, .capacity = capacity};
    choice->counts = mn_arena_zalloc(arena, n + 1, sizeof *choice->counts);
    if (mn_mul_size(n, (size_t)capacity, &n_blocks))
        choice->blocks = mn_arena_alloc(arena, n_blocks + 1, sizeof *choice->blocks);
    if (choice->counts && choice->blocks) return MN_OK;
    return mn_fail_with(err, MN_ERR_MEMORY, MN_REMEDIES({MN_REMEDY_SMALLER_BATCH, 0}),
                        "no memory for %zu lists of %lld blocks; use a smaller batch.", n, (long long)capacity);
}

void mn_choice_close(mn_choice *choice, int64_t list, int64_t n) { choice->counts[list] = n; }

/* The lists move together, and their counts become offsets. */
mn_block_list mn_choice_finish(mn_choice *choice) {
    int64_t n = choice->lists.n_lists * choice->lists.n_query_blocks, end = 0;
    for (int64_t list = 0; list <= n; list++) {
        int64_t count = choice->counts[list];
        if (count) memmove(choice->blocks + end, mn_choice_at(choice, list), (size_t)count * sizeof *choice->blocks);
        choice->counts[list] = end;
        end += count;
    }
    choice->lists.offsets = choice->counts;
    choice->lists.blocks = choice->blocks;
    choice->lists.by_content = true;
    return choice->lists;
}
