/* The queue: views of messages, what they take, and what leaves. */
#include "memory/queue.h"

#include "base/checked.h"
#include "base/strbuf.h"
#include "llm/wire.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST_VIEW_TOKENS = 8 };

/* ---- views ---- */

static bool is_inside_character(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

size_t mn_fitting_bytes(const mn_llm *llm, const char *text, size_t bytes, int64_t max_tokens, bool last) {
    size_t low = 0, high = bytes;
    if (max_tokens <= 0) return 0;
    if (bytes / 64 > (size_t)max_tokens) high = (size_t)max_tokens * 64; /* no token is longer in a text of words */
    if (high == bytes && mn_llm_count(llm, text, bytes) <= max_tokens) return bytes;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (mn_llm_count(llm, last ? text + bytes - middle : text, middle) <= max_tokens)
            low = middle;
        else
            high = middle;
    }
    if (last)
        while (low && is_inside_character(text[bytes - low])) low--;
    else
        while (low && is_inside_character(text[low])) low--;
    return low;
}

/* Beginning and end of a text with a note between them, in about max_tokens. */
static void put_clipped(const mn_queue *q, const mn_message *m, int64_t max_tokens, mn_strbuf *out) {
    char note[120];
    int64_t room = max_tokens - 40;
    size_t head = mn_fitting_bytes(q->llm, m->text, m->bytes, room * 2 / 3, false);
    size_t tail = mn_fitting_bytes(q->llm, m->text + head, m->bytes - head, room / 3, true);
    snprintf(note, sizeof note, "[%zu bytes left out: conversation_read message %lld]", m->bytes - head - tail,
             (long long)m->id);
    mn_strbuf_put(out, m->text, head);
    mn_strbuf_printf(out, "%s%s%s", head ? " " : "", note, tail ? " " : "");
    mn_strbuf_put(out, m->text + m->bytes - tail, tail);
}

/* {"type": "user_message", "name": ..., "message": ..., "time": ...} */
static bool put_wrapped(const mn_message *m, const char *text, mn_strbuf *out) {
    mn_memory_date date;
    json_t *object = json_pack("{s:s}", "type", "user_message");
    if (object && *m->name) json_object_set_new(object, "name", json_string(m->name));
    bool ok = object && !json_object_set_new(object, "message", json_string(text));
    if (ok && m->time >= 0) json_object_set_new(object, "time", json_string(mn_memory_date_text(date, m->time)));
    char *dumped = ok ? json_dumps(object, JSON_COMPACT) : NULL;
    if (dumped) mn_strbuf_puts(out, dumped);
    free(dumped);
    json_decref(object);
    return dumped != NULL;
}

/* What a message takes in a prompt, beside others; a template that refuses it alone is guessed at. */
static int64_t count(const mn_queue *q, const mn_llm_message *m) {
    static const mn_llm_message stub = {.role = "user", .content = "x"};
    const mn_llm_message both[2] = {stub, *m};
    const mn_llm_request without = {.messages = both, .n_messages = 1}, with = {.messages = both, .n_messages = 2};
    int64_t base, all;
    if (mn_llm_count_request(q->llm, &without, &base, NULL) == MN_OK &&
        mn_llm_count_request(q->llm, &with, &all, NULL) == MN_OK && all > base)
        return all - base;
    int64_t n = 8 + (m->content ? mn_llm_count(q->llm, m->content, strlen(m->content)) : 0);
    for (size_t i = 0; i < m->n_calls; i++)
        n += 8 + mn_llm_count(q->llm, m->calls[i].arguments, strlen(m->calls[i].arguments));
    return n;
}

mn_llm_message mn_queue_message(const mn_queue_item *item) {
    const mn_message *m = &item->message.at;
    mn_llm_message out = {.role = !strcmp(m->role, "event") ? "user" : m->role, .content = item->view};
    out.calls = item->calls.calls;
    out.n_calls = item->calls.n_calls;
    if (*m->call_id) out.call_id = m->call_id;
    return out;
}

/* Arguments that are longer than what the whole item may take give way to a note; they stand in recall. */
static bool clip_calls(mn_queue *q, mn_queue_item *item, int64_t max_tokens) {
    int64_t each = max_tokens / (int64_t)MN_MAX(item->calls.n_calls, (size_t)1);
    for (size_t i = 0; i < item->calls.n_calls; i++) {
        mn_llm_call *call = &item->calls.calls[i];
        size_t bytes = strlen(call->arguments);
        if (mn_llm_count(q->llm, call->arguments, bytes) <= each) continue;
        mn_strbuf note = MN_STRBUF_INIT;
        mn_strbuf_printf(&note, "{\"left_out\":%zu}", bytes);
        char *text = mn_strbuf_detach(&note, NULL);
        if (!text) return false;
        free(call->arguments);
        call->arguments = text;
        item->is_clipped = true;
    }
    return true;
}

