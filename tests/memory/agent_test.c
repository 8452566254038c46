/* The loop of an agent in its three styles, with a model that follows a script; and models that answer rubbish. */
#include "memory/scripted.h"

#define ANSWERS(...)                                                                                                   \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)

static const mn_agent_params memgpt = {.style = MN_AGENT_MEMGPT}, plain = {.style = MN_AGENT_PLAIN};

static void it_speaks_by_a_function(void **state) {
    (void)state;
    scripted s;
    mn_store *store = new_store("agent-speaks.db");
    open_scripted(
        &s, store, memgpt, 8000,
        ANSWERS("core_memory_append {\"label\":\"human\",\"content\":\"Dog: Rex\",\"request_heartbeat\":true}",
                "send_message {\"message\":\"A fine name.\"}"));
    assert_ok(turn(&s, "My dog is called \"Rex\"."), err);
    assert_string_equal(s.script.said.data, "A fine name.\n");
    assert_int_equal(s.script.at, 2);
    assert_false(mn_agent_goes_on(s.agent));
    assert_non_null(strstr(s.script.last_prompt, "\"message\":\"My dog is called \\\"Rex\\\".\""));
    assert_non_null(strstr(s.script.last_prompt, "\"status\":\"OK\""));
    assert_string_equal(mn_block_find(mn_agent_blocks(s.agent), "human")->value, "Dog: Rex");
    /* The block stands in the prompt from the next turn on. */
    assert_null(strstr(s.script.last_prompt, "\nDog: Rex\n"));
    assert_ok(turn(&s, "And?"), err);
    assert_non_null(strstr(s.script.last_prompt, "\nDog: Rex\n"));
    close_scripted(&s);
    mn_store_close(store);
}

/* Without a heartbeat the agent waits, but not before the user has had an answer. */
static void heartbeats_go_on(void **state) {
    (void)state;
    scripted s;
    mn_store *store = new_store("agent-heartbeats.db");
    open_scripted(&s, store, memgpt, 8000,
                  ANSWERS("archival_memory_insert {\"content\":\"x\"}", "send_message {\"message\":\"Done.\"}",
                          "archival_memory_insert {\"content\":\"y\"}", "pause_heartbeats {\"minutes\":30}"));
    assert_ok(turn(&s, "Put x away."), err);
    assert_string_equal(s.script.said.data, "Done.\n");
    assert_ok(mn_agent_event(s.agent, "heartbeat", "An hour has passed.", &err), err);
    assert_ok(mn_agent_run(s.agent, &err), err);
    assert_int_equal(s.script.at, 3);
    assert_ok(mn_agent_event(s.agent, "login", "The user is back.", &err), err);
    assert_ok(mn_agent_run(s.agent, &err), err);
    assert_int_equal(s.script.at, 4);
    assert_ok(mn_agent_event(s.agent, "heartbeat", "Too early.", &err), err);
    assert_false(mn_agent_goes_on(s.agent));
    assert_int_equal(number(store, "SELECT count(*) FROM archival"), 2);
    close_scripted(&s);
    mn_store_close(store);
}

static void plain_text_reaches_the_user(void **state) {
    (void)state;
    scripted s;
    mn_store *store = new_store("agent-plain.db");
    open_scripted(&s, store, plain, 8000,
                  ANSWERS("archival_memory_insert {\"content\":\"The tide is low at noon.\",\"tags\":[\"sea\"]} | "
                          "archival_memory_search {\"query\":\"tides\",\"tags\":[\"sea\"]}",
                          ">At noon."));
    assert_ok(turn(&s, "When is the tide low?"), err);
    assert_string_equal(s.script.said.data, "At noon.\n");
    assert_non_null(strstr(s.script.last_prompt, "1 of 1 results"));
    assert_non_null(strstr(s.script.last_prompt, "user: When is the tide low?"));
    close_scripted(&s);
    mn_store_close(store);
}

