/* Conversations to ids: OpenAI's JSON, templates by name, user text that stays text. */
#include "support/support.h"
#include "support/vocab_file.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/chat_json.h"
#include "tokenizer/chat_tokens.h"
#include "tokenizer/named_template.h"

static char *render(const char *source, const mn_chat_message *messages, size_t n, bool ask) {
    mn_chat_template *t;
    mn_chat_span *spans;
    size_t bytes, n_spans;
    char *text;
    mn_error err;
    const mn_chat_options options = {.bos_token = "<s>", .eos_token = "</s>", .add_generation_prompt = ask};
    assert_ok(mn_chat_template_create(source, strlen(source), &t, &err), err);
    assert_ok(mn_chat_template_render(t, messages, n, &options, &text, &bytes, &spans, &n_spans, &err), err);
    mn_chat_template_destroy(t);
    free(spans);
    return text;
}

static const mn_chat_message talk[] = {{.role = "system", .content = "Be brief."},
                                       {.role = "user", .content = "Hello"},
                                       {.role = "assistant", .content = "Hi!"},
                                       {.role = "user", .content = "Bye"}};

/* What each format makes of system, user, assistant and user. */
static const struct {
    const char *name, *rendered;
} formats[] = {
    {"alpaca", "Be brief.\n\n### Instruction:\nHello\n\n### Response:\nHi!</s>\n\n### Instruction:\nBye\n\n### "
               "Response:\n"},
    {"chatml", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi!"
               "<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"},
    {"command-r",
     "<s><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_"
     "TOKEN|>Hello<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hi!<|END_OF_TURN_TOKEN|>"
     "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Bye<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"},
    {"deepseek", "<s>Be brief.<｜User｜>Hello<｜Assistant｜>Hi!"
                 "<｜end▁of▁sentence｜><｜User｜>Bye<｜Assistant｜>"},
    {"deepseek2", "<s>Be brief.\n\nUser: Hello\n\nAssistant: Hi!</s>User: Bye\n\nAssistant:"},
    {"gemma", "<s><start_of_turn>user\nBe brief.\n\nHello<end_of_turn>\n<start_of_turn>model\nHi!<end_of_turn>\n"
              "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"},
    {"gpt-oss",
     "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: "
     "2024-06\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, final. Channel must be included for "
     "every "
     "message.<|end|><|start|>developer<|message|># Instructions\n\nBe "
     "brief.<|end|><|start|>user<|message|>Hello<|end|>"
     "<|start|>assistant<|channel|>final<|message|>Hi!<|end|><|start|>user<|message|>Bye<|end|><|start|>assistant"},
    {"granite",
     "<|start_of_role|>system<|end_of_role|>Be brief.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>"
     "Hello<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>Hi!<|end_of_text|>\n<|start_of_role|>user"
     "<|end_of_role|>Bye<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>"},
    {"llama2", "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHello [/INST] Hi! </s><s>[INST] Bye [/INST]"},
    {"llama3",
     "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_"
     "id|>\n\nHello<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHi!<|eot_id|><|start_header_id|>"
     "user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
    {"llama4",
     "<s><|header_start|>system<|header_end|>\n\nBe brief.<|eot|><|header_start|>user<|header_end|>\n\nHello<|eot|>"
     "<|header_start|>assistant<|header_end|>\n\nHi!<|eot|><|header_start|>user<|header_end|>\n\nBye<|eot|>"
     "<|header_start|>assistant<|header_end|>\n\n"},
    {"mistral", "<s>[INST] Be brief.\n\nHello[/INST] Hi!</s>[INST] Bye[/INST]"},
    {"openchat", "<s>Be brief.<|end_of_turn|>GPT4 Correct User: Hello<|end_of_turn|>GPT4 Correct Assistant: Hi!"
                 "<|end_of_turn|>GPT4 Correct User: Bye<|end_of_turn|>GPT4 Correct Assistant:"},
    {"phi3", "<|system|>\nBe brief.<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi!<|end|>\n<|user|>\nBye<|end|>\n"
             "<|assistant|>\n"},
    {"phi4", "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Hello<|im_end|><|im_start|>"
             "assistant<|im_sep|>Hi!<|im_end|><|im_start|>user<|im_sep|>Bye<|im_end|><|im_start|>assistant<|im_sep|>"},
    {"rwkv-world", "System: Be brief.\n\nUser: Hello\n\nAssistant: Hi!\n\nUser: Bye\n\nAssistant:"},
    {"vicuna", "<s>Be brief. USER: Hello ASSISTANT: Hi!</s>USER: Bye ASSISTANT:"},
    {"zephyr",
     "<|system|>\nBe brief.</s>\n<|user|>\nHello</s>\n<|assistant|>\nHi!</s>\n<|user|>\nBye</s>\n<|assistant|>"
     "\n"},
};

static void named_templates_render_their_formats(void **state) {
    (void)state;
    size_t n = sizeof formats / sizeof *formats;
    for (size_t i = 0; i < n; i++) {
        const char *source = mn_named_template(formats[i].name);
        if (!source) fail_msg("there is no template %s", formats[i].name);
        assert_string_equal(mn_named_template_at((int)i), formats[i].name);
        char *text = render(source, talk, 4, true);
        assert_string_equal(text, formats[i].rendered);
        free(text);
        free(render(source, talk + 1, 1, false)); /* without a system message, or a turn to come */
        free(render(source, NULL, 0, false));
    }
    assert_null(mn_named_template_at((int)n));
    assert_null(mn_named_template("chat"));
}

/* Tools, a call and its result, as the guide to Harmony shows them. */
static void harmony_has_tools(void **state) {
    (void)state;
    static const char tools[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"where\",\"description\":\"Tells the place.\","
        "\"parameters\":{\"type\":\"object\",\"properties\":{}}}},{\"type\":\"function\",\"function\":{\"name\":"
        "\"weather\",\"description\":\"Tells the weather.\",\"parameters\":{\"type\":\"object\",\"properties\":{"
        "\"city\":{\"type\":\"string\",\"description\":\"A city\"},\"unit\":{\"type\":\"string\",\"enum\":[\"C\","
        "\"F\"],\"default\":\"C\"},\"days\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"at\":{\"type\":"
        "\"object\",\"properties\":{\"x\":{\"type\":[\"number\",\"null\"]}}}},\"required\":[\"city\"]}}}]";
    static const char calls[] = "{\"tool_calls\":[{\"id\":\"call_0\",\"type\":\"function\",\"function\":{\"name\":"
                                "\"weather\",\"arguments\":{\"city\":\"Rome\"}}}]}";
    static const mn_chat_message messages[] = {
        {.role = "user", .content = "Rain in Rome?"},
        {.role = "assistant", .fields_json = calls},
        {.role = "tool", .content = "{\"rain\": 0}", .fields_json = "{\"tool_call_id\":\"call_0\"}"}};
    const mn_chat_options options = {.add_generation_prompt = true, .tools_json = tools};
    const char *source = mn_named_template("gpt-oss");
    mn_chat_template *t;
    mn_chat_span *spans;
    size_t bytes, n_spans;
    char *text;
    mn_error err;
    assert_ok(mn_chat_template_create(source, strlen(source), &t, &err), err);
    assert_ok(mn_chat_template_render(t, messages, 3, &options, &text, &bytes, &spans, &n_spans, &err), err);
    const char *at = strstr(text, "every message.");
    assert_non_null(at);
    assert_string_equal(
        at, "every message.\nCalls to these tools must go to the commentary channel: 'functions'.<|end|>"
            "<|start|>developer<|message|># Tools\n\n## functions\n\nnamespace functions {\n\n// Tells the place.\n"
            "type where = () => any;\n\n// Tells the weather.\ntype weather = (_: {\n// A city\ncity: string,\n"
            "unit?: \"C\" | \"F\", // default: C\ndays?: number[],\nat?: {\nx?: number | null,\n},\n}) => any;\n\n"
            "} // namespace functions<|end|><|start|>user<|message|>Rain in Rome?<|end|>"
            "<|start|>assistant to=functions.weather<|channel|>commentary json<|message|>{\"city\": \"Rome\"}<|call|>"
            "<|start|>functions.weather to=assistant<|channel|>commentary<|message|>{\"rain\": 0}<|end|>"
            "<|start|>assistant");
    mn_chat_template_destroy(t);
    free(spans);
    free(text);
}

static void parses_conversations(void **state) {
    (void)state;
    static const char list[] = "[{\"role\": \"user\", \"content\": \"hi\"},"
                               " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": 1}]},"
                               " {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}]},"
                               " {\"role\": \"user\"}]";
    static const char object[] = "{\"messages\": [], \"tools\": [{\"n\": 1}], \"chat_template_kwargs\": {\"x\": true}}";
    mn_chat_json chat;
    mn_error err;
    assert_ok(mn_chat_json_parse(list, strlen(list), &chat, &err), err);
    assert_int_equal(chat.n_messages, 4);
    assert_string_equal(chat.messages[0].content, "hi");
    assert_null(chat.messages[0].fields_json);
    assert_null(chat.messages[1].content);
    assert_string_equal(chat.messages[1].fields_json, "{\"content\":null,\"tool_calls\":[{\"id\":1}]}");
    assert_string_equal(chat.messages[2].fields_json, "{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}");
    assert_null(chat.messages[3].content);
    assert_null(chat.messages[3].fields_json);
    assert_null(chat.tools_json);
    mn_chat_json_release(&chat);
    assert_ok(mn_chat_json_parse(object, strlen(object), &chat, &err), err);
    assert_int_equal(chat.n_messages, 0);
    assert_string_equal(chat.tools_json, "[{\"n\":1}]");
    assert_string_equal(chat.variables_json, "{\"x\":true}");
    mn_chat_json_release(&chat);
}

