/* What every store does, whatever stands behind it: it keeps what was committed and forgets what was not. */
#ifndef MN_TESTS_STORE_CASES_H
#define MN_TESTS_STORE_CASES_H

#include "store/stores.h"

#include <sys/wait.h>

static const mn_migration steps[] = {
    {.sql = "CREATE TABLE note (id {serial}, title TEXT UNIQUE, text TEXT, data {blob}, weight DOUBLE PRECISION)",
     .text_table = "note",
     .text_column = "text"},
    {.sql = "ALTER TABLE note ADD COLUMN n BIGINT; CREATE INDEX note_n ON note (n)"},
};

static mn_error err;

static int64_t number(mn_store *store, const char *sql) {
    int64_t n;
    assert_ok(mn_store_number(store, -1, &n, &err, sql, ""), err);
    return n;
}

static void add(mn_store *store, const char *title, const char *text, int64_t n) {
    assert_ok(mn_store_run(store, &err, "INSERT INTO note (title, text, data, weight, n) VALUES ($1, $2, $3, $4, $5)",
                           "ttbri", title, text, title, strlen(title), (double)n / 4, n),
              err);
}

static mn_store *with_notes(const char *name) {
    mn_store *store = new_store(name);
    assert_ok(mn_store_migrate(store, "notes", steps, 2, &err), err);
    add(store, "a", "The lighthouse keeper writes letters.", 1);
    add(store, "b", "Letters were written by the keeper's daughter.", -7);
    add(store, "c", "Nothing of the kind; zürich \"quoted\" OR not*.", INT64_MAX);
    return store;
}

static void values_come_back(void **state) {
    (void)state;
    mn_store *store = with_notes("store-values.db");
    mn_rows *rows;
    size_t bytes;
    assert_ok(mn_store_query(store, &rows, &err, "SELECT title, text, data, weight, n, NULL FROM note WHERE n = $1",
                             "i", (int64_t)INT64_MAX),
              err);
    assert_ok(mn_rows_next(rows, &err), err);
    assert_true(mn_rows_has(rows));
    assert_string_equal(mn_rows_text(rows, 0, &bytes), "c");
    assert_int_equal(bytes, 1);
    assert_memory_equal(mn_rows_blob(rows, 2, &bytes), "c", 1);
    assert_int_equal(bytes, 1);
    assert_true(mn_rows_real(rows, 3) == (double)INT64_MAX / 4);
    assert_true(mn_rows_int(rows, 4) == INT64_MAX);
    assert_true(mn_rows_is_null(rows, 5));
    assert_ok(mn_rows_next(rows, &err), err);
    assert_false(mn_rows_has(rows));
    mn_rows_done(rows);
    mn_store_close(store);
}

static void what_is_not_committed_is_gone(void **state) {
    (void)state;
    mn_store *store = with_notes("store-rollback.db");
    assert_ok(mn_store_begin(store, &err), err);
    assert_int_equal(mn_store_begin(store, &err), MN_ERR_ARGUMENT);
    add(store, "d", "x", 1);
    assert_int_equal(number(store, "SELECT count(*) FROM note"), 4);
    mn_store_rollback(store);
    assert_int_equal(number(store, "SELECT count(*) FROM note"), 3);
    assert_ok(mn_store_begin(store, &err), err);
    assert_int_equal(mn_store_end(store, mn_store_run(store, &err, "INSERT INTO nowhere VALUES (1)", ""), &err),
                     MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "nowhere"));
    assert_int_equal(number(store, "SELECT count(*) FROM note"), 3);
    mn_store_close(store);
}

