/* Cache, journal and budget around a model; calls in what models write; this engine as one. */
#include "store/stores.h"

#include "llm/llm.h"
#include "llm/tool_calls.h"
#include "base/random.h"
#include "llm/tool_grammar.h"
#include "grammar/constraint.h"
#include "tokenizer/named_template.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

static mn_error err;

typedef struct script {
    int n_asked;
    const char *answer;
} script;

static mn_status answer(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *e) {
    script *s = arg;
    (void)request, (void)e;
    s->n_asked++;
    reply->content = strdup(s->answer);
    return MN_OK;
}

static mn_status fails(void *arg, const mn_llm_request *request, mn_llm_reply *reply, mn_error *e) {
    ++*(int *)arg;
    (void)request, (void)reply;
    return mn_fail(e, MN_ERR_IO, "It is away.");
}

static mn_status ask(mn_llm *llm, const char *text, double temperature, mn_llm_reply *reply) {
    const mn_llm_message message = {.role = "user", .content = text};
    const mn_llm_request request = {
        .messages = &message, .n_messages = 1, .temperature = temperature, .max_tokens = 20, .purpose = "test"};
    return mn_llm_ask(llm, &request, reply, &err);
}

static void what_was_asked_is_not_asked_again(void **state) {
    (void)state;
    script s = {.answer = "42"};
    mn_llm *llm;
    mn_llm_reply reply;
    mn_store *store = new_store("journal.db");
    assert_ok(mn_llm_open_script("oracle", 1000, answer, &s, &llm, &err), err);
    assert_ok(mn_llm_set_journal(llm, store, &err), err);
    for (int i = 0; i < 3; i++) {
        assert_ok(ask(llm, "six by seven?", 0.2, &reply), err);
        assert_string_equal(reply.content, "42");
        assert_true(reply.is_cached == (i > 0));
        mn_llm_reply_release(&reply);
    }
    assert_ok(ask(llm, "six by seven?", 0.3, &reply), err);
    mn_llm_reply_release(&reply);
    assert_int_equal(s.n_asked, 2);
    assert_int_equal(mn_llm_used(llm).n_calls, 2);
    assert_int_equal(mn_llm_used(llm).n_cached, 2);
    int64_t n;
    assert_ok(mn_store_number(store, 0, &n, &err, "SELECT sum(n_hits) FROM llm_call WHERE purpose = 'test'", ""), err);
    assert_int_equal(n, 2);
    mn_llm_close(llm);
    /* Another model of another name is asked itself; the journal outlives the model. */
    assert_ok(mn_llm_open_script("other", 1000, answer, &s, &llm, &err), err);
    assert_ok(mn_llm_set_journal(llm, store, &err), err);
    assert_ok(ask(llm, "six by seven?", 0.2, &reply), err);
    assert_false(reply.is_cached);
    mn_llm_reply_release(&reply);
    assert_int_equal(ask(llm, "\xff", 0.2, &reply), MN_ERR_ARGUMENT);
    mn_llm_close(llm);
    mn_store_close(store);
}

static void failures_are_not_kept(void **state) {
    (void)state;
    int n = 0;
    mn_llm *llm;
    mn_llm_reply reply;
    mn_store *store = new_store("journal-fails.db");
    assert_ok(mn_llm_open_script("away", 1000, fails, &n, &llm, &err), err);
    assert_ok(mn_llm_set_journal(llm, store, &err), err);
    for (int i = 0; i < 2; i++) assert_int_equal(ask(llm, "x", 0.0, &reply), MN_ERR_IO);
    assert_int_equal(n, 2);
    mn_llm_close(llm);
    mn_store_close(store);
}

static void budgets_and_windows_are_kept(void **state) {
    (void)state;
    script s = {.answer = "yes"};
    mn_llm *llm;
    mn_llm_reply reply;
    char *large = calloc(1, 4000);
    memset(large, 'a', 3999);
    assert_ok(mn_llm_open_script("oracle", 1000, answer, &s, &llm, &err), err);
    assert_int_equal(ask(llm, large, 0.0, &reply), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "window of 1000"));
    mn_llm_set_budget(llm, 2, 0);
    for (int i = 0; i < 2; i++) {
        assert_ok(ask(llm, "x", 0.0, &reply), err);
        mn_llm_reply_release(&reply);
    }
    assert_int_equal(ask(llm, "x", 0.0, &reply), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "2 calls"));
    mn_llm_set_budget(llm, 0, 48);
    assert_int_equal(ask(llm, "x", 0.0, &reply), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "budget of 48"));
    assert_int_equal(s.n_asked, 2);
    free(large);
    mn_llm_close(llm);
}

