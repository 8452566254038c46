#include "memory/recall_index.h"

#include "base/checked.h"
#include "graph/turns.h"

#include <stdlib.h>
#include <string.h>

struct mn_recall_index {
    mn_store *store;
    int64_t agent;
    mn_turns *turns;
    int64_t *messages; /* [turns], their ids */
    size_t capacity;
    int64_t last; /* the message that was looked at last */
    mn_status failed;
    mn_error why;
};

mn_status mn_recall_index_open(mn_store *store, int64_t agent, mn_recall_index **out, mn_error *err) {
    *out = NULL;
    mn_recall_index *x = calloc(1, sizeof *x);
    if (!x) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for an index of messages.");
    *x = (mn_recall_index){.store = store, .agent = agent};
    mn_status status = mn_turns_create(&x->turns, err);
    if (status == MN_OK)
        *out = x;
    else
        mn_recall_index_close(x);
    return status;
}

void mn_recall_index_close(mn_recall_index *x) {
    if (!x) return;
    mn_turns_destroy(x->turns);
    free(x->messages);
    free(x);
}

static bool is_talk(const mn_message *m) { return !strcmp(m->role, "user") || !strcmp(m->role, "assistant"); }

static mn_status add(mn_recall_index *x, const mn_message *m, mn_error *err) {
    uint32_t n = mn_turns_n(x->turns);
    if (n == x->capacity) {
        size_t capacity = MN_MAX(2 * x->capacity, (size_t)1024);
        int64_t *grown = realloc(x->messages, capacity * sizeof *grown);
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for an index of %zu messages.", capacity);
        x->messages = grown;
        x->capacity = capacity;
    }
    const mn_turn turn = {.conversation = m->session,
                          .session = m->session,
                          .speaker = *m->name ? m->name : m->role,
                          .time = m->time < 0 ? MN_NO_TIME : m->time,
                          .text = m->text,
                          .bytes = m->bytes};
    MN_TRY(mn_turns_add(x->turns, &turn, err));
    x->messages[n] = m->id;
    return MN_OK;
}

static bool take(void *arg, const mn_message *m) {
    mn_recall_index *x = arg;
    if (is_talk(m)) x->failed = add(x, m, &x->why);
    if (x->failed == MN_OK) x->last = m->id;
    return x->failed == MN_OK;
}

static mn_status refresh(mn_recall_index *x, mn_error *err) {
    x->failed = MN_OK;
    MN_TRY(mn_recall_each(x->store, x->agent, x->last, take, x, err));
    if (x->failed != MN_OK && err) *err = x->why;
    return x->failed;
}

mn_status mn_recall_index_search(mn_recall_index *x, const char *question, uint32_t k, mn_recall_hit *hits,
                                 uint32_t *n_hits, mn_error *err) {
    mn_turn_hit *found = malloc((k + (size_t)1) * sizeof *found);
    *n_hits = 0;
    mn_status status = found ? refresh(x, err) : mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u results.", k);
    if (status == MN_OK) status = mn_turns_search(x->turns, question, k, found, n_hits, err);
    for (uint32_t i = 0; status == MN_OK && i < *n_hits; i++)
        hits[i] = (mn_recall_hit){x->messages[found[i].turn], (double)found[i].score};
    free(found);
    return status;
}
