/* What stands behind a model that answers; llm.c alone calls it. */
#ifndef MN_LLM_KIND_H
#define MN_LLM_KIND_H

#include "llm/llm.h"

typedef struct mn_llm_kind {
    /* *reply is zeroed before. Fills in content, calls, finish and tokens, and what it allocated stays in it after an
     * error too. */
    mn_status (*ask)(void *self, const mn_llm_request *request, mn_llm_reply *reply, mn_error *err);
    /* NULL: a token for every 3 bytes. */
    int64_t (*count)(const void *self, const char *text, size_t bytes);
    /* NULL: the sum over messages, and 8 for each. */
    mn_status (*count_request)(void *self, const mn_llm_request *request, int64_t *n_tokens, mn_error *err);
    void (*close)(void *self);
} mn_llm_kind;

/* name is copied. self is closed by mn_llm_close, and here when there is no memory. */
mn_status mn_llm_create(const mn_llm_kind *kind, void *self, const char *name, int64_t n_ctx, mn_llm **out,
                        mn_error *err);

#endif
