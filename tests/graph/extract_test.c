/* Facts by a model: what it says is checked, what is done is not asked again, and the graph has names for pronouns. */
#include "graph/collections.h"
#include "graph/extract.h"

static mn_error err;

static const char towns[] =
    "{\"id\":\"writer\",\"text\":\"Ada Quill was a writer. She was born in Merrow in 1892.\"}\n"
    "{\"id\":\"lines\",\"text\":\"Merrow lies by the sea. It has a harbour and a school.\"}\n"
    "{\"id\":\"rubbish\",\"text\":\"Nobody reads this. It is of no use to a model.\"}\n"
    "{\"id\":\"halves\",\"text\":\"The first half is long enough. The second half is about Bram Stone.\"}\n";

typedef struct script {
    int n_calls, n_complaints, n_failing;
} script;

static mn_status answer(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *why) {
    script *s = arg;
    const char *text = request->messages[1].content, *out = "I do not know.";
    s->n_calls++;
    s->n_complaints += strstr(text, "last answer") != NULL;
    assert_string_equal(request->purpose, "extract");
    if (s->n_failing && s->n_calls == s->n_failing) return mn_fail(why, MN_ERR_IO, "The line is dead.");
    if (strstr(text, "Ada Quill"))
        out = "Sure! {\"facts\": [{\"text\": \"Ada Quill was born in Merrow in 1892.\", \"keys\": [\"Ada Quill\", "
              "\"Merrow\", \"1892\", \"Atlantis\", 7]}, {\"text\": \"The king of Spain owns twelve castles.\", "
              "\"keys\": [\"Spain\"]}, {\"keys\": []}, 5]} Anything else?";
    else if (strstr(text, "Merrow lies") && strstr(text, "last answer"))
        out = "1. Merrow lies by the sea. | Merrow | sea\n2. Merrow has a harbour. | harbour\nnothing here\n";
    else if (strstr(text, "Bram Stone") && !strstr(text, "first half"))
        out = "{\"facts\": [{\"text\": \"The second half is about Bram Stone.\", \"keys\": [\"Bram Stone\"]}]}";
    reply->content = strdup(out);
    return MN_OK;
}

static mn_store *indexed(const char *name) {
    mn_store *store;
    mn_graph *graph = graph_of_lines(name, towns, &store);
    mn_graph_close(graph);
    return store;
}

static void extract(mn_store *store, script *s, mn_extract_figures *f, mn_status wanted) {
    mn_llm *llm;
    *f = (mn_extract_figures){0};
    assert_ok(mn_llm_open_script("script", 8192, answer, s, &llm, &err), err);
    assert_int_equal(mn_extract_run(store, llm, NULL, f, &err), wanted);
    mn_llm_close(llm);
}

static int64_t number(mn_store *store, const char *sql) {
    int64_t n;
    assert_ok(mn_store_number(store, -1, &n, &err, sql, ""), err);
    return n;
}

static void replies_are_checked(void **state) {
    (void)state;
    script s = {0};
    mn_extract_figures f;
    mn_store *store = indexed("extract-checked");
    extract(store, &s, &f, MN_OK);
    assert_int_equal(f.n_passages, 4);
    assert_int_equal(f.n_given_up, 1);
    assert_int_equal(f.n_facts, 4);
    assert_int_equal(f.n_lost_facts, 1);
    assert_int_equal(f.n_lost_keys, 1);
    assert_int_equal(f.n_keys, 3 + 3 + 1);
    /* 1; 2; 2 and 2 for each half; 2 and 2 for the first half, 1 for the second. */
    assert_int_equal(s.n_calls, 1 + 2 + 6 + 5);
    assert_int_equal(number(store, "SELECT count(*) FROM extraction WHERE state = 'quarantined'"), 1);
    mn_store_close(store);
}

static void what_is_done_is_not_asked_again(void **state) {
    (void)state;
    script s = {0}, broken = {.n_failing = 3};
    mn_extract_figures f;
    mn_store *store = indexed("extract-again");
    /* The line breaks within the second passage: the first stays. */
    extract(store, &broken, &f, MN_ERR_IO);
    assert_int_equal(f.n_passages, 1);
    extract(store, &s, &f, MN_OK);
    assert_int_equal(f.n_known, 1);
    assert_int_equal(f.n_passages, 3);
    int n_calls = s.n_calls;
    extract(store, &s, &f, MN_OK);
    assert_int_equal(s.n_calls, n_calls);
    assert_int_equal(f.n_known, 4);
    assert_int_equal(number(store, "SELECT count(*) FROM extracted_fact"), 4);
    mn_store_close(store);
}

/* The fact stands under the name that its sentence leaves out; its quote is the sentence; search ranks as before. */
static void the_graph_knows_who_she_is(void **state) {
    (void)state;
    script s = {0};
    mn_extract_figures f;
    mn_graph *graph;
    mn_hit before[4], after[4];
    uint32_t n_before, n_after;
    static const char question[] = "Where does the sea lie?";
    mn_store *store = indexed("extract-graph");
    mn_key key;
    bool found, has_fact = false;
    assert_ok(mn_graph_open(store, &graph, &err), err);
    assert_ok(mn_graph_search(graph, question, 4, before, &n_before, &err), err);
    mn_graph_close(graph);
    extract(store, &s, &f, MN_OK);
    assert_ok(mn_graph_open(store, &graph, &err), err);
    assert_ok(mn_graph_search(graph, question, 4, after, &n_after, &err), err);
    assert_int_equal(n_after, n_before);
    for (uint32_t i = 0; i < n_after; i++) assert_int_equal(after[i].number, before[i].number);
    assert_ok(mn_graph_find_key(graph, "Ada Quill", &key, &found, &err), err);
    assert_true(found);
    for (uint32_t i = 0; i < key.n_facts; i++) {
        mn_fact fact;
        assert_ok(mn_graph_fact(graph, key.facts[i], &fact, &err), err);
        if (!strcmp(fact.text, "Ada Quill was born in Merrow in 1892.")) {
            has_fact = true;
            assert_string_equal(fact.quote, "She was born in Merrow in 1892.");
            assert_int_equal(fact.n_keys >= 3, true);
        }
        mn_fact_release(&fact);
    }
    assert_true(has_fact);
    mn_key_release(&key);
    assert_ok(mn_graph_find_key(graph, "harbour", &key, &found, &err), err);
    assert_true(found);
    mn_key_release(&key);
    mn_graph_close(graph);
    mn_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_checked),
        cmocka_unit_test(what_is_done_is_not_asked_again),
        cmocka_unit_test(the_graph_knows_who_she_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
