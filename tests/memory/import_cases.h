/* Messages from lines of JSON, on any store: what is taken, what is known already, what is broken. */
#ifndef MN_TESTS_IMPORT_CASES_H
#define MN_TESTS_IMPORT_CASES_H

#include "memory/importer.h"

#include <sys/wait.h>

static int64_t n_messages(mn_store *store, int64_t agent) {
    int64_t n;
    assert_ok(mn_store_number(store, -1, &n, &import_err, "SELECT count(*) FROM message WHERE agent = $1", "i", agent),
              import_err);
    return n;
}

static const char talk[] =
    "\xef\xbb\xbf{\"id\": 7, \"name\": \"Ann\", \"time\": \"2023-05-08T13:56:00\", \"session\": \"a\", \"text\": \"I "
    "moved "
    "to Rome.\"}\r\n"
    "\n"
    "{\"id\": \"7\", \"role\": \"assistant\", \"time\": 1683554160000, \"session\": \"a\", \"text\": \"How is it?\"}\n"
    "{\"id\": \"x\\\"y\", \"speaker\": \"Ann\", \"timestamp\": 1683554160.5, \"session_id\": 3, \"content\": \"Loud, "
    "but "
    "the food!\", \"other\": [1]}\n"
    "{\"text\": \"No id, no time, nothing.\"}\n"
    "{\"text\": \"No id, no time, nothing.\"}\n"
    "{\"role\": \"tool\", \"time\": \"some day\", \"text\": \"\"}";

static void lines_become_messages(void **state) {
    (void)state;
    int64_t agent;
    mn_import_figures f;
    mn_store *store = with_importer("import-lines.db", &agent);
    assert_ok(import_text(store, agent, talk, sizeof talk - 1, &f), import_err);
    assert_int_equal(f.n_lines, 7);
    assert_int_equal(f.n_new, 6);
    assert_int_equal(f.n_known, 0);
    assert_int_equal(f.n_untimed, 1);
    assert_int_equal(f.untimed_line, 7);
    static const struct {
        const char *id, *role, *name, *session, *text;
        int64_t time;
    } want[] = {{"7", "user", "Ann", "a", "I moved to Rome.", 1683554160},
                {"\"7\"", "assistant", "", "a", "How is it?", 1683554160},
                {"\"x\\\"y\"", "user", "Ann", "3", "Loud, but the food!", 1683554160},
                {NULL, "user", "", "", "No id, no time, nothing.", -1},
                {NULL, "user", "", "", "No id, no time, nothing.", -1},
                {NULL, "tool", "", "", "", -1}};
    mn_rows *rows;
    assert_ok(mn_store_query(store, &rows, &import_err,
                             "SELECT uid, role, name, session, text, time FROM message ORDER BY id", ""),
              import_err);
    for (int i = 0; i < 6; i++) {
        assert_ok(mn_rows_next(rows, &import_err), import_err);
        char *id = mn_message_external_id(agent, mn_rows_text(rows, 0, NULL));
        if (want[i].id) assert_string_equal(id, want[i].id);
        free(id);
        assert_string_equal(mn_rows_text(rows, 1, NULL), want[i].role);
        assert_string_equal(mn_rows_text(rows, 2, NULL), want[i].name);
        assert_string_equal(mn_rows_text(rows, 3, NULL), want[i].session);
        assert_string_equal(mn_rows_text(rows, 4, NULL), want[i].text);
        assert_int_equal(mn_rows_int(rows, 5), want[i].time);
    }
    mn_rows_done(rows);
    mn_store_close(store);
}

static void what_is_there_is_not_taken_again(void **state) {
    (void)state;
    int64_t agent, other, n;
    mn_import_figures f;
    mn_store *store = with_importer("import-again.db", &agent);
    assert_ok(import_text(store, agent, talk, sizeof talk - 1, &f), import_err);
    assert_ok(import_text(store, agent, talk, sizeof talk - 1, &f), import_err);
    assert_int_equal(f.n_new, 0);
    assert_int_equal(f.n_known, 6);
    assert_int_equal(f.n_changed, 0);
    static const char more[] = "{\"id\": 7, \"text\": \"Something else.\"}\n{\"id\": 8, \"text\": \"New.\"}\n";
    assert_ok(import_text(store, agent, more, sizeof more - 1, &f), import_err);
    assert_int_equal(f.n_new, 1);
    assert_int_equal(f.n_changed, 1);
    assert_int_equal(f.changed_line, 1);
    assert_int_equal(n_messages(store, agent), 7);
    /* Another agent's memory is its own; the chain of hashes is whole. */
    assert_ok(mn_agent_find_or_add(store, "bob", &other, &import_err), import_err);
    assert_ok(import_text(store, other, talk, sizeof talk - 1, &f), import_err);
    assert_int_equal(f.n_new, 6);
    assert_int_equal(n_messages(store, other), 6);
    assert_ok(mn_recall_check(store, agent, &n, &import_err), import_err);
    assert_int_equal(n, 7);
    mn_store_close(store);
}

