/* Fuzz target: any bytes as a conversation in JSON, rendered by a template that prints everything. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tokenizer/chat_json.h"

static const char source[] = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ m | tojson }}{% endfor %}"
                             "{{ tools | tojson if tools }}{{ messages | map(attribute='role') | unique | list }}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static mn_chat_template *t;
    mn_chat_json chat;
    mn_chat_span *spans;
    char *text;
    size_t text_bytes, n_spans;
    mn_error err = {0};
    if (!t && mn_chat_template_create(source, strlen(source), &t, &err)) abort();
    if (mn_chat_json_parse((const char *)data, bytes, &chat, &err) == MN_OK) {
        const mn_chat_options options = {.tools_json = chat.tools_json, .variables_json = chat.variables_json};
        if (!mn_chat_template_render(t, chat.messages, chat.n_messages, &options, &text, &text_bytes, &spans, &n_spans,
                                     &err)) {
            free(text);
            free(spans);
        } else if (!err.text[0])
            abort();
    } else if (!err.text[0])
        abort();
    mn_chat_json_release(&chat);
    return 0;
}