static void what_was_said_is_found(void **state) {
    (void)state;
    scripted s;
    mn_store *store = new_store("agent-finds.db");
    mn_memory_set_now(1700000000);
    open_scripted(
        &s, store, memgpt, 8000,
        ANSWERS("send_message {\"message\":\"The lighthouse is green.\"}",
                "conversation_search {\"query\":\"what colour has the lighthouse\",\"request_heartbeat\":true}",
                "conversation_search_date {\"start_date\":\"2023-11-14\",\"end_date\":\"2023-11-14\","
                "\"request_heartbeat\":true}",
                "conversation_read {\"message\":1,\"offset\":3,\"request_heartbeat\":true}",
                "send_message {\"message\":\"Green.\"}"));
    assert_ok(turn(&s, "Describe it."), err);
    assert_ok(turn(&s, "What colour has the lighthouse?"), err);
    assert_non_null(strstr(s.script.last_prompt, "assistant said: The lighthouse is green."));
    assert_non_null(strstr(s.script.last_prompt, "Bytes 3 to 12 of 12:\\ncribe it."));
    assert_null(strstr(s.script.last_prompt, "user: What colour")); /* the question itself is not found */
    mn_memory_set_now(0);
    close_scripted(&s);
    mn_store_close(store);
}

static const char *block_after(const char *const *answers, size_t n, char value[512]) {
    scripted s;
    mn_store *store = new_store("agent-blocks.db");
    open_scripted(&s, store, plain, 16000, answers, n);
    assert_ok(turn(&s, "Go."), err);
    snprintf(value, 512, "%s", mn_block_find(mn_agent_blocks(s.agent), "human")->value);
    close_scripted(&s);
    mn_store_close(store);
    return value;
}

static void blocks_are_edited(void **state) {
    (void)state;
    char value[512];
#define START "memory_rethink {\"label\":\"human\",\"new_memory\":\"one\\ntwo\\ntwo\\nthree\"}"
    assert_string_equal(
        block_after(ANSWERS(START, "memory_replace {\"label\":\"human\",\"old_string\":\"three\",\"new_string\":\"3\"}",
                            "memory_replace {\"label\":\"human\",\"old_string\":\"two\",\"new_string\":\"2\"}", ">ok"),
                    value),
        "one\ntwo\ntwo\n3"); /* what stands there twice is refused */
    assert_string_equal(
        block_after(ANSWERS(START, "memory_insert {\"label\":\"human\",\"new_string\":\"zero\",\"insert_line\":0}",
                            "memory_insert {\"label\":\"human\",\"new_string\":\"1.5\",\"insert_line\":2}",
                            "memory_insert {\"label\":\"human\",\"new_string\":\"four\"}", ">ok"),
                    value),
        "zero\none\n1.5\ntwo\ntwo\nthree\nfour");
    assert_string_equal(
        block_after(ANSWERS(START,
                            "memory_apply_patch {\"label\":\"human\",\"patch\":\"@@\\n one\\n-two\\n+2\\n two\\n@@\\n-"
                            "three\\n+3\\n+4\"}",
                            ">ok"),
                    value),
        "one\n2\ntwo\n3\n4");
    assert_string_equal(
        block_after(
            ANSWERS(START, "memory_apply_patch {\"label\":\"human\",\"patch\":\"-one\\n+1\\n@@\\n-nine\\n+9\"}", ">ok"),
            value),
        "one\ntwo\ntwo\nthree"); /* all of a patch or nothing */
    assert_string_equal(
        block_after(ANSWERS(START,
                            "core_memory_replace {\"name\":\"human\",\"old_content\":\"two\\n\",\"new_content\":\"\"}",
                            ">ok"),
                    value),
        "one\ntwo\nthree");
#undef START
}

/* ---- rubbish ---- */

