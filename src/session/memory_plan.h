/* What a model and a window cost in memory: the figures that `mnemo plan` prints and that a session is opened by. */
#ifndef MN_SESSION_MEMORY_PLAN_H
#define MN_SESSION_MEMORY_PLAN_H

#include "session/engine.h"

/* What a session is asked to hold. */
typedef struct mn_window {
    int64_t n_ctx;
    int32_t n_batch; /* rows per step */
    mn_dtype k_type, v_type;
    size_t kv_ram_bytes;      /* KV entries beyond it go to a file; 0 = all stay in memory */
    const mn_attn_spec *attn; /* borrowed; NULL = the model's own */
} mn_window;

/* Bytes when the window is full. Cached rows and scratch are taken from the machine as they are used, not before. */
typedef struct mn_memory_plan {
    size_t weights_bytes; /* tensors in the mapped file, and vectors expanded to f32 when it is opened */
    size_t kv_bytes;    /* pages of KV entries, of every plane of a position map, and what patterns keep of their keys;
                         * where rows leave sight, of those in sight, some to spare, and one step's */
    size_t state_bytes; /* state of fixed size (convolution histories, memories) and its checkpoints */
    size_t work_bytes;  /* scratch of a step, logits of one row, token ids, page lists */
    size_t scratch_bytes;     /* of these, the scratch: what the engine's arena has to hold */
    size_t few_scratch_bytes; /* scratch of a step of few rows (below MN_FLASH_MIN_ROWS) */
    size_t total_bytes;
} mn_memory_plan;

/* The state is copied every so many tokens, or every step of more; of this many copies those near the end stay. */
enum { MN_MAX_CHECKPOINTS = 16, MN_FIRST_CHECKPOINT_TOKENS = 512 };

/* Asking for the logits of many rows at once takes up to 64 MiB more. MN_ERR_ARGUMENT for types that cannot be cached,
 * MN_ERR_LIMIT when a size overflows, MN_ERR_MEMORY when the work alone cannot be reserved. Cost: a forward step that
 * computes nothing, some milliseconds. */
mn_status mn_memory_plan_make(const mn_engine *engine, const mn_window *window, mn_memory_plan *out, mn_error *err);

/* Whether KV entries stop growing with the text: they leave sight, or a state of fixed size stands in their place. */
bool mn_memory_plan_is_bounded(const mn_engine *engine, const mn_window *window);

/* Whether a window of this plan has room beside the sessions that are open. Scratch is counted once for all: the most
 * that one of them takes, and what few rows of each take beside it in a step together. */
bool mn_memory_plan_fits(const mn_memory_plan *plan, const mn_room *room);

/* The largest n_ctx, in whole pages, that has room; window->n_ctx is not read. 0: not one page. */
mn_status mn_memory_plan_largest(const mn_engine *engine, const mn_window *window, const mn_room *room, int64_t *n_ctx,
                                 mn_error *err);

/* MN_OK when the window has room, else MN_ERR_MEMORY with a sentence: what is needed and why, what is free and what
 * other sessions were promised, and which windows and types would do. */
mn_status mn_memory_plan_check(const mn_engine *engine, const mn_window *window, const mn_memory_plan *plan,
                               const mn_room *room, mn_error *err);

#endif
