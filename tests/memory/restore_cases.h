/* A whole store out and in again, on any store: whatever tables it has, the export of the copy is the export. */
#ifndef MN_TESTS_RESTORE_CASES_H
#define MN_TESTS_RESTORE_CASES_H

#include "graph/collections.h"

#include "graph/walk.h"
#include "memory/archival.h"
#include "memory/import.h"
#include "memory/restore.h"
#include "store/vectors.h"

static mn_error restore_err;

static void put_texts(mn_store **store, const char *name) {
    static const char lines[] =
        "{\"id\":\"writer\",\"text\":\"J. R. R. Tolkien was a writer. He was born in Bloemfontein.\"}\n"
        "{\"id\":\"city\",\"title\":\"Bloemfontein\",\"text\":\"Bloemfontein is a city. It lies 1395 m high.\"}\n"
        "{\"id\":\"Zoo\",\"text\":\"A zoo of \\u00e4pes, \\\"quoted\\\".\"}\n";
    const mn_walk_params params = {.n_paths = 2};
    mn_graph *graph = graph_of_lines(name, lines, store);
    mn_walk walk = {0};
    assert_ok(mn_walk_run(graph, "Where was Tolkien born?", &params, NULL, &walk, &restore_err), restore_err);
    mn_walk_release(&walk);
    mn_graph_close(graph);
}

static void put_memory(mn_store *store) {
    static const char *const tags[] = {"b", "a", "B"};
    int64_t agents[2], id;
    assert_ok(mn_memory_migrate(store, &restore_err), restore_err);
    for (int i = 0; i < 2; i++)
        assert_ok(mn_agent_find_or_add(store, i ? "ann" : "Ben", &agents[i], &restore_err), restore_err);
    for (int i = 0; i < 12; i++) {
        char text[32];
        snprintf(text, sizeof text, "Message %d.", i);
        const mn_message m = {.role = "user", .time = 1683554160 + i, .text = text, .bytes = strlen(text)};
        assert_ok(mn_recall_add(store, agents[i % 2], &m, &id, &restore_err), restore_err);
        assert_ok(mn_store_run(store, &restore_err, "INSERT INTO queue (agent, message) VALUES ($1, $2)", "ii",
                               agents[i % 2], id),
                  restore_err);
    }
    const mn_archival_text put_away = {.text = "The key.", .bytes = 8, .time = 1, .tags = tags, .n_tags = 3};
    assert_ok(mn_archival_add(store, "ann", &put_away, &id, &restore_err), restore_err);
}

/* The same items in two spaces. */
static void put_vectors(mn_store *store) {
    static const char *const items[] = {"1", "10", "2", "b", "B", "a"};
    float x[6 * 4];
    fill_normal(x, 6 * 4, 3);
    for (int i = 0; i < 2; i++) {
        const mn_vectors_spec spec = {.space = i ? "passage" : "message_1",
                                      .model = "m",
                                      .n_dims = 4,
                                      .type = i ? MN_Q8_0 : MN_F32,
                                      .n_threads = 1,
                                      .here = true};
        mn_vectors *v;
        assert_ok(mn_vectors_open(store, &spec, &v, &restore_err), restore_err);
        assert_ok(mn_vectors_put(v, items, 6, x, &restore_err), restore_err);
        mn_vectors_close(v);
    }
}

static mn_status fixed_answer(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *e) {
    (void)arg, (void)request, (void)e;
    reply->content = strdup("Yes.");
    return MN_OK;
}

static void put_call(mn_store *store) {
    mn_llm *llm;
    mn_llm_reply reply;
    const mn_llm_message message = {.role = "user", .content = "Is it?"};
    const mn_llm_request request = {.messages = &message, .n_messages = 1, .max_tokens = 8};
    assert_ok(mn_llm_open_script("script", 4096, fixed_answer, NULL, &llm, &restore_err), restore_err);
    assert_ok(mn_llm_set_journal(llm, store, &restore_err), restore_err);
    assert_ok(mn_llm_ask(llm, &request, &reply, &restore_err), restore_err);
    mn_llm_reply_release(&reply);
    mn_llm_close(llm);
}

static char *export_of(mn_store *store) {
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    assert_ok(mn_store_export(store, out, &restore_err), restore_err);
    fclose(out);
    return text;
}

