/* The same tests on a real PostgreSQL, started for them on a socket in a temporary folder; and a graph and a memory in
 * it. As root it runs as the service user postgres. Skipped, and said so, where there is none. */
#include "store/store_cases.h"
#include "store/vector_cases.h"

#ifdef MNEMO_HAVE_POSTGRES
#include "store/driver.h"
#include "store/server.h"

#include <sys/resource.h>

#ifdef MNEMO_HAVE_GRAPH
#include "memory/tiers_cases.h"
#include "store/lost_cases.h"
#endif

static void a_server_that_is_away_is_a_sentence(void **state) {
    (void)state;
    mn_store *store;
    assert_int_equal(mn_store_open("postgresql://u:secret@/x?host=/no/such/folder", NULL, &store, &err), MN_ERR_IO);
    assert_null(strstr(err.text, "secret"));
    assert_non_null(strstr(err.text, "cannot be reached"));
}

#ifdef MNEMO_SANITIZED
enum { GIVES_MEMORY_BACK = 0 }; /* what is freed is kept for a while, to catch who uses it still */
#else
enum { GIVES_MEMORY_BACK = 1 };
#endif

static long peak_kib(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_maxrss;
}

/* An export takes the memory of a row, not of a table; it sees one state of the store, and lets others write. */
static void exports_hold_no_table_in_memory(void **state) {
    (void)state;
    char place[512];
    mn_store *store = new_store("export-large.db"), *other;
    FILE *out = fopen(temp_path("export-large.jsonl"), "w"), *full = fopen("/dev/full", "w");
    assert_ok(mn_store_exec(store,
                            "CREATE TABLE large (id BIGINT PRIMARY KEY, text TEXT);"
                            "INSERT INTO large SELECT g, repeat(md5(g::text), 40) FROM generate_series(1, 60000) g;"
                            "CREATE TABLE mnemo_room (room TEXT PRIMARY KEY, version BIGINT)",
                            &err),
              err);
    long before = peak_kib();
    assert_ok(mn_store_export(store, out, &err), err);
    assert_true(ftell(out) > 60000 * 1280L);
    if (GIVES_MEMORY_BACK && peak_kib() - before > 16 << 10)
        fail_msg("an export of 77 MB took %ld KiB", peak_kib() - before);
    /* What cannot be written ends it, and the store goes on. */
    assert_int_equal(mn_store_export(store, full, &err), MN_ERR_IO);
    assert_int_equal(number(store, "SELECT count(*) FROM large"), 60000);
    place_of("export-large.db", place, sizeof place);
    assert_ok(mn_store_open(place, NULL, &other, &err), err);
    assert_ok(mn_store_begin_reading(store, &err), err);
    assert_int_equal(number(store, "SELECT count(*) FROM large"), 60000);
    assert_ok(mn_store_exec(other, "DELETE FROM large WHERE id > 10", &err), err);
    assert_int_equal(number(store, "SELECT count(*) FROM large"), 60000);
    mn_store_rollback(store);
    assert_int_equal(number(store, "SELECT count(*) FROM large"), 10);
    mn_store_close(other);
    mn_store_close(store);
    fclose(out);
    fclose(full);
    unlink(temp_path("export-large.jsonl"));
}

/* A stand-in for pgvector where that is not installed: a type and an operator of its names, in SQL. */
static const char stand_in[] =
    "CREATE TYPE vector;"
    "CREATE FUNCTION vector_in(cstring) RETURNS vector IMMUTABLE STRICT LANGUAGE internal AS 'textin';"
    "CREATE FUNCTION vector_out(vector) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'textout';"
    "CREATE FUNCTION vector_typmod_in(cstring[]) RETURNS integer IMMUTABLE STRICT LANGUAGE internal AS "
    "'varchartypmodin';"
    "CREATE TYPE vector (INPUT = vector_in, OUTPUT = vector_out, TYPMOD_IN = vector_typmod_in, LIKE = text);"
    "CREATE CAST (vector AS text) WITHOUT FUNCTION;"
    "CREATE FUNCTION vector_negative_inner(a vector, b vector) RETURNS float8 IMMUTABLE STRICT LANGUAGE sql AS "
    "'SELECT -sum(x * y) FROM unnest(translate(a::text, ''[]'', ''{}'')::float8[], "
    "translate(b::text, ''[]'', ''{}'')::float8[]) AS both_of(x, y)';"
    "CREATE OPERATOR <#> (LEFTARG = vector, RIGHTARG = vector, FUNCTION = vector_negative_inner, COMMUTATOR = <#>);"
    "CREATE VIEW pg_extension AS SELECT 'vector'::name AS extname, current_schema()::regnamespace::oid AS extnamespace";