static void calls_are_read_in_every_format(void **state) {
    (void)state;
    static const struct {
        const char *text, *left;
        size_t n;
        const char *name, *arguments;
    } cases[] = {
        {"I look.\n<tool_call>\n{\"name\": \"find\", \"arguments\": {\"q\": \"a b\"}}\n</tool_call>", "I look.\n", 1,
         "find", "{\"q\":\"a b\"}"},
        {"<tool_call>{\"name\":\"a\",\"arguments\":{}}</"
         "tool_call>\n<tool_call>{\"name\":\"b\",\"arguments\":{\"x\":1}}",
         "", 2, "b", "{\"x\":1}"},
        {"[TOOL_CALLS][{\"name\":\"a\",\"arguments\":{\"x\":1}},{\"name\":\"b\",\"arguments\":{}}]</s>", "</s>", 2, "b",
         "{}"},
        {"[TOOL_CALLS]find[ARGS]{\"q\":\"x\"}", "", 1, "find", "{\"q\":\"x\"}"},
        {"<|python_tag|>{\"name\": \"find\", \"parameters\": {\"q\": 1}}", "", 1, "find", "{\"q\":1}"},
        {"```json\n{\"function\": {\"name\": \"f\", \"arguments\": \"{}\"}}\n```", "", 1, "f", "{}"},
        {"{\"name\": \"f\"}", "", 1, "f", "{}"},
        {"{\"name\": \"f\", \"arguments\": {\"q\": \"[TOOL_CALLS]g[ARGS]{}\"}}", "", 1, "f",
         "{\"q\":\"[TOOL_CALLS]g[ARGS]{}\"}"},
        {"The name is {\"name\": \"f\"}", "The name is {\"name\": \"f\"}", 0, NULL, NULL},
        {"{\"answer\": 1}", "{\"answer\": 1}", 0, NULL, NULL},
        {"<tool_call>{\"name\": \"f\", \"argum", "<tool_call>{\"name\": \"f\", \"argum", 0, NULL, NULL},
        {"<tool_call><tool_call><tool_call>", "<tool_call><tool_call><tool_call>", 0, NULL, NULL},
        {"[TOOL_CALLS][ARGS]{}", "[TOOL_CALLS][ARGS]{}", 0, NULL, NULL},
        {"[]", "[]", 0, NULL, NULL},
        {"", "", 0, NULL, NULL},
        {"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.find "
         "<|constrain|>json<|message|>{\"q\": 1}<|call|>",
         "", 1, "find", "{\"q\":1}"},
        {"to=functions.a<|channel|>commentary "
         "json<|message|>{}<|call|><|start|>assistant<|channel|>final<|message|>Yes."
         "<|return|>",
         "Yes.", 1, "a", "{}"},
        {"<|channel|>commentary to=functions.a <|message|>{\"t\": "
         "\"<|start|>assistant to=functions.b<|message|>{}\"}<|call|>",
         "", 1, "a", "{\"t\":\"<|start|>assistant to=functions.b<|message|>{}\"}"},
        {"<|channel|>commentary to=functions.f <|message|>{\"q\":",
         "<|channel|>commentary to=functions.f <|message|>{\"q\":", 0, NULL, NULL},
        {"<|channel|>analysis<|message|>to=functions.f {}<|end|><|start|>assistant<|channel|>final<|message|>No.",
         "No.", 0, NULL, NULL},
        {"<|channel|>analysis", "<|channel|>analysis", 0, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_llm_reply reply = {.content = strdup(cases[i].text)};
        assert_true(mn_tool_calls_take(mn_tool_format_in(reply.content), &reply));
        if (reply.n_calls != cases[i].n) fail_msg("%s: %zu calls", cases[i].text, reply.n_calls);
        assert_string_equal(reply.content, cases[i].left);
        if (reply.n_calls) {
            assert_string_equal(reply.calls[reply.n_calls - 1].name, cases[i].name);
            assert_string_equal(reply.calls[reply.n_calls - 1].arguments, cases[i].arguments);
        }
        mn_llm_reply_release(&reply);
    }
}

static void calls_come_back_as_they_were_written(void **state) {
    (void)state;
    const mn_llm_call calls[] = {{"", "find", "{\"q\": \"a \\\"b\\\" </tool_call> \\u00e9\", \"n\": [1, {}]}"},
                                 {"", "send_message", "{}"},
                                 {"", "broken", "{\"q\": "}};
    static const char *const arguments[] = {"{\"q\":\"a \\\"b\\\" </tool_call> \xc3\xa9\",\"n\":[1,{}]}", "{}", "{}"};
    for (mn_tool_format f = MN_TOOLS_JSON; f <= MN_TOOLS_HARMONY; f++)
        for (size_t n = 1; n <= 3; n++) {
            mn_strbuf text = MN_STRBUF_INIT;
            mn_tool_calls_write(f, calls, n, &text);
            mn_llm_reply reply = {.content = mn_strbuf_detach(&text, NULL)};
            assert_true(mn_tool_calls_take(f, &reply));
            if (reply.n_calls != n) fail_msg("%s: %zu of %zu calls", mn_tool_format_name(f), reply.n_calls, n);
            for (size_t i = 0; i < n; i++) {
                assert_string_equal(reply.calls[i].name, calls[i].name);
                assert_string_equal(reply.calls[i].arguments, arguments[i]);
            }
            mn_llm_reply_release(&reply);
        }
}

static void formats_are_told_by_their_templates(void **state) {
    (void)state;
    assert_int_equal(mn_tool_format_of(NULL), MN_TOOLS_JSON);
    assert_int_equal(mn_tool_format_of("{{ messages }}"), MN_TOOLS_JSON);
    assert_int_equal(mn_tool_format_of("... <tool_call>\n{"), MN_TOOLS_HERMES);
    assert_int_equal(mn_tool_format_of("'to=functions.' ... '<|channel|>commentary '"), MN_TOOLS_HARMONY);
    assert_int_equal(mn_tool_format_of(mn_named_template("gpt-oss")), MN_TOOLS_HARMONY);
    assert_int_equal(mn_tool_format_of("[TOOL_CALLS] [{"), MN_TOOLS_MISTRAL);
    assert_int_equal(mn_tool_format_of("[TOOL_CALLS]f[ARGS]{}"), MN_TOOLS_MISTRAL_ARGS);
    assert_int_equal(mn_tool_format_of("<|start_header_id|> '{\"name\": ..., \"parameters\": ...'"), MN_TOOLS_LLAMA3);
}

static void tools_become_a_schema(void **state) {
    (void)state;
    char *schema;
    assert_ok(mn_tool_calls_schema(MN_TOOLS_JSON, "[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]",
                                   &schema, &err),
              err);
    assert_non_null(strstr(schema, "\"const\":\"f\""));
    free(schema);
    static const char *const broken[] = {
        "[]", "{", "{}", "[1]", "[{\"function\": {\"name\": 3}}]", "[{\"name\": \"\"}]"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_int_equal(mn_tool_calls_schema(MN_TOOLS_JSON, broken[i], &schema, &err), MN_ERR_FORMAT);
}

static mn_llm *open_model(const char *path, int64_t n_ctx, mn_engine **engine) {
    mn_llm *llm;
    const mn_session_params params = {.n_ctx = n_ctx};
    assert_ok(mn_engine_open(data_path(path), NULL, engine, &err), err);
    assert_ok(mn_llm_open_engine(*engine, &params, &llm, &err), err);
    assert_int_equal(mn_llm_n_ctx(llm), n_ctx);
    return llm;
}

static void this_engine_answers(void **state) {
    (void)state;
    static const char text[] = "The sun was low. The secret number of Paris is 77120. He went home.";
    mn_engine *engine;
    mn_llm *llm = open_model("models/default.gguf", 256, &engine);
    mn_llm_reply reply;
    const mn_llm_message messages[] = {{.role = "system", .content = text},
                                       {.role = "user", .content = "What is the secret number of Paris?"}};
    const mn_llm_request request = {.messages = messages, .n_messages = 2, .max_tokens = 24};
    assert_ok(mn_llm_ask(llm, &request, &reply, &err), err);
    assert_non_null(strstr(reply.content, "77120"));
    int64_t counted;
    assert_ok(mn_llm_count_request(llm, &request, &counted, &err), err);
    assert_int_equal(counted, reply.prompt_tokens);
    mn_llm_reply_release(&reply);
    mn_llm_close(llm);
    mn_engine_close(engine);
}

static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"find\",\"description\":\"looks it "
                            "up\",\"parameters\":{\"type\":\"object\","
                            "\"properties\":{\"q\":{\"type\":\"string\",\"maxLength\":20},\"n\":{\"type\":\"integer\","
                            "\"minimum\":1,\"maximum\":9}},"
                            "\"required\":[\"q\",\"n\"]}}},{\"type\":\"function\",\"function\":{\"name\":\"stop\"}}]";

static void check_call(const mn_llm_call *call, const char *text) {
    json_t *arguments = json_loads(call->arguments, 0, NULL);
    json_int_t n = json_integer_value(json_object_get(arguments, "n"));
    bool finds = !strcmp(call->name, "find");
    if (!json_is_object(arguments)) fail_msg("%s", text);
    if (finds ? n < 1 || n > 9 || !json_is_string(json_object_get(arguments, "q")) || json_object_size(arguments) != 2
              : strcmp(call->name, "stop") || json_object_size(arguments))
        fail_msg("%s %s in %s", call->name, call->arguments, text);
    json_decref(arguments);
}

/* A model that knows no JSON answers by the schema, and calls what there is, at any limit that the shortest call fits.
 */
static void this_engine_follows_schemas_and_calls(void **state) {
    (void)state;
    mn_engine *engine;
    mn_llm *llm = open_model("golden/tiny-llama.gguf", 1024, &engine);
    mn_llm_reply reply;
    const mn_llm_message message = {.role = "user", .content = "Go"};
    mn_llm_request request = {.messages = &message, .n_messages = 1, .temperature = 1, .max_tokens = 90};
    request.schema_json =
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},"
        "\"required\":[\"a\",\"b\"]}";
    for (request.seed = 1; request.seed < 9; request.seed++) {
        assert_ok(mn_llm_ask(llm, &request, &reply, &err), err);
        json_t *value = json_loads(reply.content, 0, NULL);
        if (!json_is_integer(json_object_get(value, "a")) || !json_is_string(json_object_get(value, "b")))
            fail_msg("%s", reply.content);
        json_decref(value);
        mn_llm_reply_release(&reply);
    }
    request.schema_json = NULL;
    request.tools_json = tools;
    request.tool_choice = MN_LLM_TOOLS_REQUIRED;
    for (; request.seed < 17; request.seed++) {
        assert_ok(mn_llm_ask(llm, &request, &reply, &err), err);
        if (reply.n_calls != 1 || reply.finish != MN_LLM_CALLS) fail_msg("%s", reply.content);
        json_t *arguments = json_loads(reply.calls[0].arguments, 0, NULL);
        json_int_t n = json_integer_value(json_object_get(arguments, "n"));
        bool finds = !strcmp(reply.calls[0].name, "find");
        if (finds ? n < 1 || n > 9 : strcmp(reply.calls[0].name, "stop") || json_object_size(arguments))
            fail_msg("%s %s", reply.calls[0].name, reply.calls[0].arguments);
        json_decref(arguments);
        mn_llm_reply_release(&reply);
    }
    request.max_tokens = 3;
    assert_int_equal(mn_llm_ask(llm, &request, &reply, &err), MN_ERR_LIMIT);
    request.tool_choice = MN_LLM_TOOLS_FREE; /* may be short, and calls nothing else */
    for (request.max_tokens = 40; request.seed < 33; request.seed++) {
        assert_ok(mn_llm_ask(llm, &request, &reply, &err), err);
        for (size_t i = 0; i < reply.n_calls; i++) check_call(&reply.calls[i], reply.content);
        mn_llm_reply_release(&reply);
    }
    request.tools_json =
        "[{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"x\":{\"uniqueItems\":true}}}}]";
    assert_int_equal(mn_llm_ask(llm, &request, &reply, &err), MN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "\"uniqueItems\""));
    mn_llm_close(llm);
    mn_engine_close(engine);
}

