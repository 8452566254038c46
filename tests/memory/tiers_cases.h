/* Recall, core and archival memory on any store: what is put in comes back, what is refused changes nothing. */
#ifndef MN_TESTS_TIERS_CASES_H
#define MN_TESTS_TIERS_CASES_H

#include "store/stores.h"

#include "memory/archival.h"
#include "memory/core.h"
#include "memory/recall.h"

static mn_error err;

static mn_store *with_agent(const char *file, int64_t *agent) {
    mn_store *store = new_store(file);
    assert_ok(mn_memory_migrate(store, &err), err);
    assert_ok(mn_agent_add(store, "ann", "You are Ann.", agent, &err), err);
    return store;
}

static int64_t say(mn_store *store, int64_t agent, const char *role, const char *text, int64_t time) {
    int64_t id;
    const mn_message m = {.role = role, .time = time, .text = text, .bytes = strlen(text), .goes_on = true};
    assert_ok(mn_recall_add(store, agent, &m, &id, &err), err);
    return id;
}

static void agents_have_names(void **state) {
    (void)state;
    int64_t agent, other;
    mn_store *store = with_agent("memory-agents.db", &agent);
    mn_agent_row row;
    bool found;
    assert_int_equal(mn_agent_add(store, "ann", "", &other, &err), MN_ERR_ARGUMENT);
    assert_ok(mn_agent_find(store, "ann", &row, &found, &err), err);
    assert_true(found && row.id == agent && row.n_messages == 0 && !row.warned);
    assert_string_equal(row.system, "You are Ann.");
    mn_agent_row_release(&row);
    assert_ok(mn_agent_find(store, "bob", &row, &found, &err), err);
    assert_false(found);
    mn_store_close(store);
}

static void messages_come_back(void **state) {
    (void)state;
    static const char text[] = "Zürich \"is\"\n\tfar, 'they' say \xe2\x9c\x93";
    int64_t agent, id, again, n;
    mn_store *store = with_agent("memory-recall.db", &agent);
    const mn_message m = {.uid = "m1",
                          .role = "user",
                          .name = "Bob",
                          .session = "s",
                          .time = 1683554160,
                          .text = text,
                          .bytes = sizeof text - 1,
                          .calls = "[]",
                          .call_id = "c",
                          .goes_on = true};
    mn_message_copy copy;
    bool found;
    assert_ok(mn_recall_add(store, agent, &m, &id, &err), err);
    assert_ok(mn_recall_add(store, agent, &m, &again, &err), err);
    assert_int_equal(again, 0);
    assert_ok(mn_recall_get(store, agent, id, &copy, &found, &err), err);
    assert_true(found && copy.at.bytes == m.bytes && copy.at.time == m.time && copy.at.goes_on);
    assert_memory_equal(copy.at.text, text, sizeof text);
    assert_string_equal(copy.at.name, "Bob");
    assert_string_equal(copy.at.call_id, "c");
    mn_message_release(&copy);
    assert_ok(mn_recall_get(store, agent + 1, id, &copy, &found, &err), err);
    assert_false(found);
    mn_agent_row row;
    assert_ok(mn_agent_find(store, "ann", &row, &found, &err), err);
    assert_int_equal(row.n_messages, 1);
    mn_agent_row_release(&row);
    assert_int_equal(mn_recall_add(store, agent + 7, &m, &id, &err), MN_ERR_ARGUMENT);
    assert_ok(mn_recall_check(store, agent, &n, &err), err);
    assert_int_equal(n, 1);
    mn_store_close(store);
}

/* Two writers of one agent: who comes second is told. */
static void another_writer_is_noticed(void **state) {
    (void)state;
    int64_t agent, id;
    mn_store *store = with_agent("memory-writers.db", &agent);
    const mn_message m = {.role = "user", .text = "x", .bytes = 1};
    assert_ok(mn_recall_add_after(store, agent, 0, &m, &id, &err), err);
    assert_int_equal(mn_recall_add_after(store, agent, 0, &m, &id, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "meanwhile"));
    assert_ok(mn_recall_add_after(store, agent, 1, &m, &id, &err), err);
    mn_store_close(store);
}

