/* Lists that are filled by scores: the table of all lists of a call. */
#ifndef MN_ATTENTION_PATTERNS_CHOICE_H
#define MN_ATTENTION_PATTERNS_CHOICE_H

#include "attention/types.h"
#include "kernels/compute.h"

/* The lists of a call while they are chosen: any thread may fill any of them, each at most capacity blocks. */
typedef struct mn_choice {
    mn_block_list lists; /* as they will be, but for offsets and blocks */
    int64_t capacity;
    int64_t *counts; /* [n_lists * n_query_blocks + 1], the last 0 */
    int32_t *blocks; /* [n_lists * n_query_blocks, capacity] */
} mn_choice;

/* lists: block_tokens, query_tokens, first_query_block, n_query_blocks and n_lists. Memory is the arena's;
 * MN_ERR_MEMORY when it ends. */
mn_status mn_choice_init(mn_choice *choice, mn_block_list lists, int64_t capacity, mn_arena *arena, mn_error *err);
/* Where the blocks of a list go, ascending. list = h * n_query_blocks + block. */
static inline int32_t *mn_choice_at(const mn_choice *choice, int64_t list) {
    return choice->blocks + list * choice->capacity;
}
/* n blocks are there: the list is complete. */
void mn_choice_close(mn_choice *choice, int64_t list, int64_t n);
/* What attention executes. The choice must not be filled further. */
mn_block_list mn_choice_finish(mn_choice *choice);

#endif
