/* Agent files: what is written, read and written again is the same; Letta's shape is read without loss; rubbish is a
 * sentence. */
#include "memory/scripted.h"

#include "base/random.h"
#include "memory/agent_file.h"
#include "memory/archival.h"

/* In the shape of letta/schemas/agent_file.py. */
static const char letta[] =
    "{\"agents\":[{\"id\":\"agent-0\",\"name\":\"Loop\",\"system\":\"You are Loop.\",\"agent_type\":\"letta_v1_agent\","
    "\"block_ids\":[\"block-7\"],\"tool_ids\":[\"tool-0\"],\"llm_config\":{\"model\":\"m\",\"context_window\":32000},"
    "\"tool_exec_environment_variables\":{\"SEARCH_KEY\":\"sk-secret\"},"
    "\"in_context_message_ids\":[\"message-0\",\"message-1\",\"message-2\"],\"messages\":["
    "{\"id\":\"message-0\",\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"You are Loop. <blocks>\"}]},"
    "{\"id\":\"message-1\",\"role\":\"assistant\",\"content\":[{\"type\":\"reasoning\",\"reasoning\":\"hm\"}],"
    "\"model\":\"m\",\"created_at\":\"2026-01-22T02:06:00.25+00:00\",\"tool_calls\":[{\"id\":\"x-1\",\"type\":"
    "\"function\",\"function\":{\"name\":\"send_message\",\"arguments\":\"{\\\"message\\\": \\\"Hello.\\\"}\"}}]},"
    "{\"id\":\"message-2\",\"role\":\"tool\",\"tool_call_id\":\"x-1\",\"content\":[],\"tool_returns\":[{\"status\":"
    "\"success\",\"func_response\":\"{\\\"status\\\": \\\"OK\\\"}\"}]}]}],"
    "\"blocks\":[{\"id\":\"block-7\",\"label\":\"human\",\"value\":\"Name: Ann\",\"limit\":4,\"read_only\":false,"
    "\"description\":null,\"metadata\":{\"a\":1}}],"
    "\"groups\":[],\"files\":[],\"sources\":[],\"tools\":[{\"id\":\"tool-0\",\"name\":\"web\",\"source_code\":\"def "
    "web():\\n  pass\"}],\"mcp_servers\":[{\"url\":\"http://x\",\"token\":\"secret-token\"}],"
    "\"metadata\":{\"revision_id\":\"r1\"},\"created_at\":\"2026-01-22T00:00:00+00:00\"}";

static char *written(mn_store *store, const char *name, size_t *bytes) {
    char *text = NULL;
    FILE *out = open_memstream(&text, bytes);
    assert_ok(mn_agent_file_write(store, name, out, &err), err);
    fclose(out);
    return text;
}

static void what_is_written_is_read(void **state) {
    (void)state;
    scripted s;
    mn_agent_file_figures figures;
    size_t bytes, bytes2;
    mn_store *store = new_store("af-ours.db"), *other = new_store("af-copy.db");
    static const char *const answers[] = {
        "core_memory_append {\"label\":\"human\",\"content\":\"Dog: Rex\",\"request_heartbeat\":true} | no_such {}",
        "archival_memory_insert {\"content\":\"\xc3\xa9t\xc3\xa9\",\"tags\":[\"b\",\"a\"],\"request_heartbeat\":true}",
        "send_message {\"message\":\"Done.\"}"};
    char big[3000];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    open_scripted(&s, store, (mn_agent_params){.style = MN_AGENT_MEMGPT}, 6000, answers, 3);
    for (int i = 0; i < 20; i++) assert_ok(turn(&s, i % 2 ? big : "Hello \"you\"."), err);
    assert_ok(mn_agent_event(s.agent, "login", "Back.", &err), err);
    assert_true(number(store, "SELECT count(*) FROM summary") > 0);
    close_scripted(&s);
    char *first = written(store, "ann", &bytes);
    assert_ok(mn_agent_file_read(other, first, bytes, NULL, &figures, &err), err);
    assert_int_equal(figures.n_agents, 1);
    assert_int_equal(figures.n_messages, number(store, "SELECT count(*) FROM message"));
    char *second = written(other, "ann", &bytes2);
    assert_int_equal(bytes2, bytes);
    assert_memory_equal(first, second, bytes);
    assert_int_equal(number(other, "SELECT count(*) FROM queue"), number(store, "SELECT count(*) FROM queue"));
    int64_t n;
    assert_ok(mn_recall_check(other, 1, &n, &err), err);
    /* The same once more is nothing; under another name it is another agent, which goes on where the first was. */
    assert_ok(mn_agent_file_read(other, first, bytes, NULL, &figures, &err), err);
    assert_int_equal(figures.n_agents + figures.n_messages, 0);
    assert_ok(mn_agent_file_read(other, first, bytes, "bob", &figures, &err), err);
    assert_int_equal(figures.n_messages, n);
    open_scripted(&s, other, (mn_agent_params){.style = MN_AGENT_MEMGPT}, 6000, answers + 2, 1);
    assert_true(mn_agent_goes_on(s.agent));
    assert_ok(mn_agent_run(s.agent, &err), err);
    assert_string_equal(s.script.said.data, "Done.\n");
    close_scripted(&s);
    free(first);
    free(second);
    mn_store_close(store);
    mn_store_close(other);
}