static void rubbish_ends_in_results(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "no_such_function {}",
        "send_message",
        "send_message not json",
        "send_message [1]",
        "send_message {\"message\":7}",
        "send_message {\"message\":\" \"}",
        "core_memory_append {\"label\":\"nothing\",\"content\":\"x\"}",
        "core_memory_append {\"content\":\"x\"}",
        "core_memory_replace {\"label\":\"human\",\"old_content\":\"\",\"new_content\":\"x\"}",
        "conversation_search {\"query\":\"x\",\"start_date\":\"yesterday\"}",
        "conversation_search {\"query\":7,\"limit\":-3,\"page\":99999999999}",
        "conversation_search_date {}",
        "conversation_read {\"message\":999999}",
        "archival_memory_insert {\"content\":\"\"}",
        "memory_finish_edits {}",
        "archival_memory_search {\"query\":\"\\ud800\"}",
    };
    mn_store *store = new_store("agent-rubbish.db");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        scripted s;
        open_scripted(&s, store, memgpt, 8000, ANSWERS(wrong[i], "send_message {\"message\":\"I am back.\"}"));
        assert_ok(turn(&s, "Go."), err);
        assert_string_equal(s.script.said.data, "I am back.\n");
        if (!strstr(s.script.last_prompt, "\"status\":\"Failed\"")) fail_msg("%s did not fail", wrong[i]);
        close_scripted(&s);
    }
    mn_store_close(store);
}

static void a_block_beyond_its_limit_is_refused(void **state) {
    (void)state;
    scripted s;
    char call[4096], text[3000];
    memset(text, 'x', sizeof text);
    snprintf(call, sizeof call, "core_memory_append {\"label\":\"human\",\"content\":\"%.2500s\"}", text);
    mn_store *store = new_store("agent-limit.db");
    const char *answers[] = {call, "send_message {\"message\":\"Too long.\"}"};
    open_scripted(&s, store, memgpt, 16000, answers, 2);
    assert_ok(turn(&s, "Go."), err);
    assert_non_null(strstr(s.script.last_prompt, "2500 characters, its limit is 2000"));
    assert_int_equal(number(store, "SELECT count(*) FROM block_version"), 2);
    close_scripted(&s);
    mn_store_close(store);
}

static void circles_end(void **state) {
    (void)state;
    scripted s;
    mn_store *store = new_store("agent-circles.db");
    open_scripted(&s, store, memgpt, 30000,
                  ANSWERS("conversation_search {\"query\":\"x\",\"request_heartbeat\":true}"));
    assert_int_equal(turn(&s, "Go."), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "without an answer"));
    assert_true(s.script.at < 10);
    assert_false(mn_agent_goes_on(s.agent));
    close_scripted(&s);
    /* Also where the prompt has a note in the place of long arguments. */
    static char call[40000];
    size_t n = (size_t)snprintf(call, sizeof call, "conversation_search {\"request_heartbeat\":true,\"query\":\"");
    memset(call + n, 'y', sizeof call - 4 - n);
    memcpy(call + sizeof call - 4, "\"}", 3);
    open_scripted(&s, store, memgpt, 8000, ANSWERS(call));
    assert_int_equal(turn(&s, "Go."), MN_ERR_LIMIT);
    assert_true(s.script.at > 1 && s.script.at < 10);
    close_scripted(&s);
    /* Calls that differ are ended by the number of steps. */
    mn_agent_params few = plain;
    few.max_steps = 4;
    open_scripted(&s, store, few, 30000,
                  ANSWERS("conversation_search {\"query\":\"a\"}", "conversation_search {\"query\":\"b\"}",
                          "conversation_search {\"query\":\"c\"}", "conversation_search {\"query\":\"d\"}",
                          "conversation_search {\"query\":\"e\"}"));
    assert_int_equal(turn(&s, "Go on."), MN_ERR_LIMIT);
    assert_int_equal(s.script.at, 4);
    assert_int_equal(number(store, "SELECT count(*) FROM message WHERE name = 'system_alert'"), 1);
    close_scripted(&s);
    /* The same message is said once. */
    open_scripted(&s, store, memgpt, 30000, ANSWERS("send_message {\"message\":\"Hm.\",\"request_heartbeat\":true}"));
    assert_ok(turn(&s, "Say it."), err);
    assert_int_equal(s.script.n_said, 1);
    close_scripted(&s);
    mn_store_close(store);
}

