/* The same tests on a real PostgreSQL, started for them on a socket in a temporary folder; and a graph and a memory in
 * it. As root it runs as the service user postgres. Skipped, and said so, where there is none. */
#include "store/store_cases.h"
#include "store/vector_cases.h"

#ifdef MNEMO_HAVE_POSTGRES
#include "store/server.h"

#ifdef MNEMO_HAVE_GRAPH
#include "graph/near_cases.h"
#include "memory/import_cases.h"
#include "memory/tiers_cases.h"
#endif

static void a_server_that_is_away_is_a_sentence(void **state) {
    (void)state;
    mn_store *store;
    assert_int_equal(mn_store_open("postgresql://u:secret@/x?host=/no/such/folder", NULL, &store, &err), MN_ERR_IO);
    assert_null(strstr(err.text, "secret"));
    assert_non_null(strstr(err.text, "cannot be reached"));
}

/* Stores of before had an index over the parsed text, and no words beside it. */
static void an_older_full_text_is_made_anew(void **state) {
    (void)state;
    mn_store *store = with_notes("store-older.db");
    mn_rows *rows;
    assert_ok(
        mn_store_exec(store,
                      "DROP TABLE derived_words_note; DROP FUNCTION derived_words_note CASCADE;"
                      "CREATE INDEX derived_text_note ON note USING GIN (to_tsvector('english', coalesce(text, '')))",
                      &err),
        err);
    assert_ok(mn_store_migrate(store, "notes", steps, 2, &err), err);
    add(store, "new", "A second lighthouse.", 3);
    assert_ok(mn_store_match(store, &rows, &err, "note", "text", "lighthouse", "LIMIT $2", "i", (int64_t)9), err);
    int n = 0;
    while (mn_rows_next(rows, &err) == MN_OK && mn_rows_has(rows)) n++;
    mn_rows_done(rows);
    assert_int_equal(n, 2);
    mn_store_close(store);
}

#ifdef MNEMO_HAVE_GRAPH
static void a_graph_lives_there_too(void **state) {
    (void)state;
    static const char lines[] =
        "{\"id\":\"writer\",\"text\":\"J. R. R. Tolkien was a writer. He was born in Bloemfontein.\"}\n"
        "{\"id\":\"city\",\"text\":\"Bloemfontein is a city. It lies 1395 m high.\"}\n"
        "{\"id\":\"other\",\"text\":\"Belfast is a city in the north.\"}\n";
    mn_store *store;
    mn_graph *graph = graph_of_lines("graph", lines, &store);
    mn_hit hits[2];
    uint32_t n;
    mn_passage passage;
    assert_ok(mn_graph_search(graph, "How high lies the city where Tolkien was born?", 2, hits, &n, &err), err);
    assert_int_equal(n, 2);
    for (uint32_t i = 0; i < n; i++) {
        assert_ok(mn_graph_passage(graph, hits[i].number, &passage, &err), err);
        assert_string_not_equal(passage.file, "other");
        mn_passage_release(&passage);
    }
    mn_graph_close(graph);
    mn_store_close(store);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        STORE_CASES,
        VECTOR_CASES,
        cmocka_unit_test(a_server_that_is_away_is_a_sentence),
        cmocka_unit_test(an_older_full_text_is_made_anew),
#ifdef MNEMO_HAVE_GRAPH
        cmocka_unit_test(a_graph_lives_there_too),
        NEAR_CASES,
        TIERS_CASES,
        IMPORT_CASES,
#endif
    };
    if (!find_server() || !start_server()) {
        puts("skipped: there is no PostgreSQL server here that a test can start; apt-get install postgresql");
        if (*folder) stop_server();
        return 77;
    }
    server_folder = folder;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stop_server();
    return failed;
}
#else
int main(void) {
    puts("skipped: this build cannot reach PostgreSQL");
    return 77;
}
#endif
