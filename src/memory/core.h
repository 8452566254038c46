/* Core memory: blocks of text that stand in every prompt, which the agent edits itself (MemGPT's working context).
 *
 * A block has a label, a limit in characters, and a version that each change raises; every value is kept, so that
 * changes can be seen and undone. Blocks may be shared by agents.
 */
#ifndef MN_MEMORY_CORE_H
#define MN_MEMORY_CORE_H

#include "memory/memory.h"

enum { MN_BLOCK_CHARS = 2000 }; /* the limit where none is given, as in MemGPT */

typedef struct mn_block {
    int64_t id;
    char *label, *description, *value; /* owned */
    int64_t limit_chars, version;
    bool read_only;
} mn_block;

typedef struct mn_block_list {
    mn_block *items;
    size_t n;
} mn_block_list;

/* The blocks of an agent, in the order they were given to it; the caller releases *out. */
mn_status mn_core_list(mn_store *store, int64_t agent, mn_block_list *out, mn_error *err);
void mn_block_list_release(mn_block_list *list);
/* The block of this label; NULL = none. */
mn_block *mn_block_find(const mn_block_list *list, const char *label);

/* Makes a block and gives it to the agent; id, version are filled in. MN_ERR_ARGUMENT where the agent has one of this
 * label, or the value is beyond the limit. */
mn_status mn_core_add(mn_store *store, int64_t agent, mn_block *block, mn_error *err);
/* Gives a block that there is to another agent too. */
mn_status mn_core_share(mn_store *store, int64_t agent, int64_t block, mn_error *err);

/* Writes a new value where the block's version is still block->version, and raises it. A block that someone else has
 * changed meanwhile, or that is read-only, is MN_ERR_ARGUMENT, a value beyond the limit MN_ERR_LIMIT, and nothing is
 * written. actor: who does it, for the history. On success block has the new value. */
mn_status mn_core_set(mn_store *store, int64_t agent, mn_block *block, const char *value, const char *actor,
                      mn_error *err);
/* The same checks, and the value in block alone: for edits that are to be committed together later. */
mn_status mn_block_rehearse(mn_block *block, const char *value, mn_error *err);
/* Writes the value that the block had before its last change; MN_ERR_ARGUMENT where there is none. */
mn_status mn_core_undo(mn_store *store, int64_t agent, mn_block *block, mn_error *err);

/* The versions of a block, oldest first. */
typedef void mn_version_fn(void *arg, int64_t version, const char *value, const char *actor, int64_t at);
mn_status mn_core_history(mn_store *store, int64_t block, mn_version_fn *fn, void *arg, mn_error *err);

/* Characters of a text: its bytes that begin one. */
int64_t mn_text_chars(const char *text);

#endif