static void answers_of_no_use_are_asked_again(void **state) {
    (void)state;
    scripted s;
    mn_store *store = new_store("agent-useless.db");
    open_scripted(&s, store, memgpt, 8000, ANSWERS(">Hello!", ">Hello!", "send_message {\"message\":\"Hello.\"}"));
    assert_ok(turn(&s, "Hello?"), err);
    assert_string_equal(s.script.said.data, "Hello.\n");
    close_scripted(&s);
    open_scripted(&s, store, memgpt, 8000, ANSWERS(">Only \xff text."));
    assert_ok(turn(&s, "Hello?"), err);
    assert_string_equal(s.script.said.data, "Only \xef\xbf\xbd text.\n"); /* what a small model cannot wrap */
    close_scripted(&s);
    open_scripted(&s, store, memgpt, 8000, ANSWERS("", "", "", "send_message {\"message\":\"Now.\"}"));
    assert_int_equal(turn(&s, "Are you there?"), MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "no answer of use in 3 tries"));
    assert_true(mn_agent_goes_on(s.agent));
    assert_ok(mn_agent_run(s.agent, &err), err);
    assert_string_equal(s.script.said.data, "Now.\n");
    close_scripted(&s);
    mn_store_close(store);
}

static void a_model_that_is_away_loses_nothing(void **state) {
    (void)state;
    scripted s;
    mn_store *store = new_store("agent-away.db");
    open_scripted(&s, store, plain, 8000, ANSWERS("!", ">Here."));
    assert_int_equal(turn(&s, "Hello?"), MN_ERR_IO);
    assert_string_equal(err.text, "The endpoint is away.");
    assert_ok(mn_agent_run(s.agent, &err), err);
    assert_string_equal(s.script.said.data, "Here.\n");
    assert_int_equal(mn_agent_say(s.agent, "\xff", NULL, &err), MN_ERR_FORMAT);
    close_scripted(&s);
    mn_store_close(store);
}

static void two_programs_do_not_mix(void **state) {
    (void)state;
    scripted s, t;
    mn_store *store = new_store("agent-two.db"), *same;
    assert_ok(mn_store_open(temp_path("agent-two.db"), NULL, &same, &err), err);
    open_scripted(&s, store, plain, 8000, ANSWERS(">One."));
    open_scripted(&t, same, plain, 8000, ANSWERS(">Two."));
    assert_ok(turn(&s, "First."), err);
    assert_int_equal(turn(&t, "Second."), MN_ERR_IO);
    assert_non_null(strstr(err.text, "Another program"));
    assert_ok(turn(&t, "Second."), err); /* it has read the other's messages now */
    assert_non_null(strstr(t.script.last_prompt, "assistant: One."));
    int64_t n;
    assert_ok(mn_recall_check(store, 1, &n, &err), err);
    assert_int_equal(n, 4);
    close_scripted(&s);
    close_scripted(&t);
    mn_store_close(same);
    mn_store_close(store);
}

/* ---- automatic ---- */

static void found(void *arg, const char *fact) { (void)arg, (void)fact; }

static void memory_answers_alone(void **state) {
    (void)state;
    scripted s;
    mn_store *store = new_store("agent-automatic.db");
    const mn_agent_params params = {.style = MN_AGENT_AUTOMATIC, .answers = MN_ANSWERS_MEMORY, .found = found};
    mn_memory_set_now(1700000000);
    open_scripted(&s, store, params, 4000, NULL, 0);
    assert_ok(turn(&s, "My dog is called Rex. He is old."), err);
    assert_ok(turn(&s, "I live in Bremen."), err);
    assert_ok(turn(&s, "What is my dog called?"), err);
    assert_ok(turn(&s, "Where is the moon?"), err);
    assert_string_equal(s.script.said.data, "Noted.\nNoted.\n2023-11-14, user: My dog is called Rex.\n"
                                            "Nothing that was said so far is about that.\n");
    assert_int_equal(s.script.at, 0);
    mn_memory_set_now(0);
    close_scripted(&s);
    mn_store_close(store);
}