/* Each format's grammar takes what mn_tool_calls_write writes, and no other name. */
static void grammars_of_calls_take_what_is_written(void **state) {
    (void)state;
    mn_engine *engine;
    mn_token_trie *trie;
    mn_llm *llm = open_model("golden/tiny-llama.gguf", 1024, &engine);
    const mn_tokenizer *tokenizer = mn_engine_tokenizer(engine);
    const mn_llm_call calls[] = {{"", "find", "{\"q\": \"x\", \"n\": 3}"}, {"", "stop", "{}"}, {"", "fund", "{}"}};
    assert_ok(mn_token_trie_of(tokenizer, &trie, &err), err);
    for (mn_tool_format f = MN_TOOLS_JSON; f <= MN_TOOLS_HARMONY; f++)
        for (int i = 0; i < 3; i++) {
            mn_grammar *grammar;
            mn_constraint *c;
            mn_strbuf text = MN_STRBUF_INIT;
            mn_status status = MN_OK;
            assert_ok(mn_tool_calls_grammar(f, tokenizer, tools, &grammar, &err), err);
            assert_ok(mn_constraint_create(grammar, trie, 0, &c, &err), err);
            mn_tool_calls_write(f, &calls[i], 1, &text);
            for (size_t k = 0; k < text.bytes && status == MN_OK; k++) { /* byte by byte */
                int32_t token = 0;
                size_t bytes;
                for (; token < trie->n_tokens; token++)
                    if (*mn_token_trie_piece(trie, token, &bytes) == text.data[k] && bytes == 1) break;
                status = mn_constraint_accept(c, token, &err);
            }
            bool whole = status == MN_OK && mn_constraint_is_complete(c);
            if (whole != (i < 2)) fail_msg("%s: %s", mn_tool_format_name(f), text.data);
            mn_strbuf_release(&text);
            mn_constraint_destroy(c);
            mn_grammar_destroy(grammar);
        }
    mn_token_trie_destroy(trie);
    mn_llm_close(llm);
    mn_engine_close(engine);
}