/* Any word counts, stems are English, and what looks like a query language is words. */
static void words_are_found(void **state) {
    (void)state;
    static const struct {
        const char *words;
        int n;
        const char *first;
    } cases[] = {{"who keeps writing a letter?", 2, NULL},
                 {"daughters", 1, "b"},
                 {"Zürich", 1, "c"},
                 {"\"quoted\" AND (", 1, "c"},
                 {"keeper NEAR/3 *", 2, NULL},
                 {"?!", 0, NULL},
                 {"", 0, NULL},
                 {"absent", 0, NULL}};
    mn_store *store = with_notes("store-words.db");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_rows *rows;
        assert_ok(mn_store_match(store, &rows, &err, "note", cases[i].words, "", 10, ""), err);
        int n = 0;
        double last = 1e9;
        while (mn_rows_next(rows, &err) == MN_OK && mn_rows_has(rows)) {
            if (n == 0 && cases[i].first) assert_int_equal(mn_rows_int(rows, 0), cases[i].first[0] - 'a' + 1);
            assert_true(mn_rows_real(rows, 1) <= last);
            last = mn_rows_real(rows, 1);
            n++;
        }
        mn_rows_done(rows);
        if (n != cases[i].n) fail_msg("\"%s\": %d rows", cases[i].words, n);
    }
    /* What changes is searched as it is now. */
    assert_ok(mn_store_run(store, &err, "UPDATE note SET text = 'absent' WHERE title = 'a'", ""), err);
    assert_ok(mn_store_run(store, &err, "DELETE FROM note WHERE title = 'b'", ""), err);
    mn_rows *rows;
    assert_ok(mn_store_match(store, &rows, &err, "note", "absent keeper", "", 9, ""), err);
    assert_ok(mn_rows_next(rows, &err), err);
    assert_int_equal(mn_rows_int(rows, 0), 1);
    assert_ok(mn_rows_next(rows, &err), err);
    assert_false(mn_rows_has(rows));
    mn_rows_done(rows);
    mn_store_close(store);
}

/* The ids that a search finds, best first; how many. */
static int found_ids(mn_store *store, const char *words, int limit, int64_t *ids) {
    mn_rows *rows;
    int n = 0;
    assert_ok(mn_store_match(store, &rows, &err, "note", words, "AND t.n >= $2", limit, "i", (int64_t)0), err);
    while (mn_rows_next(rows, &err) == MN_OK && mn_rows_has(rows)) ids[n++] = mn_rows_int(rows, 0);
    mn_rows_done(rows);
    return n;
}

/* Words of more rows than are looked at rank behind others, and among the newest rows alone. */
static void frequent_words_cost_no_pass_over_all(void **state) {
    (void)state;
    enum { N = MN_MATCH_FREQUENT + 2000 };
    char sql[400];
    int64_t ids[8];
    mn_store *store = with_notes("store-frequent.db");
    snprintf(
        sql, sizeof sql,
        "INSERT INTO note (text, n) WITH RECURSIVE c (i) AS (SELECT 4 UNION ALL SELECT i + 1 FROM c WHERE i < %d) "
        "SELECT 'usual plain word' || i || CASE WHEN i %% 1000 = 0 THEN ' plain usual plain' ELSE '' END, i FROM c",
        N);
    assert_ok(mn_store_exec(store, sql, &err), err);
    assert_int_equal(number(store, "SELECT count(*) FROM note"), N);
    /* The rare word's rows come first, then the newest; a row with both comes once. */
    assert_int_equal(found_ids(store, "usual word77", 5, ids), 5);
    assert_int_equal(ids[0], 77);
    for (int i = 1; i < 5; i++) assert_true(ids[i] > N - MN_MATCH_FREQUENT && ids[i] != ids[i - 1]);
    assert_int_equal(found_ids(store, "word77 word5000 absent", 8, ids), 2);
    /* Frequent words alone rank the newest rows. */
    assert_int_equal(found_ids(store, "usual plain", 8, ids), 8);
    for (int i = 0; i < 8; i++) assert_true(ids[i] > N - MN_MATCH_FREQUENT);
    /* What the conditions leave out does not count among them. */
    assert_ok(mn_store_run(store, &err, "UPDATE note SET n = -1 WHERE id > $1", "i", (int64_t)100), err);
    assert_int_equal(found_ids(store, "usual word77 word5000", 8, ids), 8);
    assert_int_equal(ids[0], 77);
    for (int i = 1; i < 8; i++) assert_in_range(ids[i], 4, 100);
    mn_store_close(store);
}

