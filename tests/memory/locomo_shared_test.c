/* LoCoMo's ten conversations imported as messages into an agent's recall, one store each, and asked as mnemo agent
 * search asks: the gates of tests/graph/locomo_shared_test.c hold through memory too. */
#include "memory/locomo_questions.h"

static mn_status by_words(void *arg, const char *question, uint32_t k, mn_recall_hit *hits, uint32_t *n_hits,
                          mn_error *err) {
    return mn_recall_index_search(arg, question, k, hits, n_hits, err);
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
        ask_all(store, agent, by_words, index, json_array_get(data, i), "", tallies);
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
        ask_all(store, agent, by_words, index, json_array_get(data, i), prefix, tallies);
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
