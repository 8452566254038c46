/* Calls in Harmony's messages (OpenAI 2025, the response format of gpt-oss; session/channels.h): an answer goes on
 * behind
 * "<|start|>assistant", and a message whose header names a function is a call:
 *
 *   <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>commentary to=functions.f
 *   <|constrain|>json<|message|>{...}<|call|>
 */
#include "llm/tool_harmony.h"

#include "llm/wire.h"

#include <stdlib.h>
#include <string.h>

static const char message_mark[] = "<|message|>", recipient_mark[] = "to=functions.", channel_mark[] = "<|channel|>",
                  start_mark[] = "<|start|>";

bool mn_harmony_begins(const char *text) {
    static const char *const firsts[] = {channel_mark, start_mark, recipient_mark};
    text += strspn(text, " \t\r\n");
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        if (!strncmp(text, firsts[i], strlen(firsts[i]))) return strstr(text, message_mark) != NULL;
    return false;
}

/* ---- writing ---- */

void mn_harmony_write(const mn_llm_call *call, bool is_first, mn_strbuf *out) {
    json_t *arguments = json_loads(call->arguments, 0, NULL);
    char *text = json_is_object(arguments) ? json_dumps(arguments, 0) : NULL;
    mn_strbuf_printf(out, "%s<|channel|>commentary to=functions.%s <|constrain|>json<|message|>%s<|call|>",
                     is_first ? "" : "<|start|>assistant", call->name, text ? text : "{}");
    free(text);
    json_decref(arguments);
}

/* ---- reading ---- */

/* A message within an answer: its header, and its body up to the next header. */
typedef struct message {
    const char *header, *body, *end;
} message;

static const char *earlier(const char *a, const char *b) { return !a || (b && b < a) ? b : a; }

static const char *find_within(const char *begin, const char *end, const char *text) {
    return memmem(begin, (size_t)(end - begin), text, strlen(text));
}

/* Where the next header begins, or the text ends. */
static const char *next_header(const char *at) {
    const char *found = earlier(strstr(at, start_mark), strstr(at, channel_mark));
    return found ? found : at + strlen(at);
}

/* False where no message begins any more. */
static bool next_message(const char *at, message *out) {
    const char *mark = strstr(at, message_mark);
    if (!mark) return false;
    *out = (message){.header = at, .body = mark + strlen(message_mark)};
    out->end = next_header(out->body);
    return true;
}

/* Whether a message is a call, which is added then; its arguments may hold marks. */
static bool add_call(mn_llm_reply *reply, message *m, bool *no_memory) {
    const char *to = find_within(m->header, m->body, recipient_mark);
    if (!to) return false;
    to += strlen(recipient_mark);
    char id[24], *name = strndup(to, strcspn(to, " <\t\r\n"));
    json_error_t where;
    json_t *arguments = json_loads(m->body, JSON_DISABLE_EOF_CHECK, &where);
    char *text = json_is_object(arguments) && name && *name ? json_dumps(arguments, JSON_COMPACT) : NULL;
    json_decref(arguments);
    snprintf(id, sizeof id, "call_%zu", reply->n_calls);
    bool is_call = text != NULL;
    if (is_call) m->end = next_header(m->body + where.position);
    if (is_call && !mn_llm_reply_add_call(reply, id, name, text)) *no_memory = true;
    free(name);
    free(text);
    return is_call;
}

/* What is said to the user: the final channel, or a message without any. */
static bool is_shown(const message *m) {
    const char *channel = find_within(m->header, m->body, channel_mark);
    if (!channel) return true;
    channel += strlen(channel_mark);
    size_t bytes = strcspn(channel, " <");
    return bytes == 5 && !memcmp(channel, "final", bytes);
}

/* The body without the marks of its end. */
static void put_body(mn_strbuf *out, const message *m) {
    static const char *const ends[] = {"<|end|>", "<|return|>", "<|call|>"};
    const char *end = m->end;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *found = find_within(m->body, end, ends[i]);
        if (found) end = found;
    }
    mn_strbuf_put(out, m->body, (size_t)(end - m->body));
}

bool mn_harmony_take(mn_llm_reply *reply) {
    mn_strbuf text = MN_STRBUF_INIT;
    bool no_memory = false;
    message m;
    const char *at = reply->content;
    if (!at || !next_message(at, &m)) return true;
    for (; next_message(at, &m); at = m.end) {
        bool names_function = find_within(m.header, m.body, recipient_mark) != NULL;
        if (add_call(reply, &m, &no_memory)) continue;
        if (names_function) /* and is none */
            mn_strbuf_put(&text, m.header, (size_t)(m.end - m.header));
        else if (is_shown(&m))
            put_body(&text, &m);
    }
    if (reply->n_calls) reply->finish = MN_LLM_CALLS;
    char *shown = mn_strbuf_detach(&text, NULL);
    if (!shown) no_memory = true;
    free(reply->content);
    reply->content = shown ? shown : strdup("");
    mn_strbuf_release(&text);
    return !no_memory && reply->content;
}
