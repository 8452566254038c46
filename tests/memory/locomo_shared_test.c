/* LoCoMo's ten conversations imported as messages into an agent's recall, one store each, and asked as mnemo agent
 * search asks: the gates of tests/graph/locomo_shared_test.c hold through memory too. */
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

static void ask_all(mn_store *store, int64_t agent, mn_recall_index *index, const json_t *item, const char *prefix,
                    tally *tallies) {
    const json_t *questions = json_object_get(item, "qa");
    for (size_t i = 0; i < json_array_size(questions); i++) {
        const json_t *q = json_array_get(questions, i), *evidence = json_object_get(q, "evidence");
        mn_recall_hit hits[MAX_K];
        uint32_t n;
        int n_gold, category = (int)json_integer_value(json_object_get(q, "category"));
        assert_ok(mn_recall_index_search(index, json_string_value(json_object_get(q, "question")), MAX_K, hits, &n,
                                         &import_err),
                  import_err);
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

static void evidence_is_among_the_first_messages(void **state) {
    (void)state;
    tally tallies[N_CATEGORIES] = {0};
    json_t *data = load();
    for (size_t i = 0; i < 10; i++) {
        int64_t agent;
        mn_recall_index *index;
        mn_store *store = with_importer("locomo.db", &agent);
        import_conversation(store, agent, json_array_get(data, i), "");
        assert_ok(mn_recall_index_open(store, agent, &index, &import_err), import_err);
        ask_all(store, agent, index, json_array_get(data, i), "", tallies);
        mn_recall_index_close(index);
        mn_store_close(store);
    }
    json_decref(data);
    double at5 = 100 * tallies[0].at5 / tallies[0].n, at10 = 100 * tallies[0].at10 / tallies[0].n;
    double multi_hop = 100 * tallies[MULTI_HOP].at10 / tallies[MULTI_HOP].n;
    print_message("recall@5 %.1f @10 %.1f, multi-hop @10 %.1f, %d questions\n", at5, at10, multi_hop, tallies[0].n);
    assert_true(tallies[0].n > 1970);
    assert_true(at10 >= 79.5);
    assert_true(at5 >= 72.0);
    assert_true(multi_hop >= 46.6);
}

static void conversations_do_not_drown_each_other(void **state) {
    (void)state;
    tally tallies[N_CATEGORIES] = {0};
    json_t *data = load();
    int64_t agent;
    mn_recall_index *index;
    char prefix[8];
    mn_store *store = with_importer("locomo-all.db", &agent);
    for (size_t i = 0; i < 10; i++) {
        snprintf(prefix, sizeof prefix, "%zu/", i);
        import_conversation(store, agent, json_array_get(data, i), prefix);
    }
    assert_ok(mn_recall_index_open(store, agent, &index, &import_err), import_err);
    for (size_t i = 0; i < 10; i++) {
        snprintf(prefix, sizeof prefix, "%zu/", i);
        ask_all(store, agent, index, json_array_get(data, i), prefix, tallies);
    }
    mn_recall_index_close(index);
    mn_store_close(store);
    json_decref(data);
    double at10 = 100 * tallies[0].at10 / tallies[0].n;
    print_message("ten in one: recall@5 %.1f @10 %.1f\n", 100 * tallies[0].at5 / tallies[0].n, at10);
    assert_true(at10 >= 78.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_is_among_the_first_messages),
        cmocka_unit_test(conversations_do_not_drown_each_other),
    };
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
