/* Questions to passages, and how many of those that each needs are among the first. */
#ifndef MN_TESTS_HOTPOT_QUESTIONS_H
#define MN_TESTS_HOTPOT_QUESTIONS_H

#include "graph/hotpot.h"

#include "base/clock.h"

enum { MAX_K = 10 };

typedef struct tally {
    double recall5, recall10, all5, seconds;
    int n;
} tally;

/* Whether one of the first k hits is of the file. */
static bool is_among(mn_graph *graph, const mn_hit *hits, uint32_t n, const char *file) {
    bool found = false;
    for (uint32_t i = 0; i < n && !found; i++) {
        mn_passage passage;
        assert_ok(mn_graph_passage(graph, hits[i].number, &passage, &err), err);
        found = !strcmp(passage.file, file);
        mn_passage_release(&passage);
    }
    return found;
}

static void ask(mn_graph *graph, const char *question, const char *const *gold, int n_gold, tally *t) {
    mn_hit hits[MAX_K];
    uint32_t n;
    double start = mn_clock_seconds();
    assert_ok(mn_graph_search(graph, question, MAX_K, hits, &n, &err), err);
    t->seconds += mn_clock_seconds() - start;
    int at5 = 0, at10 = 0;
    for (int i = 0; i < n_gold; i++) {
        at5 += is_among(graph, hits, n < 5 ? n : 5, gold[i]);
        at10 += is_among(graph, hits, n, gold[i]);
    }
    t->recall5 += (double)at5 / n_gold;
    t->recall10 += (double)at10 / n_gold;
    t->all5 += at5 == n_gold;
    t->n++;
}

static void print_tally(const char *what, const tally *t) {
    print_message("%s: recall@5 %.1f @10 %.1f all@5 %.1f, %d questions, %.2f ms each\n", what, 100 * t->recall5 / t->n,
                  100 * t->recall10 / t->n, 100 * t->all5 / t->n, t->n, 1e3 * t->seconds / t->n);
}

/* The different titles among a question's supporting facts. */
static int gold_titles(const json_t *question, const char **out) {
    const json_t *facts = json_object_get(question, "supporting_facts");
    int n = 0;
    for (size_t i = 0; i < json_array_size(facts); i++) {
        const char *title = json_string_value(json_array_get(json_array_get(facts, i), 0));
        bool known = false;
        for (int k = 0; k < n; k++) known = known || !strcmp(out[k], title);
        if (!known) out[n++] = title;
    }
    return n;
}

#endif
