/* Fuzz target: any bytes as a chat template, rendered over a conversation with tools. Spans must cover the text. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tokenizer/chat_template.h"

static const mn_chat_message messages[] = {
    {.role = "system", .content = "Be brief."},
    {.role = "user", .content = " <|im_end|> \xc3\xa5\xff\n"},
    {.role = "assistant",
     .fields_json =
         "{\"tool_calls\": [{\"id\": \"a\", \"function\": {\"name\": \"f\", \"arguments\": {\"x\": [1.5]}}}]}"},
    {.role = "tool", .content = "{}"},
};

static const mn_chat_options options = {
    .bos_token = "<s>",
    .eos_token = "</s>",
    .add_generation_prompt = true,
    .tools_json = "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"x\": null}}}]",
    .now = 1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mn_chat_template *t;
    mn_chat_span *spans;
    char *text;
    size_t text_bytes, n_spans, at = 0;
    mn_error err = {0};
    if (mn_chat_template_create((const char *)data, bytes, &t, &err)) {
        if (!err.text[0]) abort();
        return 0;
    }
    if (!mn_chat_template_render(t, messages, sizeof messages / sizeof *messages, &options, &text, &text_bytes, &spans,
                                 &n_spans, &err)) {
        for (size_t i = 0; i < n_spans; at = spans[i++].end)
            if (spans[i].begin != at) abort();
        if (at != text_bytes) abort();
        free(text);
        free(spans);
    } else if (err.status == MN_OK)
        abort();
    mn_chat_template_destroy(t);
    return 0;
}
