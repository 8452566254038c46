/* MemGPT's queue: the newest messages, as the prompt shows them, and what leaves when the window is full.
 *
 * Packer et al. 2023, section 2.2 (FIFO queue, queue manager). Each message has a view: its text, or where that is
 * long its beginning and end with a note how the rest is read. A view's tokens are counted once, by the model's
 * tokenizer and template. What leaves goes in whole groups (a message from outside and all that followed from it),
 * oldest first; inside of the last group in units (an assistant's message with its calls and their results), so that a
 * result never stands without its call.
 */
#ifndef MN_MEMORY_QUEUE_H
#define MN_MEMORY_QUEUE_H

#include "llm/llm.h"
#include "memory/recall.h"

/* How messages look to the model. */
typedef enum mn_view_style {
    MN_VIEW_WRAPPED, /* users' messages as {"type": "user_message", "message": ..., "time": ...}, as in MemGPT */
    MN_VIEW_PLAIN    /* as they are */
} mn_view_style;

typedef struct mn_queue_item {
    mn_message_copy message;
    char *view;         /* what the model sees of the text */
    mn_llm_reply calls; /* of an assistant: calls and n_calls alone */
    int64_t tokens;     /* of view and calls, with what the template adds */
    bool is_clipped;
} mn_queue_item;

typedef struct mn_queue {
    mn_store *store; /* borrowed, as the model */
    mn_llm *llm;
    int64_t agent;
    mn_view_style style;
    int64_t item_tokens;   /* the most that a view takes */
    int64_t result_tokens; /* the same for results of functions */
    mn_queue_item *items;
    size_t n, capacity;
    int64_t tokens; /* of all items */
} mn_queue;

/* Reads the queue of an agent from the store; what *q held is released. The other members are set before. */
mn_status mn_queue_load(mn_queue *q, mn_error *err);
void mn_queue_release(mn_queue *q);
/* Appends a message to recall and to the queue, in the store's open transaction or one of its own. expected: as for
 * mn_recall_add_after. After a failure the queue is as it was; after a rollback of the caller's it has to be loaded
 * again. */
mn_status mn_queue_push(mn_queue *q, int64_t expected, const mn_message *message, mn_error *err);
/* The message as the model is given it. */
mn_llm_message mn_queue_message(const mn_queue_item *item);
/* Whether the newest message asks for a step. */
bool mn_queue_goes_on(const mn_queue *q);
/* Whether a message comes from outside and begins a group: a user's, or an event other than a system_alert. */
bool mn_message_is_outside(const mn_message *message);
/* How many model's messages followed the last message from outside. */
int mn_queue_steps(const mn_queue *q);

/* Chooses what leaves so that the rest has at most target_tokens: leaves[n], true for those. What never leaves: the
 * last user's message and the last unit; the last keep_last messages only when all else is gone. Returns how many
 * leave. */
size_t mn_queue_choose(const mn_queue *q, int64_t target_tokens, size_t keep_last, bool *leaves);
/* Takes them out of the queue: in the store, in the caller's transaction (drop_rows), and in memory, after its commit
 * (drop_items). */
mn_status mn_queue_drop_rows(mn_queue *q, const bool *leaves, mn_error *err);
void mn_queue_drop_items(mn_queue *q, const bool *leaves);
/* Shortens the longest views until all have target_tokens, or each has the least. */
mn_status mn_queue_squeeze(mn_queue *q, int64_t target_tokens, mn_error *err);

/* The first bytes of a text, whole characters, that take at most max_tokens; from its end with `last`. */
size_t mn_fitting_bytes(const mn_llm *llm, const char *text, size_t bytes, int64_t max_tokens, bool last);

#endif