/* ---- calls in free answers ---- */

/* Takes a text byte by byte. */
static mn_status accept_text(mn_constraint *c, const mn_token_trie *trie, const char *text, mn_strbuf *out) {
    for (; *text; text++) {
        int32_t token = 0;
        size_t bytes;
        for (; token < trie->n_tokens; token++)
            if (*mn_token_trie_piece(trie, token, &bytes) == *text && bytes == 1) break;
        MN_TRY(mn_constraint_accept(c, token, &err));
        mn_strbuf_putc(out, *text);
    }
    return MN_OK;
}

/* Draws from random logits until the answer ends, or its tokens do. */
static void draw_rest(mn_constraint *c, const mn_token_trie *trie, mn_sampler *s, mn_random *rng, int64_t limit,
                      mn_strbuf *out) {
    float *logits = malloc((size_t)trie->n_tokens * sizeof *logits);
    for (; limit > 0 && !mn_constraint_has_ended(c); limit--) {
        int32_t token;
        size_t bytes;
        for (int32_t i = 0; i < trie->n_tokens; i++) logits[i] = (float)(3 * mn_random_normal(rng));
        assert_ok(mn_constraint_set_left(c, limit, &err), err);
        assert_ok(mn_sampler_draw_allowed(s, logits, mn_constraint_filter(c), &token, &err), err);
        assert_ok(mn_constraint_accept(c, token, &err), err);
        const char *piece = mn_token_trie_piece(trie, token, &bytes);
        mn_strbuf_put(out, piece, bytes);
    }
    free(logits);
}