/* A server that lists the extension scans vectors itself, by its operators. */
static void vectors_are_scanned_by_a_server_that_can(void **state) {
    (void)state;
    mn_store *store = new_store("vectors-there.db");
    float *x = calloc(N_VECTORS + 1, 5 * sizeof *x);
    int64_t n;
    assert_ok(mn_store_exec(store, stand_in, &err), err);
    /* The view is found before the server's own. */
    assert_ok(mn_store_exec(store, "SET search_path = vectors_there, pg_catalog", &err), err);
    mn_vectors *v = open_space(store, 5, MN_F32, false), *here = open_space(store, 5, MN_F32, true);
    assert_true(mn_vectors_is_remote(v));
    assert_false(mn_vectors_is_remote(here));
    fill_normal(x, (N_VECTORS + 1) * 5, 5);
    put_many(v, x);
    check_nearest(v, x, N_VECTORS, 5, -1, 1e-5);
    put_one(here, N_VECTORS, x + N_VECTORS * 5);
    for (int d = 0; d < 5; d++) x[3 * 5 + d] *= -2;
    put_one(here, 3, x + 3 * 5);
    assert_ok(mn_vectors_remove(here, "i17", &err), err);
    check_nearest(v, x, N_VECTORS + 1, 5, 17, 1e-5);
    check_nearest(here, x, N_VECTORS + 1, 5, 17, 1e-5);
    /* The server's copy is made anew where it is not what the vectors are. */
    assert_ok(mn_store_exec(store, "DELETE FROM derived_near_thing WHERE item LIKE 'i1%'", &err), err);
    mn_vectors_close(v);
    v = open_space(store, 5, MN_F32, false);
    check_nearest(v, x, N_VECTORS + 1, 5, 17, 1e-5);
    assert_ok(mn_store_number(store, 0, &n, &err, "SELECT count(*) FROM derived_near_thing WHERE v IS NOT NULL", ""),
              err);
    assert_int_equal(n, N_VECTORS);
    mn_vectors_close(v);
    mn_vectors_close(here);
    mn_store_close(store);
    free(x);
}

/* ---- pgvector itself ---- */

enum { N_MANY = 1200, MANY_DIMS = 64, N_FIRST = 100 };

static void search_first(mn_vectors *v, const float *question, mn_vector_hit *hits, char names[N_FIRST][16]) {
    uint32_t n;
    assert_ok(mn_vectors_search(v, question, N_FIRST, hits, &n, &err), err);
    assert_int_equal(n, N_FIRST);
    for (int i = 0; i < N_FIRST; i++) snprintf(names[i], 16, "%s", hits[i].item);
}

/* How many of the nearest both find. in_order: they are the same, in the same order, with the same scores. */
static int compare_scans(mn_vectors *there, mn_vectors *here, bool in_order) {
    float question[MANY_DIMS];
    mn_vector_hit a[N_FIRST], b[N_FIRST];
    char names_a[N_FIRST][16], names_b[N_FIRST][16];
    int n_common = 0;
    for (uint64_t q = 0; q < 20; q++) {
        fill_normal(question, MANY_DIMS, 500 + q);
        search_first(there, question, a, names_a);
        search_first(here, question, b, names_b);
        for (int i = 0; i < N_FIRST; i++) {
            if (in_order) assert_string_equal(names_a[i], names_b[i]);
            if (in_order) assert_true(fabs((double)a[i].score - (double)b[i].score) < 1e-4);
            for (int k = 0; k < N_FIRST; k++) n_common += !strcmp(names_a[i], names_b[k]);
        }
    }
    return n_common;
}