static void a_broken_line_is_named_and_what_came_before_stays(void **state) {
    (void)state;
    static const struct {
        const char *line, *says;
    } cases[] = {{"{\"text\": \"cut of", "no JSON object"},
                 {"[1, 2]", "no JSON object"},
                 {"\"text\"", "no JSON object"},
                 {"{\"id\": 3}", "no text"},
                 {"{\"text\": 5}", "no text"},
                 {"{\"text\": \"a\", \"id\": [1]}", "neither a text nor a number"},
                 {"{\"text\": \"a\", \"name\": 3}", "name or role"},
                 {"{\"text\": \"a\", \"session\": {}}", "session"},
                 {"{\"text\": \"\xff\xfe\"}", "no JSON object"},
                 {"{\"text\": \"a\\u0000b\"}", "no JSON object"}};
    int64_t agent;
    mn_import_figures f;
    mn_store *store = with_importer("import-broken.db", &agent);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400];
        int n = snprintf(text, sizeof text, "{\"id\": %zu, \"text\": \"fine\"}\n%s\n{\"text\": \"never taken\"}\n", i,
                         cases[i].line);
        assert_int_equal(import_text(store, agent, text, (size_t)n, &f), MN_ERR_FORMAT);
        if (!strstr(import_err.text, cases[i].says) || !strstr(import_err.text, "talk.jsonl, line 2"))
            fail_msg("%s: %s", cases[i].line, import_err.text);
        assert_int_equal(f.n_new, 1);
        assert_int_equal(n_messages(store, agent), i + 1);
        assert_ok(mn_store_begin(store, &import_err), import_err);
        mn_store_rollback(store);
    }
    mn_store_close(store);
}

/* Many messages in many sessions: all are there, any is found, and the index keeps up with what comes later. */
static void many_messages_are_found(void **state) {
    (void)state;
    enum { N = 3000 };
    int64_t agent;
    char *text;
    size_t bytes;
    mn_import_figures f;
    mn_recall_index *index;
    mn_recall_hit hits[3];
    uint32_t n;
    mn_store *store = with_importer("import-many.db", &agent);
    FILE *out = open_memstream(&text, &bytes);
    for (int i = 0; i < N; i++)
        fprintf(out, "{\"id\": %d, \"name\": \"N%d\", \"session\": %d, \"text\": \"The number of box%d is %d.\"}\n", i,
                i % 2, i / 7, i * 31, i);
    fclose(out);
    assert_ok(import_text(store, agent, text, bytes, &f), import_err);
    assert_int_equal(f.n_new, N);
    assert_ok(mn_recall_index_open(store, agent, &index, &import_err), import_err);
    for (int i = 0; i < N; i += 271) {
        char question[64];
        mn_message_copy m;
        bool found;
        snprintf(question, sizeof question, "What is the number of box%d?", i * 31);
        assert_ok(mn_recall_index_search(index, question, 3, hits, &n, &import_err), import_err);
        assert_int_equal(n, 3);
        assert_ok(mn_recall_get(store, agent, hits[0].message, &m, &found, &import_err), import_err);
        char *id = mn_message_external_id(agent, m.at.uid);
        assert_int_equal(atoi(id), i);
        free(id);
        mn_message_release(&m);
    }
    static const char later[] = "{\"text\": \"A pelican came.\"}\n{\"role\": \"system\", \"text\": \"pelican\"}\n";
    assert_ok(import_text(store, agent, later, sizeof later - 1, &f), import_err);
    assert_ok(mn_recall_index_search(index, "pelican", 3, hits, &n, &import_err), import_err);
    assert_int_equal(n, 1);
    mn_recall_index_close(index);
    mn_store_close(store);
    free(text);
}

static int import_alone(const char *place) {
    mn_store *store;
    int64_t agent;
    mn_import_figures f;
    mn_status status = mn_store_open(place, NULL, &store, &import_err);
    if (status == MN_OK) status = mn_memory_migrate(store, &import_err);
    if (status == MN_OK) status = mn_agent_find_or_add(store, "ann", &agent, &import_err);
    if (status == MN_OK) status = import_text(store, agent, talk, sizeof talk - 1, &f);
    if (status != MN_OK) fprintf(stderr, "%s\n", import_err.text);
    mn_store_close(store);
    return status;
}

/* Processes that begin a store, and the same agent in it, at once. */
static void many_import_at_once(void **state) {
    (void)state;
    char place[512];
    pid_t children[4];
    mn_store *store = new_store("import-many.db");
    place_of("import-many.db", place, sizeof place);
    mn_store_close(store);
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) _exit(import_alone(place));
    }
    for (int i = 0; i < 4; i++) {
        int code;
        assert_int_equal(waitpid(children[i], &code, 0), children[i]);
        assert_int_equal(code, 0);
    }
    assert_ok(mn_store_open(place, NULL, &store, &import_err), import_err);
    assert_int_equal(n_messages(store, 1), 6);
    mn_store_close(store);
}

#define IMPORT_CASES                                                                                                   \
    cmocka_unit_test(lines_become_messages), cmocka_unit_test(what_is_there_is_not_taken_again),                       \
        cmocka_unit_test(a_broken_line_is_named_and_what_came_before_stays),                                           \
        cmocka_unit_test(many_messages_are_found), cmocka_unit_test(many_import_at_once)

#endif