static void a_model_reads_what_is_remembered(void **state) {
    (void)state;
    scripted s;
    mn_store *store = new_store("agent-reads.db");
    mn_agent_params params = {.style = MN_AGENT_AUTOMATIC, .answers = MN_ANSWERS_QUESTION};
    open_scripted(&s, store, params, 4000, ANSWERS(">It is called Rex.", ">It is called Bello, of course."));
    assert_ok(turn(&s, "My dog is called Rex."), err);
    assert_ok(turn(&s, "Listen. What is my dog called?"), err);
    assert_non_null(strstr(s.script.last_prompt, "user: My dog is called Rex.\n\nuser: What is my dog called?"));
    assert_ok(turn(&s, "What is my dog called?"), err); /* what nobody said is not handed on */
    assert_int_equal(s.script.n_said, 3);
    assert_non_null(strstr(s.script.said.data, "Noted.\nIt is called Rex.\n"));
    assert_null(strstr(s.script.said.data, "Bello"));
    close_scripted(&s);
    params.answers = MN_ANSWERS_TALK;
    open_scripted(&s, store, params, 4000, ANSWERS(">Rex!"));
    assert_ok(turn(&s, "Do you know my dog?"), err);
    assert_non_null(strstr(s.script.last_prompt, "What was said before:\n"));
    assert_non_null(strstr(s.script.last_prompt, "assistant: It is called Rex."));
    close_scripted(&s);
    mn_store_close(store);
}

/* What another function's journal shows: each part counted, and the parts are the whole. */
static void parts_are_the_whole(void **state) {
    (void)state;
    scripted s;
    mn_agent_context c;
    mn_store *store = new_store("agent-parts.db");
    open_scripted(&s, store, memgpt, 8000, ANSWERS("send_message {\"message\":\"Yes.\"}"));
    for (int i = 0; i < 5; i++) assert_ok(turn(&s, "Say yes."), err);
    assert_ok(mn_agent_look(s.agent, &c, &err), err);
    assert_int_equal(c.instructions + c.functions + c.blocks + c.metadata + c.summary + c.messages + c.template_,
                     c.all);
    assert_true(c.template_ >= 0 && c.template_ < 20);
    assert_int_equal(c.n_queue, 15);
    assert_int_equal(c.n_messages, 20); /* what was said is kept beside its call */
    close_scripted(&s);
    mn_store_close(store);
}

/* A call that needs consent is not executed before it is given, whoever opens the agent meanwhile; refused, the model
 * is told why. */