/* Whatever a model of any format begins in free text, it makes no call but of the tools there are, by their schemas; a
 * call that was begun is whole at any limit that it fits. */
static void calls_in_free_answers_are_valid(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool calls;
    } beginnings[] = {
        {"", false},
        {"Well, ", false},
        {"<tool_cal", false},
        {"[1, 2", false},
        {"``", false},
        {"{", true},
        {" \n{\"name\"", true},
        {"[{", true},
        {"[ {\"name\": \"find\"", true},
        {"```json\n{", true},
        {"```\n[{", true},
        {"<tool_call>", true},
        {"I look. <<tool_call>\n{\"na", true},
        {"[TOOL_CALLS]", true},
        {"So [[TOOL_CALLS]", true},
        {"<|python_tag|>{", true},
    };
    mn_engine *engine;
    mn_token_trie *trie;
    mn_sampler *s;
    mn_random rng;
    mn_sampler_params params = mn_sampler_defaults();
    mn_llm *llm = open_model("golden/tiny-llama.gguf", 1024, &engine);
    const mn_tokenizer *tokenizer = mn_engine_tokenizer(engine);
    mn_random_seed(&rng, 5, 0);
    assert_ok(mn_token_trie_of(tokenizer, &trie, &err), err);
    assert_ok(mn_sampler_create(&params, trie->n_tokens, &s, &err), err);
    for (mn_tool_format f = MN_TOOLS_JSON; f <= MN_TOOLS_MISTRAL_ARGS; f++) {
        mn_grammar *grammar;
        mn_constraint *c;
        assert_ok(mn_tool_calls_free_grammar(f, tokenizer, tools, &grammar, &err), err);
        assert_ok(mn_constraint_create(grammar, trie, 0, &c, &err), err);
        for (size_t i = 0; i < 4 * sizeof beginnings / sizeof *beginnings; i++) {
            const char *text = beginnings[i / 4].text;
            mn_llm_reply reply = {0};
            mn_strbuf out = MN_STRBUF_INIT;
            mn_constraint_reset(c);
            if (accept_text(c, trie, text, &out)) fail_msg("%s: %s: %s", mn_tool_format_name(f), text, err.text);
            draw_rest(c, trie, s, &rng, mn_constraint_shortest(c) + (int64_t)(i % 4) * 20, &out);
            char *whole = strdup(out.data);
            reply.content = mn_strbuf_detach(&out, NULL);
            assert_true(mn_tool_calls_take(f, &reply));
            if (beginnings[i / 4].calls && !reply.n_calls) fail_msg("%s: no call in %s", mn_tool_format_name(f), whole);
            for (size_t k = 0; k < reply.n_calls; k++) check_call(&reply.calls[k], whole);
            free(whole);
            mn_llm_reply_release(&reply);
        }
        mn_constraint_destroy(c);
        mn_grammar_destroy(grammar);
    }
    mn_sampler_destroy(s);
    mn_token_trie_destroy(trie);
    mn_llm_close(llm);
    mn_engine_close(engine);
}