static void schemas_grow_and_newer_ones_are_refused(void **state) {
    (void)state;
    mn_store *store = new_store("store-schema.db");
    assert_ok(mn_store_migrate(store, "notes", steps, 1, &err), err);
    assert_ok(mn_store_run(store, &err, "INSERT INTO note (title, text) VALUES ('old', 'kept')", ""), err);
    assert_ok(mn_store_migrate(store, "notes", steps, 2, &err), err);
    assert_ok(mn_store_migrate(store, "notes", steps, 2, &err), err);
    assert_int_equal(number(store, "SELECT count(*) FROM note WHERE n IS NULL"), 1);
    assert_int_equal(mn_store_migrate(store, "notes", steps, 1, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer program"));
    /* A step that fails leaves the version before it. */
    const mn_migration broken[] = {{.sql = "CREATE TABLE half (id {serial}); CREATE BROKEN"}};
    assert_int_not_equal(mn_store_migrate(store, "broken", broken, 1, &err), MN_OK);
    assert_int_not_equal(mn_store_run(store, &err, "SELECT * FROM half", ""), MN_OK);
    mn_store_close(store);
}

/* Export, import into a new store, export: the same bytes. A second import adds nothing. */
static void all_goes_out_and_comes_back(void **state) {
    (void)state;
    mn_store *store = with_notes("store-export.db"), *copy;
    char *first, *second;
    size_t first_bytes, second_bytes;
    int64_t n;
    FILE *out = open_memstream(&first, &first_bytes);
    assert_ok(
        mn_store_run(store, &err, "INSERT INTO note (title, data) VALUES ('odd', $1)", "b", "\0\xff\n\"", (size_t)4),
        err);
    assert_ok(mn_store_export(store, out, &err), err);
    fclose(out);
    mn_store_close(store);

    copy = new_store("store-import.db");
    assert_ok(mn_store_migrate(copy, "notes", steps, 2, &err), err);
    for (int i = 0; i < 2; i++) {
        FILE *in = fmemopen(first, first_bytes, "r");
        assert_ok(mn_store_import(copy, NULL, 0, in, &n, &err), err);
        assert_int_equal(n, i ? 0 : 4);
        fclose(in);
    }
    out = open_memstream(&second, &second_bytes);
    assert_ok(mn_store_export(copy, out, &err), err);
    fclose(out);
    assert_string_equal(first, second);
    mn_rows *rows;
    assert_ok(mn_store_match(copy, &rows, &err, "note", "lighthouse", "", 9, ""), err);
    assert_ok(mn_rows_next(rows, &err), err);
    assert_true(mn_rows_has(rows));
    mn_rows_done(rows);
    add(copy, "new", "Rows that come after an import get ids of their own.", 5);
    mn_store_close(copy);
    free(first);
    free(second);
}

static void hostile_imports_change_nothing(void **state) {
    (void)state;
#define HEAD "{\"mnemo_store\":1,\"rooms\":{\"notes\":2}}\n"
    static const char *const files[][2] = {
        {"", "empty"},
        {"rubbish\n", "no JSON object"},
        {"{\"table\":\"note\",\"title\":\"x\"}\n", "first line"},
        {"{\"mnemo_store\":1,\"rooms\":{\"notes\":3}}\n", "version 3"},
        {HEAD "{\"table\":\"sqlite_master\",\"name\":\"x\"}\n", "no table"},
        {HEAD "{\"table\":\"mnemo_room\",\"room\":\"x\"}\n", "no table"},
        {HEAD "{\"table\":\"note; DROP TABLE note\"}\n", "no table"},
        {HEAD "{\"table\":\"note\",\"title) VALUES (1); --\":\"x\"}\n", "column or value"},
        {HEAD "{\"table\":\"note\",\"data\":{\"hex\":\"0g\"}}\n", "column or value"},
        {HEAD "{\"table\":\"note\",\"data\":[1]}\n", "column or value"},
        {HEAD "{\"table\":\"note\",\"title\":{\"text_hex\":\"6100\"}}\n", "column or value"},
        {HEAD "{\"table\":\"note\",\"title\":{\"text_hex\":61}}\n", "column or value"},
        {HEAD "{\"table\":\"note\"}\n", "no columns"},
        {HEAD "{\"table\":\"note\",\"title\":\"new\"}\n{\"table\":\"note\",\"title\":\"ne", "no JSON object"},
    };
    mn_store *store = with_notes("store-hostile.db");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int64_t n;
        char empty[1];
        size_t bytes = strlen(files[i][0]);
        FILE *in = bytes ? fmemopen((void *)files[i][0], bytes, "r") : fmemopen(empty, 1, "w+");
        assert_int_not_equal(mn_store_import(store, NULL, 0, in, &n, &err), MN_OK);
        fclose(in);
        if (!strstr(err.text, files[i][1])) fail_msg("%zu: %s", i, err.text);
        assert_int_equal(number(store, "SELECT count(*) FROM note"), 3);
    }
    mn_store_close(store);
}

static void ids_depend_on_parts_and_their_lengths(void **state) {
    (void)state;
    char a[MN_ID_BYTES], b[MN_ID_BYTES], c[MN_ID_BYTES];
    mn_store_id(a, "ab", (size_t)2, "c", (size_t)1, NULL);
    mn_store_id(b, "a", (size_t)1, "bc", (size_t)2, NULL);
    mn_store_id(c, "ab", (size_t)2, "c", (size_t)1, NULL);
    assert_string_equal(a, c);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 32);
}

