/* LoCoMo's ten conversations: which turns hold the answer. Recall is the share of a question's evidence among the first
 * k turns, averaged over the 1982 questions that name evidence, of all five categories. */
#include "support/support.h"

#include "graph/turns.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_K = 50, N_CATEGORIES = 6, MULTI_HOP = 1 };

typedef struct tally {
    double at[MAX_K + 1]; /* sum of recalls within the first k */
    int n;
} tally;

static mn_error err;

/* The turn's number by the id of its turn, within one conversation; -1 = no such turn. */
typedef struct conversation {
    json_t *turn_of_id;
    const json_t *questions;
} conversation;

static void add_session(mn_turns *turns, const json_t *all, int session, const char *name, conversation *c) {
    char key[32], date_key[48];
    snprintf(key, sizeof key, "session_%d", session);
    snprintf(date_key, sizeof date_key, "session_%d_date_time", session);
    const json_t *list = json_object_get(all, key);
    const char *date = json_string_value(json_object_get(all, date_key));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *turn = json_array_get(list, i);
        const char *text = json_string_value(json_object_get(turn, "text"));
        json_object_set_new(c->turn_of_id, json_string_value(json_object_get(turn, "dia_id")),
                            json_integer(mn_turns_n(turns)));
        const mn_turn added = {.conversation = name,
                               .session = key,
                               .speaker = json_string_value(json_object_get(turn, "speaker")),
                               .time = date ? mn_turn_time(date) : MN_NO_TIME,
                               .text = text,
                               .bytes = strlen(text)};
        assert_ok(mn_turns_add(turns, &added, &err), err);
    }
}

/* Reads the ids D1:2 out of what the evidence says. */
static int evidence(const conversation *c, const json_t *list, int64_t *out, int max) {
    int n = 0, d, t, used;
    for (size_t i = 0; i < json_array_size(list); i++)
        for (const char *at = json_string_value(json_array_get(list, i)); (at = strchr(at, 'D')); at++) {
            char id[32];
            if (sscanf(at, "D%d:%d%n", &d, &t, &used) < 2) continue;
            snprintf(id, sizeof id, "D%d:%d", d, t);
            const json_t *turn = json_object_get(c->turn_of_id, id);
            if (turn && n < max) out[n++] = json_integer_value(turn);
        }
    return n;
}

static void ask_all(mn_turns *turns, const conversation *c, tally *tallies) {
    for (size_t i = 0; i < json_array_size(c->questions); i++) {
        const json_t *q = json_array_get(c->questions, i);
        int64_t gold[64];
        mn_turn_hit hits[MAX_K];
        uint32_t n_hits;
        int n_gold = evidence(c, json_object_get(q, "evidence"), gold, 64);
        int category = (int)json_integer_value(json_object_get(q, "category"));
        if (!n_gold) continue;
        assert_ok(mn_turns_search(turns, json_string_value(json_object_get(q, "question")), MAX_K, hits, &n_hits, &err),
                  err);
        double found = 0.0;
        for (uint32_t k = 1; k <= MAX_K; k++) {
            for (int g = 0; g < n_gold; g++) found += k <= n_hits && hits[k - 1].turn == gold[g];
            tallies[0].at[k] += found / n_gold;
            tallies[category].at[k] += found / n_gold;
        }
        tallies[0].n++;
        tallies[category].n++;
    }
}

static double recall(const tally *t, int k) { return 100.0 * t->at[k] / t->n; }

static void add_conversation(mn_turns *turns, const json_t *item, const char *name, conversation *c) {
    const json_t *all = json_object_get(item, "conversation");
    *c = (conversation){json_object(), json_object_get(item, "qa")};
    for (int session = 1; session < 64; session++) add_session(turns, all, session, name, c);
}

static json_t *load(void) {
    json_t *data = json_load_file(shared_path("agents/locomo10.json"), 0, NULL);
    assert_int_equal(json_array_size(data), 10);
    return data;
}

static void evidence_is_among_the_first_turns(void **state) {
    (void)state;
    tally tallies[N_CATEGORIES] = {0};
    json_t *data = load();
    for (size_t i = 0; i < 10; i++) {
        mn_turns *turns;
        conversation c;
        assert_ok(mn_turns_create(&turns, &err), err);
        add_conversation(turns, json_array_get(data, i), "", &c);
        ask_all(turns, &c, tallies);
        json_decref(c.turn_of_id);
        mn_turns_destroy(turns);
    }
    json_decref(data);
    print_message("recall@1 %.1f @5 %.1f @10 %.1f @20 %.1f @50 %.1f, multi-hop @10 %.1f, %d questions\n",
                  recall(tallies, 1), recall(tallies, 5), recall(tallies, 10), recall(tallies, 20), recall(tallies, 50),
                  recall(tallies + MULTI_HOP, 10), tallies[0].n);
    for (int c = 1; c < N_CATEGORIES; c++) print_message("category %d: @10 %.1f\n", c, recall(tallies + c, 10));
    assert_true(tallies[0].n > 1970);
    assert_true(recall(tallies, 10) >= 79.5);
    assert_true(recall(tallies, 5) >= 72.0);
    assert_true(recall(tallies + MULTI_HOP, 10) >= 46.6);
}

/* All in one store: the people named tell which conversation is meant. */
static void conversations_do_not_drown_each_other(void **state) {
    (void)state;
    tally tallies[N_CATEGORIES] = {0};
    conversation c[10];
    char name[8];
    json_t *data = load();
    mn_turns *turns;
    assert_ok(mn_turns_create(&turns, &err), err);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "%d", i);
        add_conversation(turns, json_array_get(data, (size_t)i), name, &c[i]);
    }
    for (int i = 0; i < 10; i++) {
        ask_all(turns, &c[i], tallies);
        json_decref(c[i].turn_of_id);
    }
    mn_turns_destroy(turns);
    json_decref(data);
    print_message("ten in one: recall@5 %.1f @10 %.1f\n", recall(tallies, 5), recall(tallies, 10));
    assert_true(recall(tallies, 10) >= 78.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_is_among_the_first_turns),
        cmocka_unit_test(conversations_do_not_drown_each_other),
    };
    return outcome(cmocka_run_group_tests(tests, NULL, NULL));
}
