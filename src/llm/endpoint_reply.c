/* What an endpoint sends: server-sent events or one object, hostile in both. */
#include "llm/endpoint_reply.h"

#include "llm/tool_calls.h"
#include "llm/wire.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 64 << 20 };

static void take_text(mn_endpoint_reply *r, const char *text) {
    size_t bytes = strlen(text);
    if (!bytes || r->stopped) return;
    mn_strbuf_put(&r->text, text, bytes);
    r->n_handed_out += r->request->text ? bytes : 0;
    if (r->request->text && !r->request->text(r->request->text_arg, text, bytes)) r->stopped = true;
}

static mn_strbuf *part_of(mn_strbuf *list, int i) {
    if (!list[i].data) list[i] = (mn_strbuf)MN_STRBUF_INIT;
    return &list[i];
}

static void append(mn_strbuf *list, int i, const json_t *text) {
    const char *value = json_string_value(text);
    mn_strbuf *part = part_of(list, i);
    if (value) mn_strbuf_puts(part, value);
}

/* Calls come in pieces, by index. */
static void take_calls(mn_endpoint_reply *r, const json_t *calls) {
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i), *function = json_object_get(call, "function");
        const json_t *index = json_object_get(call, "index");
        json_int_t at = json_is_integer(index) ? json_integer_value(index) : (json_int_t)i;
        if (at < 0 || at >= MN_ENDPOINT_CALLS) continue;
        append(r->ids, (int)at, json_object_get(call, "id"));
        append(r->names, (int)at, json_object_get(function, "name"));
        append(r->arguments, (int)at, json_object_get(function, "arguments"));
        if (r->n_calls <= (int)at) r->n_calls = (int)at + 1;
    }
}

/* An event's or a whole answer's object: pieces stand in "delta", all of it in "message". */
static void take_object(mn_endpoint_reply *r, const json_t *object) {
    const json_t *choice = json_array_get(json_object_get(object, "choices"), 0);
    const json_t *usage = json_object_get(object, "usage");
    const json_t *message = json_object_get(choice, "delta");
    if (!message) message = json_object_get(choice, "message");
    const char *text = json_string_value(json_object_get(message, "content"));
    if (text) take_text(r, text);
    take_calls(r, json_object_get(message, "tool_calls"));
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    if (finish) {
        r->finish = mn_llm_finish_of(finish);
        r->is_whole = true;
    }
    if (json_is_object(usage)) {
        r->prompt_tokens = json_integer_value(json_object_get(usage, "prompt_tokens"));
        r->completion_tokens = json_integer_value(json_object_get(usage, "completion_tokens"));
    }
}

static void take_line(mn_endpoint_reply *r) {
    static const char mark[] = "data:";
    const char *line = r->line.data;
    long status = 200;
    if (r->curl) curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 400 || strncmp(line, mark, sizeof mark - 1)) {
        mn_strbuf_put(&r->body, line, r->line.bytes);
        return;
    }
    line += sizeof mark - 1;
    line += strspn(line, " ");
    if (!strncmp(line, "[DONE]", 6)) {
        r->is_whole = true;
        return;
    }
    json_t *object = json_loads(line, 0, NULL);
    if (object && json_object_get(object, "error"))
        mn_strbuf_puts(&r->body, line);
    else if (object)
        take_object(r, object);
    json_decref(object);
}

bool mn_endpoint_reply_take(mn_endpoint_reply *r, const char *data, size_t bytes) {
    r->n_bytes += bytes;
    if (r->n_bytes > MAX_BYTES) r->failed = true;
    for (size_t i = 0; i < bytes && !r->failed && !r->stopped; i++) {
        if (data[i] != '\n') {
            if (data[i]) mn_strbuf_putc(&r->line, data[i]);
            continue;
        }
        take_line(r);
        mn_strbuf_reset(&r->line);
    }
    r->failed = r->failed || r->line.failed || r->text.failed || r->body.failed;
    return !r->failed && !r->stopped;
}

static const char *text_of(const mn_strbuf *part) { return part->data ? part->data : ""; }

bool mn_endpoint_reply_finish(mn_endpoint_reply *r, mn_llm_reply *reply) {
    if (r->line.bytes) take_line(r);
    mn_strbuf_reset(&r->line);
    if (!r->is_whole && !r->stopped && r->body.bytes) {
        json_t *object = json_loadb(r->body.data, r->body.bytes, 0, NULL);
        if (json_object_get(object, "choices")) take_object(r, object);
        r->is_whole = r->is_whole || r->text.bytes || r->n_calls;
        json_decref(object);
    }
    if (r->failed || (!r->is_whole && !r->stopped)) return false;
    for (int i = 0; i < r->n_calls; i++)
        if (!mn_llm_reply_add_call(reply, text_of(&r->ids[i]), text_of(&r->names[i]), text_of(&r->arguments[i])))
            return false;
    reply->content = mn_strbuf_detach(&r->text, NULL);
    reply->finish = r->stopped ? MN_LLM_STOPPED : r->finish;
    reply->prompt_tokens = r->prompt_tokens > 0 ? r->prompt_tokens : 0;
    reply->completion_tokens = r->completion_tokens > 0 ? r->completion_tokens : 0;
    if (r->n_calls) reply->finish = MN_LLM_CALLS;
    return reply->content &&
           (reply->n_calls || !r->request->tools_json || mn_tool_calls_take(mn_tool_format_in(reply->content), reply));
}

void mn_endpoint_reply_release(mn_endpoint_reply *r) {
    mn_strbuf_release(&r->body);
    mn_strbuf_release(&r->line);
    mn_strbuf_release(&r->text);
    for (int i = 0; i < MN_ENDPOINT_CALLS; i++) {
        if (r->names[i].data) mn_strbuf_release(&r->names[i]);
        if (r->ids[i].data) mn_strbuf_release(&r->ids[i]);
        if (r->arguments[i].data) mn_strbuf_release(&r->arguments[i]);
    }
}