static mn_store *restored(const char *name, const char *text) {
    int64_t n;
    mn_store *store = new_store(name);
    FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    assert_ok(mn_restore(store, in, &n, &restore_err), restore_err);
    assert_true(n > 0);
    fclose(in);
    return store;
}

static void check_search(mn_store *store) {
    mn_graph *graph;
    mn_hit hit;
    mn_passage passage;
    uint32_t n;
    assert_ok(mn_graph_open(store, &graph, &restore_err), restore_err);
    assert_ok(mn_graph_search(graph, "How high is the city?", 1, &hit, &n, &restore_err), restore_err);
    assert_int_equal(n, 1);
    assert_ok(mn_graph_passage(graph, hit.number, &passage, &restore_err), restore_err);
    assert_string_equal(passage.file, "city");
    mn_passage_release(&passage);
    mn_graph_close(graph);
}

static int64_t n_named(const char *text, const char *table) {
    char field[64];
    int64_t n = 0;
    snprintf(field, sizeof field, "{\"table\":\"%s\"", table);
    for (const char *at = text; (at = strstr(at, field)); at++) n++;
    return n;
}

static void everything_goes_out_and_comes_back(void **state) {
    (void)state;
    mn_store *store, *copy;
    put_texts(&store, "restore-all");
    put_memory(store);
    put_vectors(store);
    put_call(store);
    char *first = export_of(store);
    assert_int_equal(n_named(first, "message"), 12);
    assert_int_equal(n_named(first, "vector_item"), 12);
    assert_int_equal(n_named(first, "chunk"), 3);
    assert_int_equal(n_named(first, "llm_call"), 1);
    assert_true(n_named(first, "walk_step") > 0);
    copy = restored("restore-all-copy.db", first);
    char *second = export_of(copy);
    assert_string_equal(first, second);
    /* A search makes the index, and changes nothing of this; nor does the same export once more. */
    check_search(copy);
    mn_store_close(copy);
    copy = restored("restore-all-copy.db", second);
    int64_t n;
    FILE *in = fmemopen(second, strlen(second), "r");
    assert_ok(mn_restore(copy, in, &n, &restore_err), restore_err);
    fclose(in);
    assert_int_equal(n, 0);
    check_search(copy);
    char *third = export_of(copy);
    assert_string_equal(first, third);
    free(first);
    free(second);
    free(third);
    mn_store_close(copy);
    mn_store_close(store);
}

/* Of tables that the export does not name none is made. */
static void what_is_not_named_is_not_made(void **state) {
    (void)state;
    int64_t version;
    mn_store *store = new_store("restore-memory.db");
    put_memory(store);
    char *first = export_of(store);
    mn_store *copy = restored("restore-memory-copy.db", first);
    char *second = export_of(copy);
    assert_string_equal(first, second);
    assert_ok(mn_store_version(copy, "graph", &version, &restore_err), restore_err);
    assert_int_equal(version, 0);
    free(first);
    free(second);
    mn_store_close(copy);
    mn_store_close(store);
}

static void an_export_of_unknown_tables_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"mnemo_store\":1,\"rooms\":{\"graph\":99}}\n",
        "{\"mnemo_store\":1,\"rooms\":{\"kitchen\":1}}\n",
        "{\"mnemo_store\":1,\"rooms\":{}}\n{\"table\":\"chunk\",\"id\":\"x\"}\n",
    };
    for (int i = 0; i < 3; i++) {
        int64_t n;
        mn_store *store = new_store("restore-unknown.db");
        FILE *in = fmemopen((void *)(uintptr_t)texts[i], strlen(texts[i]), "r");
        assert_int_not_equal(mn_restore(store, in, &n, &restore_err), MN_OK);
        assert_non_null(strstr(restore_err.text, i < 2 ? "with the same program" : "names no table"));
        assert_int_equal(n, 0);
        fclose(in);
        mn_store_close(store);
    }
}

#define RESTORE_CASES                                                                                                  \
    cmocka_unit_test(everything_goes_out_and_comes_back), cmocka_unit_test(what_is_not_named_is_not_made),             \
        cmocka_unit_test(an_export_of_unknown_tables_is_refused)

#endif
