/* LoCoMo's questions, and how much of their evidence is among the first messages found. */
#ifndef MN_TESTS_LOCOMO_QUESTIONS_H
#define MN_TESTS_LOCOMO_QUESTIONS_H

#include "memory/locomo.h"

enum { MAX_K = 10, N_CATEGORIES = 6, MULTI_HOP = 1 };

typedef struct tally {
    double at5, at10;
    int n;
} tally;

/* Whether the message of the hit is a turn "D1:2" of the conversation. */
static bool is_turn(mn_store *store, int64_t agent, int64_t message, const char *prefix, int d, int t) {
    char want[96];
    mn_message_copy m;
    bool found;
    assert_ok(mn_recall_get(store, agent, message, &m, &found, &import_err), import_err);
    char *id = mn_message_external_id(agent, m.at.uid);
    snprintf(want, sizeof want, "\"%sD%d:%d\"", prefix, d, t);
    bool same = !strcmp(id, want);
    free(id);
    mn_message_release(&m);
    return same;
}

static bool is_there(const json_t *item, int d, int t) {
    char key[32];
    snprintf(key, sizeof key, "session_%d", d);
    return t >= 1 && (size_t)t <= json_array_size(json_object_get(json_object_get(item, "conversation"), key));
}

/* The evidence among the first k; *n_gold: how many turns there are. */
static int count_found(mn_store *store, int64_t agent, const json_t *item, const json_t *evidence, const char *prefix,
                       const mn_recall_hit *hits, uint32_t n, int *n_gold) {
    int n_found = 0, d, t;
    *n_gold = 0;
    for (size_t i = 0; i < json_array_size(evidence); i++)
        for (const char *at = json_string_value(json_array_get(evidence, i)); (at = strchr(at, 'D')); at++) {
            if (sscanf(at, "D%d:%d", &d, &t) < 2 || !is_there(item, d, t)) continue;
            ++*n_gold;
            for (uint32_t h = 0; h < n; h++)
                if (is_turn(store, agent, hits[h].message, prefix, d, t)) {
                    n_found++;
                    break;
                }
        }
    return n_found;
}

/* As mn_recall_index_search. */
typedef mn_status search_fn(void *arg, const char *question, uint32_t k, mn_recall_hit *hits, uint32_t *n_hits,
                            mn_error *err);

static void ask_all(mn_store *store, int64_t agent, search_fn *search, void *arg, const json_t *item,
                    const char *prefix, tally *tallies) {
    const json_t *questions = json_object_get(item, "qa");
    for (size_t i = 0; i < json_array_size(questions); i++) {
        const json_t *q = json_array_get(questions, i), *evidence = json_object_get(q, "evidence");
        mn_recall_hit hits[MAX_K];
        uint32_t n;
        int n_gold, category = (int)json_integer_value(json_object_get(q, "category"));
        const char *question = json_string_value(json_object_get(q, "question"));
        assert_ok(search(arg, question, MAX_K, hits, &n, &import_err), import_err);
        double at10 = count_found(store, agent, item, evidence, prefix, hits, n, &n_gold);
        double at5 = count_found(store, agent, item, evidence, prefix, hits, n < 5 ? n : 5, &n_gold);
        if (!n_gold) continue;
        for (int c = 0; c <= category; c += category) {
            tallies[c].at5 += at5 / n_gold;
            tallies[c].at10 += at10 / n_gold;
            tallies[c].n++;
        }
    }
}

#endif
