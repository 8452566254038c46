/* Sleep-time consolidation: edits are committed together, once, and not over somebody else's. */
#include "memory/scripted.h"

#define ANSWERS(...)                                                                                                   \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)

static const mn_agent_params plain = {.style = MN_AGENT_PLAIN};

static const char *human(scripted *s) { return mn_block_find(mn_agent_blocks(s->agent), "human")->value; }

static void blocks_are_put_in_order(void **state) {
    (void)state;
    scripted s;
    int n_edits;
    mn_store *store = new_store("sleep-order.db");
    open_scripted(&s, store, plain, 8000,
                  ANSWERS(">Nice.", "memory_rethink {\"label\":\"human\",\"new_memory\":\"Dog: Rex\"}",
                          "memory_replace {\"label\":\"human\",\"old_string\":\"Cat\",\"new_string\":\"x\"}",
                          "send_message {\"message\":\"no\"} | memory_insert "
                          "{\"label\":\"human\",\"new_string\":\"Home: Bremen\"}",
                          "memory_finish_edits {}"));
    assert_ok(turn(&s, "My dog Rex and I live in Bremen."), err);
    assert_ok(mn_agent_sleep(s.agent, 20, &n_edits, &err), err);
    assert_int_equal(n_edits, 2);
    assert_string_equal(human(&s), "Dog: Rex\nHome: Bremen");
    assert_string_equal(s.script.said.data, "Nice.\n");
    assert_non_null(strstr(s.script.last_prompt, "user: My dog Rex and I live in Bremen."));
    assert_non_null(strstr(s.script.last_prompt, "does not hold \\\"Cat\\\""));
    /* Both edits are one version; what was seen is not looked at again. */
    assert_int_equal(number(store, "SELECT max(version) FROM block"), 2);
    size_t asked = s.script.at;
    assert_ok(mn_agent_sleep(s.agent, 20, &n_edits, &err), err);
    assert_int_equal(n_edits, 0);
    assert_int_equal(s.script.at, asked);
    close_scripted(&s);
    mn_store_close(store);
}

/* The model goes away in the middle: nothing of it is there, and the next sleep does all of it. */
static void half_a_sleep_is_none(void **state) {
    (void)state;
    scripted s;
    int n_edits;
    mn_store *store = new_store("sleep-half.db");
    open_scripted(&s, store, plain, 8000,
                  ANSWERS(">Nice.", "core_memory_append {\"label\":\"human\",\"content\":\"Dog: Rex\"}", "!",
                          "core_memory_append {\"label\":\"human\",\"content\":\"Dog: Rex\"}",
                          "memory_finish_edits {}"));
    assert_ok(turn(&s, "My dog is called Rex."), err);
    assert_int_equal(mn_agent_sleep(s.agent, 20, &n_edits, &err), MN_ERR_IO);
    assert_int_equal(number(store, "SELECT max(version) FROM block"), 1);
    assert_ok(mn_agent_sleep(s.agent, 20, &n_edits, &err), err);
    assert_string_equal(human(&s), "Dog: Rex");
    close_scripted(&s);
    mn_store_close(store);
}

/* Somebody edits the block while the model thinks: it thinks again, about what stands there now. */
static mn_status disturbed(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *e) {
    script *s = arg;
    if (s->at++ == 0) {
        mn_block_list blocks;
        assert_ok(mn_core_list((mn_store *)s->answers, 1, &blocks, e), *e);
        assert_ok(mn_core_set((mn_store *)s->answers, 1, mn_block_find(&blocks, "human"), "Cat: Tom", "other", e), *e);
        mn_block_list_release(&blocks);
    }
    const mn_llm_message *last = &request->messages[request->n_messages - 1];
    take_calls(!strcmp(last->role, "tool") ? "memory_finish_edits {}"
                                           : "core_memory_append {\"label\":\"human\",\"content\":\"Dog: Rex\"}",
               reply);
    return MN_OK;
}

static void edits_of_others_are_kept(void **state) {
    (void)state;
    mn_store *store = new_store("sleep-conflict.db");
    script s = {.answers = (const char *const *)store};
    mn_agent *agent;
    int n_edits;
    assert_ok(mn_llm_open_script("disturbed", 8000, disturbed, &s, &s.llm, &err), err);
    assert_ok(mn_agent_open(store, s.llm, "ann", &plain, &agent, &err), err);
    assert_ok(mn_agent_say(agent, "My dog is called Rex.", NULL, &err), err);
    assert_ok(mn_agent_sleep(agent, 20, &n_edits, &err), err);
    assert_string_equal(mn_block_find(mn_agent_blocks(agent), "human")->value, "Cat: Tom\nDog: Rex");
    mn_agent_close(agent);
    mn_llm_close(s.llm);
    mn_store_close(store);
}

/* A long conversation is looked through in pieces that fit, and the calls are bounded. */
static void long_talks_come_in_pieces(void **state) {
    (void)state;
    scripted s;
    int n_edits;
    char text[1200];
    mn_store *store = new_store("sleep-long.db");
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    open_scripted(&s, store, plain, 8000, ANSWERS(">Go on."));
    for (int i = 0; i < 40; i++) assert_ok(turn(&s, text), err);
    close_scripted(&s);
    open_scripted(&s, store, plain, 8000, ANSWERS("core_memory_append {\"label\":\"human\",\"content\":\"y\"}"));
    assert_ok(mn_agent_sleep(s.agent, 7, &n_edits, &err), err);
    assert_int_equal(s.script.at, 7);
    assert_true(s.script.most_tokens <= 8000 - 1024);
    close_scripted(&s);
    open_scripted(&s, store, plain, 8000, ANSWERS("memory_finish_edits {}"));
    assert_ok(mn_agent_sleep(s.agent, 100, &n_edits, &err), err);
    assert_true(s.script.at > 1);
    assert_int_equal(number(store, "SELECT slept_to FROM agent") - number(store, "SELECT max(id) FROM message"), 0);
    close_scripted(&s);
    mn_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_put_in_order),
        cmocka_unit_test(half_a_sleep_is_none),
        cmocka_unit_test(edits_of_others_are_kept),
        cmocka_unit_test(long_talks_come_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