/* A tenth of them are there twice. */
static void put_pairs(mn_vectors *v) {
    float *x = calloc(N_MANY, MANY_DIMS * sizeof *x);
    char(*names)[16] = calloc(N_MANY, sizeof *names);
    const char **items = calloc(N_MANY, sizeof *items);
    fill_normal(x, N_MANY * MANY_DIMS, 41);
    for (int i = 0; i < N_MANY; i++) {
        snprintf(names[i], sizeof names[i], "%c\"\\,%d", i % 2 ? 'a' : 'Z', i * 7919 % N_MANY);
        items[i] = names[i];
        if (i % 10 == 9) memcpy(x + i * MANY_DIMS, x + (i - 1) * MANY_DIMS, MANY_DIMS * sizeof *x);
    }
    assert_ok(mn_vectors_put(v, items, N_MANY, x, &err), err);
    free(items);
    free(names);
    free(x);
}

/* A space in a schema whose tables have misleading names; *there is NULL where the server has no pgvector. */
static mn_store *open_both(mn_vectors **there, mn_vectors **here) {
    mn_store *store = new_store("pgvector.db");
    assert_ok(mn_store_exec(store, "CREATE TABLE vector (x BIGINT)", &err), err);
    *there = open_space(store, MANY_DIMS, MN_F32, false);
    *here = open_space(store, MANY_DIMS, MN_F32, true);
    if (mn_vectors_is_remote(*there)) return store;
    print_message("this server has no pgvector: its scan is not compared with ours\n");
    mn_vectors_close(*there);
    mn_vectors_close(*here);
    mn_store_close(store);
    skip();
    return NULL;
}

static void pgvector_finds_what_we_find(void **state) {
    (void)state;
    char place[512];
    mn_vectors *there, *here;
    mn_store *store = open_both(&there, &here);
    put_pairs(there);
    compare_scans(there, here, true);
    /* An extension that is taken away takes its columns with it; who may, makes both anew. */
    assert_ok(mn_store_exec(store, "DROP EXTENSION vector CASCADE", &err), err);
    mn_vectors_close(there);
    mn_vectors_close(here);
    mn_store_close(store);
    place_of("pgvector.db", place, sizeof place);
    assert_ok(mn_store_open(place, NULL, &store, &err), err);
    here = open_space(store, MANY_DIMS, MN_F32, true);
    there = open_space(store, MANY_DIMS, MN_F32, false);
    assert_true(mn_vectors_is_remote(there));
    compare_scans(there, here, true);
    mn_vectors_close(there);
    mn_vectors_close(here);
    mn_store_close(store);
}

/* An owner's index is used, and gives as many as were asked for. */
static void an_index_of_the_owner_serves(void **state) {
    (void)state;
    mn_vectors *there, *here;
    mn_store *store = open_both(&there, &here);
    put_pairs(there);
    compare_scans(there, here, true); /* brings the server's copy up to date */
    assert_ok(mn_store_exec(store,
                            "CREATE INDEX near_index ON derived_near_thing USING hnsw (v public.vector_ip_ops);"
                            "SET enable_seqscan = off; SET enable_sort = off",
                            &err),
              err);
    if (number(store, "SELECT (string_to_array(extversion, '.')::int[] >= '{0,8}')::int::bigint FROM pg_extension "
                      "WHERE extname = 'vector'")) {
        int n_common = compare_scans(there, here, false);
        assert_in_range(n_common, 20 * N_FIRST * 8 / 10, 20 * N_FIRST);
        assert_ok(mn_store_exec(store, "SELECT pg_stat_force_next_flush()", &err), err);
        assert_true(number(store, "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'near_index'") >= 20);
    }
    mn_vectors_close(there);
    mn_vectors_close(here);
    mn_store_close(store);
}