static void a_changed_row_is_found(void **state) {
    (void)state;
    int64_t agent, n;
    mn_store *store = with_agent("memory-chain.db", &agent);
    for (int i = 0; i < 5; i++) say(store, agent, "user", "the same", 100 + i);
    assert_ok(mn_recall_check(store, agent, &n, &err), err);
    assert_int_equal(n, 5);
    assert_ok(mn_store_exec(store, "UPDATE message SET text = 'another' WHERE time = 102", &err), err);
    assert_int_equal(mn_recall_check(store, agent, &n, &err), MN_ERR_FORMAT);
    assert_ok(mn_store_exec(store, "UPDATE message SET text = 'the same'; DELETE FROM message WHERE time = 101", &err),
              err);
    assert_int_equal(mn_recall_check(store, agent, &n, &err), MN_ERR_FORMAT);
    mn_store_close(store);
}

static uint32_t match(mn_store *store, int64_t agent, mn_recall_query query, mn_recall_hit *hits, int64_t *n_all) {
    uint32_t n;
    assert_ok(mn_recall_match(store, agent, &query, hits, &n, n_all, &err), err);
    return n;
}

static void recall_is_searched(void **state) {
    (void)state;
    int64_t agent, other, n_all;
    mn_recall_hit hits[10];
    mn_store *store = with_agent("memory-search.db", &agent);
    assert_ok(mn_agent_add(store, "bob", "", &other, &err), err);
    int64_t first = say(store, agent, "user", "My lighthouse burns at night", 1000);
    say(store, other, "user", "A lighthouse of another", 1000);
    say(store, agent, "tool", "lighthouse lighthouse", 1001);
    int64_t last = say(store, agent, "assistant", "Lighthouses do burn.", 2000);
    say(store, agent, "user", "Nothing", 3000);
    assert_int_equal(match(store, agent, (mn_recall_query){.words = "the lighthouse?"}, hits, &n_all), 2);
    assert_int_equal(n_all, 2);
    assert_int_equal(hits[0].message + hits[1].message, first + last);
    assert_int_equal(match(store, agent, (mn_recall_query){.words = "lighthouse", .roles = "assistant"}, hits, NULL),
                     1);
    assert_int_equal(hits[0].message, last);
    assert_int_equal(match(store, agent, (mn_recall_query){.words = "lighthouse", .roles = "tool'); --"}, hits, NULL),
                     1);
    assert_int_equal(match(store, agent, (mn_recall_query){.words = "lighthouse", .until = 1500}, hits, NULL), 1);
    assert_int_equal(hits[0].message, first);
    assert_int_equal(match(store, agent, (mn_recall_query){.since = 1500, .limit = 1}, hits, &n_all), 1);
    assert_int_equal(n_all, 2);
    assert_int_equal(match(store, agent, (mn_recall_query){.since = 1500, .limit = 1, .page = 1}, hits, NULL), 1);
    assert_int_equal(hits[0].message, last);
    assert_int_equal(match(store, agent, (mn_recall_query){.words = "?!"}, hits, NULL), 0);
    assert_int_equal(match(store, agent, (mn_recall_query){.words = "lighthouse", .before_id = last}, hits, NULL), 1);
    mn_store_close(store);
}

static void count_version(void *arg, int64_t version, const char *value, const char *actor, int64_t at) {
    (void)value, (void)actor, (void)at;
    *(int64_t *)arg = version;
}