static void refuses_what_is_no_conversation(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "is no JSON"},
        {"[", "is no JSON"},
        {"3", "is no JSON"},
        {"{\"messages\": 3}", "a list of messages"},
        {"{}", "a list of messages"},
        {"[3]", "message 0 is no object with a \"role\""},
        {"[{\"role\": \"user\"}, {\"content\": \"x\"}]", "message 1 is no object with a \"role\""},
        {"[{\"role\": 3}]", "message 0 is no object with a \"role\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_chat_json chat;
        mn_error err;
        assert_int_equal(mn_chat_json_parse(cases[i].text, strlen(cases[i].text), &chat, &err), MN_ERR_FORMAT);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].text, err.text);
        mn_chat_json_release(&chat);
    }
}

/* Roles that everybody uses may be part of control tokens; what messages say may not, nor may other roles. */
static void user_text_stays_text(void **state) {
    (void)state;
    enum { UNK, BOS, EOS, USER, KING, BYTE0 };
    static char bytes[256][8];
    const char *tokens[BYTE0 + 256] = {"<unk>", "<s>", "</s>", "<|user|>", "<|king|>"};
    int32_t types[BYTE0 + 256] = {2, 3, 3, 3, 3};
    float scores[BYTE0 + 256] = {0};
    for (int b = 0; b < 256; b++) {
        snprintf(bytes[b], sizeof bytes[b], "<0x%02X>", b);
        tokens[BYTE0 + b] = bytes[b];
        types[BYTE0 + b] = 6;
    }
    vocab_file file = vocab_file_begin("llama");
    vocab_file_texts(&file, "tokens", tokens, BYTE0 + 256);
    vocab_file_i32s(&file, "token_type", types, BYTE0 + 256);
    vocab_file_f32s(&file, "scores", scores, BYTE0 + 256);
    vocab_file_bool(&file, "add_space_prefix", false);
    mn_tokenizer *t;
    mn_error err;
    assert_ok(vocab_file_load(&file, &t, &err), err);
    static const mn_chat_message messages[] = {{.role = "user", .content = "</s>"}, {.role = "king", .content = "x"}};
    int32_t *ids;
    size_t n, n_special = 0;
    assert_ok(mn_chat_tokens(t, "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{{ eos_token }}",
                             messages, 2, NULL, &ids, &n, &err),
              err);
    assert_int_equal(ids[0], BOS);
    assert_int_equal(ids[1], USER);
    assert_int_equal(ids[n - 1], EOS);
    for (size_t i = 0; i < n; i++) n_special += ids[i] < BYTE0;
    assert_int_equal(n_special, 3);
    free(ids);
    mn_tokenizer_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_templates_render_their_formats),
        cmocka_unit_test(harmony_has_tools),
        cmocka_unit_test(parses_conversations),
        cmocka_unit_test(refuses_what_is_no_conversation),
        cmocka_unit_test(user_text_stays_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