static void a_second_writer_waits_and_then_says_so(void **state) {
    (void)state;
    char place[512];
    mn_store *first = with_notes("store-busy.db"), *second;
    const mn_store_options options = {.busy_ms = 20};
    place_of("store-busy.db", place, sizeof place);
    assert_ok(mn_store_open(place, &options, &second, &err), err);
    assert_ok(mn_store_begin(first, &err), err);
    assert_int_equal(mn_store_begin(second, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "nother process is writing"));
    assert_int_equal(number(second, "SELECT count(*) FROM note"), 3);
    assert_ok(mn_store_commit(first, &err), err);
    assert_ok(mn_store_begin(second, &err), err);
    mn_store_close(second);
    mn_store_close(first);
}

enum { N_WRITERS = 4, N_TURNS = 15 };

/* Begins the store, if it is the first, and counts its rows up; the exit code of a process. */
static int count_up(const char *place) {
    mn_store *store;
    if (mn_store_open(place, NULL, &store, &err) != MN_OK) return 1;
    if (mn_store_migrate(store, "notes", steps, 2, &err) != MN_OK) return 2;
    for (int i = 0; i < N_TURNS; i++) {
        int64_t n;
        if (mn_store_begin(store, &err) != MN_OK) return 3;
        if (mn_store_number(store, 0, &n, &err, "SELECT max(n) FROM note", "") != MN_OK) return 4;
        if (mn_store_run(store, &err, "INSERT INTO note (n) VALUES ($1)", "i", n + 1) != MN_OK) return 5;
        if (mn_store_commit(store, &err) != MN_OK) return 6;
    }
    mn_store_close(store);
    return 0;
}

/* What a transaction has read is still so when it writes, also for the processes that find no tables yet. */
static void many_processes_begin_and_fill_a_store(void **state) {
    (void)state;
    char place[512];
    pid_t children[N_WRITERS];
    mn_store *store = new_store("store-many.db");
    place_of("store-many.db", place, sizeof place);
    mn_store_close(store);
    for (int i = 0; i < N_WRITERS; i++) {
        children[i] = fork();
        if (children[i] != 0) continue;
        int code = count_up(place);
        if (code) fprintf(stderr, "%d: %s\n", code, err.text);
        _exit(code);
    }
    for (int i = 0; i < N_WRITERS; i++) {
        int code;
        assert_int_equal(waitpid(children[i], &code, 0), children[i]);
        assert_int_equal(code, 0);
    }
    assert_ok(mn_store_open(place, NULL, &store, &err), err);
    assert_int_equal(number(store, "SELECT count(*) FROM note"), N_WRITERS * N_TURNS);
    assert_int_equal(number(store, "SELECT count(DISTINCT n) FROM note"), N_WRITERS * N_TURNS);
    mn_store_close(store);
}

#define STORE_CASES                                                                                                    \
    cmocka_unit_test(values_come_back), cmocka_unit_test(what_is_not_committed_is_gone),                               \
        cmocka_unit_test(words_are_found), cmocka_unit_test(frequent_words_cost_no_pass_over_all),                     \
        cmocka_unit_test(schemas_grow_and_newer_ones_are_refused), cmocka_unit_test(all_goes_out_and_comes_back),      \
        cmocka_unit_test(hostile_imports_change_nothing), cmocka_unit_test(ids_depend_on_parts_and_their_lengths),     \
        cmocka_unit_test(a_second_writer_waits_and_then_says_so),                                                      \
        cmocka_unit_test(many_processes_begin_and_fill_a_store)

#endif