static void blocks_have_limits_and_versions(void **state) {
    (void)state;
    int64_t agent, other, last = 0;
    mn_store *store = with_agent("memory-core.db", &agent);
    mn_block block = {.label = "human", .value = "Name: Ann", .limit_chars = 12};
    mn_block_list list, shared;
    assert_ok(mn_core_add(store, agent, &block, &err), err);
    assert_int_equal(mn_core_add(store, agent, &block, &err), MN_ERR_ARGUMENT);
    assert_ok(mn_agent_add(store, "bob", "", &other, &err), err);
    assert_ok(mn_core_share(store, other, block.id, &err), err);
    assert_ok(mn_core_list(store, agent, &list, &err), err);
    assert_int_equal(list.n, 1);
    mn_block *b = mn_block_find(&list, "human");
    assert_null(mn_block_find(&list, "persona"));
    assert_int_equal(mn_core_set(store, agent, b, "Name: Annabella", "test", &err), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "15"));
    assert_ok(mn_core_set(store, agent, b, "Näme: Ännä", "test", &err), err);
    /* The other agent's view is old now. */
    mn_block old = {.id = b->id, .label = "human", .version = 1, .limit_chars = 12};
    assert_int_equal(mn_core_set(store, other, &old, "Name: Bob", "test", &err), MN_ERR_ARGUMENT);
    assert_ok(mn_core_list(store, other, &shared, &err), err);
    assert_string_equal(shared.items[0].value, "Näme: Ännä");
    assert_ok(mn_core_undo(store, agent, b, &err), err);
    assert_string_equal(b->value, "Name: Ann");
    assert_ok(mn_core_history(store, b->id, count_version, &last, &err), err);
    assert_int_equal(last, 3);
    mn_block_list_release(&list);
    mn_block_list_release(&shared);
    mn_store_close(store);
}

static void archives_are_searched(void **state) {
    (void)state;
    int64_t agent, id, again, n_all;
    uint32_t n;
    mn_archival_hit hits[10];
    const char *const sea[] = {"sea"}, *const both[] = {"sea", "it's"};
    mn_store *store = with_agent("memory-archive.db", &agent);
    mn_archival_text text = {.text = "The tide is low at noon.", .bytes = 24, .time = 500, .tags = sea, .n_tags = 1};
    assert_ok(mn_archival_add(store, "ann", &text, &id, &err), err);
    text.tags = both;
    text.n_tags = 2;
    assert_ok(mn_archival_add(store, "ann", &text, &again, &err), err);
    assert_int_equal(again, id);
    text = (mn_archival_text){.text = "Tides again", .bytes = 11, .time = 600, .tags = sea, .n_tags = 1};
    assert_ok(mn_archival_add(store, "ann", &text, &again, &err), err);
    assert_ok(mn_archival_add(store, "bob", &text, &again, &err), err);
    mn_archival_query query = {.words = "tide"};
    assert_ok(mn_archival_search(store, "ann", &query, hits, &n, &n_all, &err), err);
    assert_int_equal(n, 2);
    assert_int_equal(n_all, 2);
    for (uint32_t i = 0; i < n; i++) mn_archival_hit_release(&hits[i]);
    query = (mn_archival_query){.words = "tide", .tags = both, .n_tags = 2, .all_tags = true};
    assert_ok(mn_archival_search(store, "ann", &query, hits, &n, NULL, &err), err);
    assert_int_equal(n, 1);
    assert_int_equal(hits[0].id, id);
    assert_string_equal(hits[0].tags, "it's, sea");
    mn_archival_hit_release(&hits[0]);
    query = (mn_archival_query){.since = 550};
    assert_ok(mn_archival_search(store, "ann", &query, hits, &n, NULL, &err), err);
    assert_int_equal(n, 1);
    assert_string_equal(hits[0].text, "Tides again");
    mn_archival_hit_release(&hits[0]);
    assert_ok(mn_archival_count(store, "bob", INT64_MAX, &n_all, &err), err);
    assert_int_equal(n_all, 1);
    mn_store_close(store);
}

#define TIERS_CASES                                                                                                    \
    cmocka_unit_test(agents_have_names), cmocka_unit_test(messages_come_back),                                         \
        cmocka_unit_test(another_writer_is_noticed), cmocka_unit_test(a_changed_row_is_found),                         \
        cmocka_unit_test(recall_is_searched), cmocka_unit_test(blocks_have_limits_and_versions),                       \
        cmocka_unit_test(archives_are_searched)

#endif