/* Makes the view of at most about max_tokens, and counts it. */
static mn_status make_view(mn_queue *q, mn_queue_item *item, int64_t max_tokens, mn_error *err) {
    const mn_message *m = &item->message.at;
    mn_strbuf text = MN_STRBUF_INIT, view = MN_STRBUF_INIT;
    bool ok = true, wraps = q->style == MN_VIEW_WRAPPED && !strcmp(m->role, "user");
    item->is_clipped = mn_llm_count(q->llm, m->text, m->bytes) > max_tokens;
    if (item->is_clipped)
        put_clipped(q, m, max_tokens, &text);
    else
        mn_strbuf_put(&text, m->text, m->bytes);
    mn_llm_reply_release(&item->calls);
    if (*m->calls) ok = mn_llm_calls_parse(m->calls, &item->calls) && clip_calls(q, item, max_tokens);
    if (wraps)
        ok = ok && put_wrapped(m, text.data, &view);
    else
        mn_strbuf_put(&view, text.data, text.bytes);
    free(item->view);
    item->view = mn_strbuf_detach(&view, NULL);
    ok = ok && item->view && !text.failed;
    mn_strbuf_release(&text);
    mn_strbuf_release(&view);
    if (!ok) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for a message of %zu bytes.", m->bytes);
    const mn_llm_message shown = mn_queue_message(item);
    item->tokens = count(q, &shown);
    return MN_OK;
}

static int64_t most_tokens(const mn_queue *q, const mn_message *m) {
    return !strcmp(m->role, "tool") ? MN_MIN(q->result_tokens, q->item_tokens) : q->item_tokens;
}

/* ---- loading and appending ---- */

static void release_item(mn_queue_item *item) {
    mn_message_release(&item->message);
    mn_llm_reply_release(&item->calls);
    free(item->view);
}

void mn_queue_release(mn_queue *q) {
    for (size_t i = 0; i < q->n; i++) release_item(&q->items[i]);
    free(q->items);
    q->items = NULL;
    q->n = q->capacity = 0;
    q->tokens = 0;
}

/* Takes over the message, also after a failure. */
static mn_status append(mn_queue *q, mn_message_copy *message, mn_error *err) {
    mn_queue_item item = {.message = *message};
    mn_status status = MN_OK;
    if (q->n == q->capacity) {
        size_t capacity = q->capacity ? 2 * q->capacity : 32;
        mn_queue_item *items = realloc(q->items, capacity * sizeof *items);
        if (items) {
            q->items = items;
            q->capacity = capacity;
        } else {
            status = mn_fail(err, MN_ERR_MEMORY, "There is no memory for a queue of %zu messages.", capacity);
        }
    }
    if (status == MN_OK) status = make_view(q, &item, most_tokens(q, &item.message.at), err);
    if (status != MN_OK) {
        release_item(&item);
        return status;
    }
    q->items[q->n++] = item;
    q->tokens += item.tokens;
    return MN_OK;
}

mn_status mn_queue_load(mn_queue *q, mn_error *err) {
    mn_rows *rows;
    mn_queue_release(q);
    MN_TRY(mn_store_query(q->store, &rows, err,
                          "SELECT " MN_MESSAGE_COLUMNS
                          " FROM queue q JOIN message m ON m.id = q.message WHERE q.agent = $1 ORDER BY q.message",
                          "i", q->agent));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows)) {
        mn_message_copy message;
        status = mn_message_take(rows, &message, err);
        if (status == MN_OK) status = append(q, &message, err);
        if (status != MN_OK) break;
    }
    mn_rows_done(rows);
    if (status != MN_OK) mn_queue_release(q);
    return status;
}

static mn_status push(mn_queue *q, int64_t expected, const mn_message *m, mn_error *err) {
    int64_t id;
    bool found;
    mn_message_copy copy;
    MN_TRY(mn_recall_add_after(q->store, q->agent, expected, m, &id, err));
    MN_TRY(mn_store_run(q->store, err, "INSERT INTO queue (agent, message) VALUES ($1, $2)", "ii", q->agent, id));
    MN_TRY(mn_recall_get(q->store, q->agent, id, &copy, &found, err));
    return append(q, &copy, err);
}