/* What a prompt has in common with the one before it is not computed again. */
static void prompts_share_their_beginning(void **state) {
    (void)state;
    mn_engine *engine;
    mn_llm *llm = open_model("golden/tiny-llama.gguf", 256, &engine);
    mn_llm_reply reply;
    mn_llm_message messages[] = {{.role = "system", .content = "Once upon a time there was a little model of a ship."},
                                 {.role = "user", .content = "Where did it go?"}};
    const mn_llm_request request = {.messages = messages, .n_messages = 2, .max_tokens = 4};
    assert_ok(mn_llm_ask(llm, &request, &reply, &err), err);
    assert_int_equal(reply.reused_tokens, 0);
    int64_t prompt_tokens = reply.prompt_tokens;
    mn_llm_reply_release(&reply);
    messages[1].content = "Who built it?";
    assert_ok(mn_llm_ask(llm, &request, &reply, &err), err);
    assert_true(reply.reused_tokens > prompt_tokens / 2);
    mn_llm_reply_release(&reply);
    mn_llm_close(llm);
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_asked_is_not_asked_again),
        cmocka_unit_test(failures_are_not_kept),
        cmocka_unit_test(budgets_and_windows_are_kept),
        cmocka_unit_test(calls_are_read_in_every_format),
        cmocka_unit_test(calls_come_back_as_they_were_written),
        cmocka_unit_test(formats_are_told_by_their_templates),
        cmocka_unit_test(tools_become_a_schema),
        cmocka_unit_test(this_engine_answers),
        cmocka_unit_test(this_engine_follows_schemas_and_calls),
        cmocka_unit_test(grammars_of_calls_take_what_is_written),
        cmocka_unit_test(calls_in_free_answers_are_valid),
        cmocka_unit_test(prompts_share_their_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
