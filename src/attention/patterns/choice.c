#include "attention/patterns/choice.h"

#include "base/checked.h"

#include <stdlib.h>
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

static int by_index(const void *a, const void *b) {
    return (*(const int32_t *)a > *(const int32_t *)b) - (*(const int32_t *)a < *(const int32_t *)b);
}

void mn_sort_chosen(int32_t *chosen, int64_t n) { qsort(chosen, (size_t)n, sizeof *chosen, by_index); }

void mn_choice_close(mn_choice *choice, int64_t list, int64_t n) {
    mn_sort_chosen(mn_choice_at(choice, list), n);
    choice->counts[list] = n;
}

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
    return choice->lists;
}

static bool is_worse(const float *scores, int32_t a, int32_t b) {
    return scores[a] < scores[b] || (scores[a] == scores[b] && a > b);
}

/* heap[0] is the worst of what is kept; brings order back below i. */
static void sift_down(const float *scores, int32_t *heap, int64_t n, int64_t i) {
    for (;;) {
        int64_t worst = i;
        for (int64_t child = 2 * i + 1; child < MN_MIN(2 * i + 3, n); child++)
            if (is_worse(scores, heap[child], heap[worst])) worst = child;
        if (worst == i) return;
        int32_t swap = heap[i];
        heap[i] = heap[worst];
        heap[worst] = swap;
        i = worst;
    }
}

int64_t mn_choose_largest(const float *scores, int64_t n, int64_t k, int32_t *chosen) {
    k = MN_MAX(0, MN_MIN(k, n));
    for (int64_t i = 0; i < k; i++) chosen[i] = (int32_t)i;
    for (int64_t i = k / 2 - 1; i >= 0; i--) sift_down(scores, chosen, k, i);
    for (int64_t i = k; k > 0 && i < n; i++)
        if (is_worse(scores, chosen[0], (int32_t)i)) {
            chosen[0] = (int32_t)i;
            sift_down(scores, chosen, k, 0);
        }
    return k;
}