mn_status mn_queue_push(mn_queue *q, int64_t expected, const mn_message *m, mn_error *err) {
    bool own;
    size_t n = q->n;
    MN_TRY(mn_store_join(q->store, &own, err));
    mn_status status = mn_store_leave(q->store, own, push(q, expected, m, err), err);
    if (status != MN_OK && q->n > n) { /* the commit failed */
        q->n--;
        q->tokens -= q->items[q->n].tokens;
        release_item(&q->items[q->n]);
    }
    return status;
}

bool mn_queue_goes_on(const mn_queue *q) { return q->n && q->items[q->n - 1].message.at.goes_on; }

bool mn_message_is_outside(const mn_message *m) {
    return !strcmp(m->role, "user") || (!strcmp(m->role, "event") && strcmp(m->name, "system_alert") != 0);
}

int mn_queue_steps(const mn_queue *q) {
    int n = 0;
    for (size_t i = q->n; i-- && !mn_message_is_outside(&q->items[i].message.at);)
        n += !strcmp(q->items[i].message.at.role, "assistant");
    return n;
}

/* ---- what leaves ---- */

static bool is_role(const mn_queue *q, size_t i, const char *role) {
    return !strcmp(q->items[i].message.at.role, role);
}

/* The end of the unit that begins at i: a message, and the results that follow it. */
static size_t unit_end(const mn_queue *q, size_t i) {
    for (i++; i < q->n && is_role(q, i, "tool");) i++;
    return i;
}

static size_t group_end(const mn_queue *q, size_t i) {
    for (i++; i < q->n && !mn_message_is_outside(&q->items[i].message.at);) i++;
    return i;
}

/* Lets the pieces that `end` cuts leave, oldest first, while more than the target is left; not those that touch the
 * last user's message, and none from `limit` on. */
static void let_leave(const mn_queue *q, size_t (*end)(const mn_queue *, size_t), size_t user, size_t limit,
                      int64_t target, int64_t *left, bool *leaves) {
    for (size_t i = 0, e; i<q->n && * left> target; i = e) {
        e = end(q, i);
        if (e > limit || (i <= user && user < e)) continue;
        for (size_t k = i; k < e; k++) {
            if (!leaves[k]) *left -= q->items[k].tokens;
            leaves[k] = true;
        }
    }
}

size_t mn_queue_choose(const mn_queue *q, int64_t target, size_t keep_last, bool *leaves) {
    size_t user = SIZE_MAX, last_unit = q->n, n = 0;
    int64_t left = q->tokens;
    memset(leaves, 0, q->n * sizeof *leaves);
    for (size_t i = 0; i < q->n; i++)
        if (is_role(q, i, "user")) user = i;
    for (size_t i = 0; i < q->n; i = unit_end(q, i)) last_unit = i;
    size_t keep = q->n > keep_last ? MN_MIN(q->n - keep_last, last_unit) : 0;
    let_leave(q, group_end, user, keep, target, &left, leaves);
    let_leave(q, unit_end, user, keep, target, &left, leaves);
    let_leave(q, unit_end, user, last_unit, target, &left, leaves);
    for (size_t i = 0; i < q->n; i++) n += leaves[i];
    return n;
}

mn_status mn_queue_drop_rows(mn_queue *q, const bool *leaves, mn_error *err) {
    for (size_t i = 0; i < q->n; i++)
        if (leaves[i])
            MN_TRY(mn_store_run(q->store, err, "DELETE FROM queue WHERE agent = $1 AND message = $2", "ii", q->agent,
                                q->items[i].message.at.id));
    return MN_OK;
}

void mn_queue_drop_items(mn_queue *q, const bool *leaves) {
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++) {
        if (leaves[i]) {
            q->tokens -= q->items[i].tokens;
            release_item(&q->items[i]);
        } else {
            q->items[n++] = q->items[i];
        }
    }
    q->n = n;
}

mn_status mn_queue_squeeze(mn_queue *q, int64_t target, mn_error *err) {
    for (int64_t most = q->item_tokens; q->tokens > target && most > LEAST_VIEW_TOKENS;) {
        most = most * 3 / 4;
        for (size_t i = 0; i < q->n; i++) {
            mn_queue_item *item = &q->items[i];
            if (item->tokens <= most) continue;
            int64_t before = item->tokens;
            MN_TRY(make_view(q, item, most, err));
            q->tokens += item->tokens - before;
        }
    }
    return MN_OK;
}