static void lettas_files_are_kept(void **state) {
    (void)state;
    mn_agent_file_figures figures;
    mn_store *store = new_store("af-letta.db");
    size_t bytes;
    assert_ok(mn_agent_file_read(store, letta, sizeof letta - 1, NULL, &figures, &err), err);
    assert_int_equal(figures.n_messages, 3);
    assert_int_equal(figures.n_blocks, 1);
    assert_int_equal(number(store, "SELECT count(*) FROM queue"), 2); /* the system's message is made anew */
    assert_int_equal(number(store, "SELECT time FROM message WHERE role = 'assistant'"), 1769047560);
    char *text = written(store, "Loop", &bytes);
    assert_null(strstr(text, "secret"));
    json_t *before = json_loads(letta, 0, NULL), *after = json_loads(text, 0, NULL);
    json_t *a = json_array_get(json_object_get(before, "agents"), 0),
           *b = json_array_get(json_object_get(after, "agents"), 0);
    static const char *const same[] = {"name",     "system",     "agent_type",
                                       "tool_ids", "llm_config", "in_context_message_ids"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_true(json_equal(json_object_get(a, same[i]), json_object_get(b, same[i])));
    for (size_t i = 0; i < 3; i++) {
        json_t *message = json_array_get(json_object_get(b, "messages"), i);
        json_object_del(message, "mnemo");
        assert_true(json_equal(json_array_get(json_object_get(a, "messages"), i), message));
    }
    assert_true(json_equal(json_object_get(before, "tools"), json_object_get(after, "tools")));
    json_t *block = json_array_get(json_object_get(after, "blocks"), 0);
    assert_true(json_is_null(json_object_get(block, "description")));
    assert_int_equal(json_integer_value(json_object_get(block, "limit")), 9); /* raised to what is there */
    json_decref(before);
    json_decref(after);
    free(text);
    assert_int_equal(mn_agent_file_read(store, letta, sizeof letta - 2, NULL, &figures, &err), MN_ERR_FORMAT);
    mn_store_close(store);
}

static void agents_of_one_name_are_both_taken(void **state) {
    (void)state;
    static const char file[] = "{\"agents\":[{\"name\":\"Eve\",\"system\":\"1\"},{\"name\":\"Eve\",\"system\":\"2\"},"
                               "{\"name\":\"Eve (2)\",\"system\":\"3\"},{\"name\":\"Eve\",\"system\":\"4\"}]}";
    mn_agent_file_figures figures;
    mn_store *store = new_store("af-names.db");
    assert_ok(mn_agent_file_read(store, file, sizeof file - 1, NULL, &figures, &err), err);
    assert_int_equal(figures.n_agents, 4);
    assert_int_equal(figures.n_renamed, 3);
    assert_int_equal(number(store, "SELECT count(*) FROM agent WHERE (name = 'Eve' AND system = '1') OR "
                                   "(name = 'Eve (2)' AND system = '2') OR (name = 'Eve (2) (2)' AND system = '3') OR "
                                   "(name = 'Eve (3)' AND system = '4')"),
                     4);
    assert_ok(mn_agent_file_read(store, file, sizeof file - 1, NULL, &figures, &err), err);
    assert_int_equal(figures.n_agents, 0);
    /* The name that the first one gets may be another's. */
    static const char two[] = "{\"agents\":[{\"name\":\"Bob\"},{\"name\":\"Ann\"}]}";
    assert_ok(mn_agent_file_read(store, two, sizeof two - 1, "Ann", &figures, &err), err);
    assert_int_equal(figures.n_agents, 2);
    assert_int_equal(number(store, "SELECT count(*) FROM agent WHERE name = 'Ann (2)'"), 1);
    mn_store_close(store);
}

/* Any byte may be another; what comes of it is an agent, or a sentence and nothing. */
static void rubbish_is_a_sentence(void **state) {
    (void)state;
    mn_random rng;
    mn_agent_file_figures figures;
    mn_store *store = new_store("af-rubbish.db");
    static const char *const wrong[] = {"",
                                        "7",
                                        "[]",
                                        "{\"agents\":[]}",
                                        "{\"agents\":[7]}",
                                        "\"{\\\"agents\\\":3}\"",
                                        "{\"agents\":[{\"name\":\"a\",\"messages\":[3]}]}",
                                        "{\"agents\":[{\"name\":\"a\",\"block_ids\":[\"b\"]}]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(mn_agent_file_read(store, wrong[i], strlen(wrong[i]), NULL, &figures, &err), MN_ERR_FORMAT);
    assert_int_equal(number(store, "SELECT count(*) FROM agent"), 0);
    mn_random_seed(&rng, 1, 1);
    for (int i = 0; i < 400; i++) {
        char copy[sizeof letta], name[16];
        memcpy(copy, letta, sizeof letta);
        for (uint32_t k = 1 + mn_random_below(&rng, 3); k > 0; k--)
            copy[mn_random_below(&rng, sizeof letta - 1)] = (char)mn_random_below(&rng, 256);
        snprintf(name, sizeof name, "a%d", i);
        mn_status status = mn_agent_file_read(store, copy, sizeof letta - 1, name, &figures, &err);
        if (status != MN_OK) assert_true(status == MN_ERR_FORMAT || status == MN_ERR_ARGUMENT);
    }
    mn_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(lettas_files_are_kept),
        cmocka_unit_test(agents_of_one_name_are_both_taken),
        cmocka_unit_test(rubbish_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
