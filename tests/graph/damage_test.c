/* An index that is not what was written: a sentence or an answer, and made anew for whoever asks next. */
#include "graph/collections.h"

static mn_error err;

static const char question[] = "How high lies the city where Tolkien was born?";

static const char lines[] =
    "{\"id\":\"writer\",\"text\":\"J. R. R. Tolkien was a writer. He was born in Bloemfontein.\"}\n"
    "{\"id\":\"city\",\"title\":\"Bloemfontein\",\"text\":\"Bloemfontein is a city. It lies 1395 m high.\"}\n"
    "{\"id\":\"other\",\"text\":\"Belfast is a city in the north.\"}\n";

enum { K = 5 };

typedef struct answer {
    mn_hit passages[K], facts[K], keys[K];
    uint32_t n_passages, n_facts, n_keys;
} answer;

static mn_status look_at(mn_graph *graph, const answer *a) {
    for (uint32_t i = 0; i < a->n_passages; i++) {
        mn_passage passage;
        MN_TRY(mn_graph_passage(graph, a->passages[i].number, &passage, &err));
        mn_passage_release(&passage);
    }
    for (uint32_t i = 0; i < a->n_keys; i++) {
        mn_key key;
        mn_neighbour few[K];
        uint32_t n, n_all;
        MN_TRY(mn_graph_key(graph, a->keys[i].number, &key, &err));
        mn_status status = mn_graph_neighbours(graph, &key, K, few, &n, &n_all, &err);
        mn_key_release(&key);
        MN_TRY(status);
    }
    return MN_OK;
}

static mn_status ask(mn_store *store, answer *a) {
    mn_graph *graph;
    memset(a, 0, sizeof *a);
    MN_TRY(mn_graph_open(store, &graph, &err));
    mn_status status = mn_graph_search(graph, question, K, a->passages, &a->n_passages, &err);
    if (status == MN_OK) status = mn_graph_search_facts(graph, question, K, a->facts, &a->n_facts, &err);
    if (status == MN_OK) status = mn_graph_search_keys(graph, question, K, a->keys, &a->n_keys, &err);
    if (status == MN_OK) status = look_at(graph, a);
    mn_graph_close(graph);
    return status;
}

static void damage_is_told_or_mended(void **state) {
    (void)state;
    static const struct {
        const char *sql;
        bool is_seen; /* else the answer may be another one */
    } harms[] = {
        {"DELETE FROM derived_array", true},
        {"DELETE FROM derived_array WHERE name = 'unit_words'", true},
        {"UPDATE derived_array SET data = x'00'", true},
        {"UPDATE derived_array SET data = x'07000000ffffffff01000000' WHERE name = 'first_units'", true},
        {"UPDATE derived_term SET postings = x'ffffffffffff'", true},
        {"UPDATE derived_term SET postings = x'00'", true},
        {"UPDATE derived_passage SET chunk = 'x'", true},
        {"UPDATE derived_passage SET links = x'01'", false},
        {"UPDATE derived_passage SET links = x'ffffffffffffffffffffffff'", false},
        {"UPDATE derived_fact SET last_byte = 99999", true},
        {"UPDATE derived_fact SET first_byte = -5", true},
        {"UPDATE derived_fact SET passage = 77", false},
        {"UPDATE derived_fact SET keys = x'ff'", true},
        {"UPDATE derived_key SET facts = x'ff'", true},
        {"UPDATE derived_key SET heads = x'ffffffff0f'", true},
        {"DELETE FROM derived_key", false},
        {"DELETE FROM derived_fact", false},
    };
    mn_store *store;
    answer whole, damaged, again;
    mn_graph_close(graph_of_lines("damage", lines, &store));
    assert_ok(ask(store, &whole), err);
    assert_true(whole.n_passages > 1 && whole.n_facts > 1 && whole.n_keys > 1);
    for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
        assert_ok(mn_store_exec(store, harms[i].sql, &err), err);
        mn_status status = ask(store, &damaged);
        if (status != MN_OK && status != MN_ERR_FORMAT && status != MN_ERR_ARGUMENT) fail_msg("%s", harms[i].sql);
        if (status != MN_OK && !*err.text) fail_msg("%s ends without a sentence", harms[i].sql);
        if (harms[i].is_seen) {
            status = ask(store, &again);
            if (status != MN_OK) fail_msg("%s is not mended: %s", harms[i].sql, err.text);
            if (memcmp(&again, &whole, sizeof whole) != 0) fail_msg("%s changes the answer", harms[i].sql);
        } else {
            mn_graph *graph;
            assert_ok(mn_store_exec(store, "DELETE FROM derived_array", &err), err);
            assert_ok(mn_graph_open(store, &graph, &err), err);
            mn_graph_close(graph);
        }
    }
    mn_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(damage_is_told_or_mended)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