/* Who may not create the extension, and vectors that it cannot hold, are served by the scan here. */
static void where_the_server_cannot_we_scan(void **state) {
    (void)state;
    char place[512];
    mn_store *store = new_store("pgvector-no.db");
    float *x = calloc(16001, sizeof *x);
    const char *item = "x";
    mn_vector_hit hit;
    uint32_t n;
    mn_vectors *v = open_space(store, 16001, MN_F32, false);
    assert_false(mn_vectors_is_remote(v));
    x[16000] = 1;
    assert_ok(mn_vectors_put(v, &item, 1, x, &err), err);
    assert_ok(mn_vectors_search(v, x, 1, &hit, &n, &err), err);
    assert_int_equal(n, 1);
    mn_vectors_close(v);
    mn_store_close(store);
    free(x);
    store = new_store("pgvector-rights.db");
    assert_ok(mn_store_exec(store,
                            "DROP EXTENSION IF EXISTS vector CASCADE; CREATE ROLE plain LOGIN;"
                            "GRANT ALL ON SCHEMA pgvector_rights TO plain",
                            &err),
              err);
    mn_store_close(store);
    snprintf(place, sizeof place, "postgresql://plain@/postgres?host=%s&options=-csearch_path%%3Dpgvector_rights",
             server_folder);
    assert_ok(mn_store_open(place, NULL, &store, &err), err);
    v = open_space(store, 3, MN_F32, false);
    assert_false(mn_vectors_is_remote(v));
    mn_vectors_close(v);
    mn_store_close(store);
}

/* One that stands where the store's user may not look is none. */
static void an_extension_out_of_reach_is_none(void **state) {
    (void)state;
    char place[512];
    mn_store *owner = new_store("pgvector-hidden.db"), *store;
    mn_error none;
    assert_ok(mn_store_exec(owner,
                            "DROP EXTENSION IF EXISTS vector CASCADE; CREATE ROLE guest LOGIN; CREATE SCHEMA hidden;"
                            "GRANT ALL ON SCHEMA pgvector_hidden TO guest",
                            &err),
              err);
    bool has = mn_store_exec(owner, "CREATE EXTENSION vector SCHEMA hidden", &none) == MN_OK;
    snprintf(place, sizeof place, "postgresql://guest@/postgres?host=%s&options=-csearch_path%%3Dpgvector_hidden",
             server_folder);
    assert_ok(mn_store_open(place, NULL, &store, &err), err);
    mn_vectors *v = open_space(store, 3, MN_F32, false);
    assert_false(mn_vectors_is_remote(v));
    mn_vectors_close(v);
    assert_ok(mn_store_exec(owner, "GRANT USAGE ON SCHEMA hidden TO guest", &err), err);
    v = open_space(store, 3, MN_F32, false);
    assert_int_equal(mn_vectors_is_remote(v), has);
    mn_vectors_close(v);
    mn_store_close(store);
    assert_ok(mn_store_exec(owner, "DROP SCHEMA hidden CASCADE", &err), err);
    mn_store_close(owner);
}

/* A plan that the server keeps for any words would look through all rows that hold frequent ones. */
static void a_search_is_planned_for_its_words(void **state) {
    (void)state;
    mn_store *store = with_notes("store-plans.db");
    int64_t ids[8];
    for (int i = 0; i < 12; i++) assert_int_equal(found_ids(store, "daughter's letters", 8, ids), 1);
    if (number(store, "SELECT current_setting('server_version_num')::bigint") >= 140000) {
        assert_true(number(store, "SELECT sum(custom_plans) FROM pg_prepared_statements WHERE statement LIKE "
                                  "'SELECT id, score%'") >= 12);
        assert_int_equal(number(store, "SELECT sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE "
                                       "'SELECT id, score%'"),
                         0);
    }
    mn_store_close(store);
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
    assert_ok(mn_store_match(store, &rows, &err, "note", "lighthouse", "", 9, ""), err);
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
        cmocka_unit_test(exports_hold_no_table_in_memory), /* first: it looks at the memory that was ever taken */
        STORE_CASES,
        VECTOR_CASES,
        cmocka_unit_test(a_server_that_is_away_is_a_sentence),
        cmocka_unit_test(vectors_are_scanned_by_a_server_that_can),
        cmocka_unit_test(pgvector_finds_what_we_find),
        cmocka_unit_test(an_index_of_the_owner_serves),
        cmocka_unit_test(where_the_server_cannot_we_scan),
        cmocka_unit_test(an_extension_out_of_reach_is_none),
        cmocka_unit_test(an_older_full_text_is_made_anew),
        cmocka_unit_test(a_search_is_planned_for_its_words),
#ifdef MNEMO_HAVE_GRAPH
        cmocka_unit_test(a_graph_lives_there_too),
        NEAR_CASES,
        TIERS_CASES,
        IMPORT_CASES,
        LOST_CASES,
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
