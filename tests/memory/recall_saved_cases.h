/* The index of recall kept in the store: it finds what an index made of all messages finds, with the same scores. */
#ifndef MN_TESTS_RECALL_SAVED_CASES_H
#define MN_TESTS_RECALL_SAVED_CASES_H

#include "memory/importer.h"

#include "base/random.h"
#include "graph/turns.h"

/* Messages [from, to) of words w0 to w400 by five people in sessions of 30, some of them asking. */
static void add_messages(mn_store *store, int64_t agent, int from, int to) {
    static const char *const names[] = {"Ann", "Ben Ash", "Cleo", "", "Dan"};
    assert_ok(mn_store_begin(store, &import_err), import_err);
    for (int i = from; i < to; i++) {
        mn_random rng;
        char text[256], session[16];
        int64_t id;
        mn_random_seed(&rng, (uint64_t)i, 11);
        int n = snprintf(text, sizeof text, "note%d", i);
        for (uint32_t w = mn_random_below(&rng, 12); w > 0; w--)
            n += snprintf(text + n, sizeof text - (size_t)n, " w%u", mn_random_below(&rng, 400));
        if (mn_random_below(&rng, 5) == 0) snprintf(text + n, sizeof text - (size_t)n, "?");
        snprintf(session, sizeof session, "s%d", i / 30);
        const mn_message m = {.role = i % 17 == 3 ? "tool"
                                      : i % 2     ? "assistant"
                                                  : "user",
                              .name = names[mn_random_below(&rng, 5)],
                              .session = session,
                              .time = i % 7 ? 1600000000 + 40000 * (int64_t)i : MN_RECALL_NO_TIME,
                              .text = text,
                              .bytes = strlen(text)};
        assert_ok(mn_recall_add(store, agent, &m, &id, &import_err), import_err);
    }
    assert_ok(mn_store_commit(store, &import_err), import_err);
}

static bool add_turn(void *arg, const mn_message *m) {
    const mn_turn turn = {.conversation = m->session,
                          .session = m->session,
                          .speaker = *m->name ? m->name : m->role,
                          .time = m->time < 0 ? MN_NO_TIME : m->time,
                          .id = m->id,
                          .text = m->text,
                          .bytes = m->bytes};
    if (strcmp(m->role, "tool") != 0) assert_ok(mn_turns_add(arg, &turn, &import_err), import_err);
    return true;
}

/* Questions to the index, and to one made of all messages. */
static void check_same(mn_store *store, int64_t agent, mn_recall_index *index) {
    enum { K = 20 };
    mn_turns *whole;
    mn_random rng;
    assert_ok(mn_turns_create(&whole, &import_err), import_err);
    assert_ok(mn_recall_each(store, agent, 0, add_turn, whole, &import_err), import_err);
    mn_random_seed(&rng, 3, 3);
    for (int i = 0; i < 40; i++) {
        char question[160];
        mn_recall_hit hits[K];
        mn_turn_hit want[K];
        uint32_t n_hits, n_want;
        snprintf(question, sizeof question, "What did %s say of w%u w%u note%u in October 2021?", i % 3 ? "Ann" : "Ben",
                 mn_random_below(&rng, 420), mn_random_below(&rng, 400), mn_random_below(&rng, 12000));
        assert_ok(mn_recall_index_search(index, question, K, hits, &n_hits, &import_err), import_err);
        assert_ok(mn_turns_search(whole, question, K, want, &n_want, &import_err), import_err);
        assert_int_equal(n_hits, n_want);
        for (uint32_t h = 0; h < n_hits; h++) {
            assert_int_equal(hits[h].message, mn_turns_id(whole, want[h].turn));
            assert_true(hits[h].score == (double)want[h].score);
        }
    }
    mn_turns_destroy(whole);
}

static void open_and_check(mn_store *store, int64_t agent, int64_t n_parts) {
    int64_t n;
    mn_recall_index *index;
    assert_ok(mn_recall_index_open(store, agent, &index, &import_err), import_err);
    check_same(store, agent, index);
    mn_recall_index_close(index);
    assert_ok(mn_store_number(store, -1, &n, &import_err, "SELECT count(*) FROM derived_turns_part", ""), import_err);
    assert_int_equal(n, n_parts);
}

static inline void a_kept_index_finds_the_same(void **state) {
    (void)state;
    int64_t agent, other;
    mn_store *store = with_importer("recall-saved.db", &agent);
    assert_ok(mn_agent_find_or_add(store, "other", &other, &import_err), import_err);
    add_messages(store, agent, 0, 6000);
    add_messages(store, other, 0, 5000);
    open_and_check(store, agent, 1);
    open_and_check(store, other, 2);
    open_and_check(store, agent, 2);
    /* What comes later: a few messages stay in memory, many are a part of their own, and sessions go on over parts. */
    add_messages(store, agent, 6000, 6100);
    open_and_check(store, agent, 2);
    add_messages(store, agent, 6100, 11000);
    open_and_check(store, agent, 3);
    open_and_check(store, agent, 3);
    mn_store_close(store);
}

/* Rubbish in the kept index, of any kind, is an index that is made anew. */
static void a_damaged_index_is_made_anew(void **state) {
    (void)state;
    static const char *const harms[] = {
        "UPDATE derived_turns_part SET items = names",
        "UPDATE derived_turns_part SET names = items",
        "UPDATE derived_turns_part SET n = n + 1",
        "UPDATE derived_turns_part SET first = 7",
        "UPDATE derived_turns_part SET rules = 99",
        "UPDATE derived_turns_part SET items = NULL",
        "UPDATE derived_turns_term SET postings = (SELECT items FROM derived_turns_part)",
    };
    int64_t agent;
    mn_store *store = with_importer("recall-damaged.db", &agent);
    size_t n_harms = server_folder ? 1 : sizeof harms / sizeof *harms; /* appending to a server takes its time */
    add_messages(store, agent, 0, 4500);
    open_and_check(store, agent, 1);
    for (size_t i = 0; i < n_harms; i++) {
        assert_ok(mn_store_exec(store, harms[i], &import_err), import_err);
        open_and_check(store, agent, 1);
    }
    mn_store_close(store);
}

/* Two programs that make it at once: one keeps it, both find all, also when more comes. */
static inline void two_programs_make_one_index(void **state) {
    (void)state;
    int64_t agent;
    mn_store *store = with_importer("recall-two.db", &agent), *second;
    char place[512];
    mn_recall_index *a, *b;
    place_of("recall-two.db", place, sizeof place);
    assert_ok(mn_store_open(place, NULL, &second, &import_err), import_err);
    add_messages(store, agent, 0, 5000);
    assert_ok(mn_recall_index_open(store, agent, &a, &import_err), import_err);
    assert_ok(mn_recall_index_open(second, agent, &b, &import_err), import_err);
    check_same(store, agent, a);
    check_same(second, agent, b);
    add_messages(store, agent, 5000, 10000);
    check_same(second, agent, b);
    check_same(store, agent, a);
    check_same(second, agent, b);
    mn_recall_index_close(a);
    mn_recall_index_close(b);
    open_and_check(second, agent, 2);
    mn_store_close(second);
    mn_store_close(store);
}

#define RECALL_SAVED_CASES                                                                                             \
    cmocka_unit_test(a_kept_index_finds_the_same), cmocka_unit_test(a_damaged_index_is_made_anew),                     \
        cmocka_unit_test(two_programs_make_one_index)

#endif
