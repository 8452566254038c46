/* Questions among shuffled documents (RULER's qa_1 and qa_2): the passages that hold the answer, among others of the
 * same set. The sets are the user's (qa_set.h). */
#include "eval/qa_set.h"
#include "eval/ruler.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DOCUMENTS = 1 << 16 };

/* `units` passages: the gold ones and, in random order, others. */
static void put_documents(mn_random *rng, const mn_qa_set *set, const mn_qa_question *q, int64_t units,
                          mn_strbuf *out) {
    int64_t n = units < set->n_passages ? units : set->n_passages, used = 0;
    int32_t *list = malloc(((size_t)n + (size_t)q->n_gold) * sizeof *list);
    uint8_t *taken = calloc((size_t)set->n_passages + 1, 1);
    if (!list || !taken) {
        out->failed = true;
        free(list);
        free(taken);
        return;
    }
    for (int i = 0; i < q->n_gold; i++) {
        list[used++] = q->gold[i];
        taken[q->gold[i]] = 1;
    }
    for (int64_t tries = 0; used < n && tries < 64 * n; tries++) {
        int32_t p = (int32_t)mn_random_below(rng, (uint32_t)set->n_passages);
        if (taken[p]) continue;
        taken[p] = 1;
        list[used++] = p;
    }
    for (int64_t i = used; i > 1; i--) {
        int64_t j = (int64_t)(mn_random_u64(rng) % (uint64_t)i);
        int32_t swap = list[i - 1];
        list[i - 1] = list[j];
        list[j] = swap;
    }
    for (int64_t i = 0; i < used; i++)
        mn_strbuf_printf(out, "Document %lld:\n%s\n\n", (long long)i + 1, set->passages[list[i]]);
    free(list);
    free(taken);
}

static void make(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    if (!w->qa || w->qa->n_questions == 0) {
        out->document.failed = true;
        return;
    }
    const mn_qa_question *q = &w->qa->questions[mn_random_below(rng, (uint32_t)w->qa->n_questions)];
    mn_strbuf_puts(&out->document, "Answer the question from the documents below. Give the answer alone.\n\n");
    out->context_begin = out->document.bytes;
    put_documents(rng, w->qa, q, units > q->n_gold ? units : q->n_gold, &out->document);
    mn_strbuf_puts(&out->question, q->question);
    mn_strbuf_puts(&out->prefix, "Answer:");
    for (int i = 0; i < q->n_answers; i++) mn_task_add_reference(out, q->answers[i]);
}

const mn_task mn_task_qa_1 = {"qa_1",      "a question among shuffled documents (--qa FILE)",
                              "documents", MN_SCORE_ANY,
                              32,          false,
                              1,           MAX_DOCUMENTS,
                              make,        false};
const mn_task mn_task_qa_2 = {
    "qa_2", "the same of a second set (--qa FILE, twice)", "documents", MN_SCORE_ANY, 32, false, 1, MAX_DOCUMENTS, make,
    false};
