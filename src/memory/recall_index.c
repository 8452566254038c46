#include "memory/recall_index.h"

#include "graph/turns_saved.h"

#include <stdlib.h>
#include <string.h>

/* Fewer messages are faster read again than their index is kept; and as many as a part are kept before others are read,
 * so that no more of their words are in memory. */
enum { WORTH_KEEPING = 4096, PART = 1 << 16 };

struct mn_recall_index {
    mn_store *store;
    int64_t agent;
    mn_turns *turns;
    int64_t last;  /* the message that was looked at last */
    bool is_whole; /* a part is in memory, and can be kept */
    mn_status failed;
    mn_error why;
};

static mn_status load(mn_recall_index *x, mn_error *err) {
    char owner[32];
    snprintf(owner, sizeof owner, "recall_%lld", (long long)x->agent);
    x->last = 0;
    MN_TRY(mn_turns_create(&x->turns, err));
    return mn_turns_load(x->turns, x->store, owner, &x->last, err);
}

mn_status mn_recall_index_open(mn_store *store, int64_t agent, mn_recall_index **out, mn_error *err) {
    *out = NULL;
    mn_recall_index *x = calloc(1, sizeof *x);
    if (!x) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for an index of messages.");
    *x = (mn_recall_index){.store = store, .agent = agent};
    mn_status status = load(x, err);
    if (status == MN_OK)
        *out = x;
    else
        mn_recall_index_close(x);
    return status;
}

void mn_recall_index_close(mn_recall_index *x) {
    if (!x) return;
    mn_turns_destroy(x->turns);
    free(x);
}

static bool is_talk(const mn_message *m) { return !strcmp(m->role, "user") || !strcmp(m->role, "assistant"); }

static bool take(void *arg, const mn_message *m) {
    mn_recall_index *x = arg;
    const mn_turn turn = {.conversation = m->session,
                          .session = m->session,
                          .speaker = *m->name ? m->name : m->role,
                          .time = m->time < 0 ? MN_NO_TIME : m->time,
                          .id = m->id,
                          .text = m->text,
                          .bytes = m->bytes};
    if (is_talk(m)) x->failed = mn_turns_add(x->turns, &turn, &x->why);
    if (x->failed == MN_OK) x->last = m->id;
    x->is_whole = mn_turns_unsaved(x->turns) == PART;
    return x->failed == MN_OK && !x->is_whole;
}

mn_status mn_recall_index_update(mn_recall_index *x, mn_error *err) {
    x->failed = MN_OK;
    do {
        x->is_whole = false;
        MN_TRY(mn_recall_each(x->store, x->agent, x->last, take, x, err));
        if (x->failed != MN_OK && err) *err = x->why;
        if (x->failed == MN_OK && mn_turns_unsaved(x->turns) >= WORTH_KEEPING) mn_turns_save(x->turns, x->last);
    } while (x->failed == MN_OK && x->is_whole);
    return x->failed;
}

static mn_status ask(mn_recall_index *x, const char *question, uint32_t k, mn_turn_hit *hits, uint32_t *n,
                     mn_error *err) {
    MN_TRY(mn_recall_index_update(x, err));
    return mn_turns_search(x->turns, question, k, hits, n, err);
}

/* What is kept is damaged: all of it is made anew. */
static mn_status start_over(mn_recall_index *x, mn_error *err) {
    mn_turns_destroy(x->turns);
    x->turns = NULL;
    MN_TRY(mn_turns_forget(x->store, err));
    return load(x, err);
}

mn_status mn_recall_index_search(mn_recall_index *x, const char *question, uint32_t k, mn_recall_hit *hits,
                                 uint32_t *n_hits, mn_error *err) {
    mn_turn_hit *found = malloc((k + (size_t)1) * sizeof *found);
    *n_hits = 0;
    mn_status status = found ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u results.", k);
    if (status == MN_OK) status = ask(x, question, k, found, n_hits, err);
    if (status == MN_ERR_FORMAT) {
        *n_hits = 0;
        status = start_over(x, err);
        if (status == MN_OK) status = ask(x, question, k, found, n_hits, err);
    }
    for (uint32_t i = 0; status == MN_OK && i < *n_hits; i++)
        hits[i] = (mn_recall_hit){mn_turns_id(x->turns, found[i].turn), (double)found[i].score};
    free(found);
    return status;
}
