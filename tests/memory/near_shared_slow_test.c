/* What vectors by the model that ships do to LoCoMo's ranking: figures to print. It was not trained to make vectors. */
#include "memory/locomo_questions.h"

#include "memory/recall_near.h"

typedef struct searching {
    mn_recall_near *near;
    mn_recall_index *index;
} searching;

static mn_status by_both(void *arg, const char *question, uint32_t k, mn_recall_hit *hits, uint32_t *n_hits,
                         mn_error *err) {
    const searching *s = arg;
    return mn_recall_near_search(s->near, s->index, question, k, hits, n_hits, err);
}

static void what_the_shipped_model_does(void **state) {
    (void)state;
    tally tallies[N_CATEGORIES] = {0};
    mn_engine *engine;
    json_t *data = load();
    assert_ok(mn_engine_open(data_path("models/default.gguf"), NULL, &engine, &import_err), import_err);
    for (size_t i = 0; i < 10; i++) {
        int64_t agent, n;
        searching s;
        mn_store *store = with_importer("locomo-near.db", &agent);
        import_conversation(store, agent, json_array_get(data, i), "");
        assert_ok(mn_recall_index_open(store, agent, &s.index, &import_err), import_err);
        assert_ok(mn_recall_near_open(store, agent, engine, &s.near, &import_err), import_err);
        assert_ok(mn_recall_near_fill(s.near, NULL, NULL, &n, &import_err), import_err);
        assert_true(n > 300);
        ask_all(store, agent, by_both, &s, json_array_get(data, i), "", tallies);
        mn_recall_near_close(s.near);
        mn_recall_index_close(s.index);
        mn_store_close(store);
    }
    mn_engine_close(engine);
    json_decref(data);
    assert_true(tallies[0].n > 1970);
    print_message("words and vectors: recall@5 %.1f @10 %.1f, multi-hop @10 %.1f, %d questions\n",
                  100 * tallies[0].at5 / tallies[0].n, 100 * tallies[0].at10 / tallies[0].n,
                  100 * tallies[MULTI_HOP].at10 / tallies[MULTI_HOP].n, tallies[0].n);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_the_shipped_model_does)};
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