static void calls_wait_for_consent(void **state) {
    (void)state;
    const mn_agent_params careful = {.style = MN_AGENT_PLAIN, .consent = "pause_heartbeats, archival_memory_insert"};
    const char *const answers[] = {
        "archival_memory_insert {\"content\":\"a\"} | archival_memory_search {\"query\":\"a\"}"
        " | archival_memory_insert {\"content\":\"b\"}",
        ">Done."};
    scripted s;
    bool waits;
    mn_llm_reply call;
    mn_store *store = new_store("agent-consent.db");
    open_scripted(&s, store, careful, 8000, answers, 2);
    assert_int_equal(mn_agent_decide(s.agent, true, NULL, &err), MN_ERR_ARGUMENT);
    assert_ok(turn(&s, "Put a and b away."), err);
    assert_int_equal(number(store, "SELECT count(*) FROM archival"), 0);
    assert_int_equal(mn_agent_say(s.agent, "Well?", NULL, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "consent to archival_memory_insert"));
    assert_int_equal(mn_agent_event(s.agent, "login", "Back.", &err), MN_ERR_ARGUMENT);
    assert_ok(mn_agent_run(s.agent, &err), err);
    assert_int_equal(mn_agent_sleep(s.agent, 9, &(int){0}, &err), MN_OK);
    close_scripted(&s);
    open_scripted(&s, store, careful, 8000, answers + 1, 1);
    assert_ok(mn_agent_waits(s.agent, &waits, &call, &err), err);
    assert_true(waits);
    assert_string_equal(call.calls[0].name, "archival_memory_insert");
    assert_string_equal(call.calls[0].arguments, "{\"content\":\"a\"}");
    mn_llm_reply_release(&call);
    assert_ok(mn_agent_decide(s.agent, true, NULL, &err), err);
    assert_int_equal(number(store, "SELECT count(*) FROM archival"), 1);
    assert_ok(mn_agent_run(s.agent, &err), err); /* the search runs by itself */
    assert_ok(mn_agent_waits(s.agent, &waits, &call, &err), err);
    assert_string_equal(call.calls[0].arguments, "{\"content\":\"b\"}");
    mn_llm_reply_release(&call);
    assert_ok(mn_agent_decide(s.agent, false, "b is \"secret\" \xff", &err), err);
    assert_ok(mn_agent_run(s.agent, &err), err);
    assert_string_equal(s.script.said.data, "Done.\n");
    assert_non_null(strstr(s.script.last_prompt, "The user did not allow this: b is \\\"secret\\\""));
    assert_int_equal(number(store, "SELECT count(*) FROM archival"), 1);
    assert_ok(mn_agent_waits(s.agent, &waits, &call, &err), err);
    assert_false(waits);
    close_scripted(&s);
    /* All functions but what is said to the user. */
    open_scripted(&s, store, (mn_agent_params){.style = MN_AGENT_MEMGPT, .consent = "*"}, 8000,
                  ANSWERS("send_message {\"message\":\"Hello.\"}", "memory_rethink {\"label\":\"human\"}"));
    assert_ok(turn(&s, "Hello."), err);
    assert_string_equal(s.script.said.data, "Hello.\n");
    assert_ok(turn(&s, "Now?"), err);
    assert_ok(mn_agent_waits(s.agent, &waits, &call, &err), err);
    assert_true(waits);
    mn_llm_reply_release(&call);
    assert_int_equal(mn_agent_sleep(s.agent, 9, &(int){0}, &err), MN_ERR_UNSUPPORTED);
    close_scripted(&s);
    mn_store_close(store);
}

static void too_small_a_window_is_said(void **state) {
    (void)state;
    mn_store *store = new_store("agent-small.db");
    script s = {0};
    mn_agent *agent;
    assert_ok(mn_llm_open_script("script", 600, script_answer, &s, &s.llm, &err), err);
    assert_int_equal(mn_agent_open(store, s.llm, "ann", &memgpt, &agent, &err), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "take a window of at least"));
    assert_int_equal(mn_agent_open(store, s.llm, "", &memgpt, &agent, &err), MN_ERR_ARGUMENT);
    mn_llm_close(s.llm);
    mn_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_speaks_by_a_function),
        cmocka_unit_test(heartbeats_go_on),
        cmocka_unit_test(plain_text_reaches_the_user),
        cmocka_unit_test(what_was_said_is_found),
        cmocka_unit_test(blocks_are_edited),
        cmocka_unit_test(rubbish_ends_in_results),
        cmocka_unit_test(a_block_beyond_its_limit_is_refused),
        cmocka_unit_test(circles_end),
        cmocka_unit_test(answers_of_no_use_are_asked_again),
        cmocka_unit_test(a_model_that_is_away_loses_nothing),
        cmocka_unit_test(two_programs_do_not_mix),
        cmocka_unit_test(memory_answers_alone),
        cmocka_unit_test(a_model_reads_what_is_remembered),
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(calls_wait_for_consent),
        cmocka_unit_test(too_small_a_window_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
