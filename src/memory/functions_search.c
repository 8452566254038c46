/* Functions that talk, and that look things up or put them away: MemGPT's and Letta's, under their names. */
#include "memory/agent_inside.h"

#include "base/checked.h"
#include "memory/archival.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RESULTS = 50, SHOWN_BYTES = 600, READ_BYTES = 1500, MAX_PAGE = 1000, MAX_TAGS = 16 };

/* ---- talking ---- */

static mn_status send_message(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    const char *message;
    (void)a;
    MN_TRY(mn_argument_text(arguments, "message", &message, err));
    if (!message[strspn(message, " \t\r\n")])
        return mn_fail(err, MN_ERR_ARGUMENT, "The message is empty; say something to the user.");
    out->said = strdup(message);
    mn_strbuf_puts(&out->text, "Sent.");
    return out->said ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for a message.");
}

static mn_status pause_heartbeats(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    int64_t minutes = mn_argument_int(arguments, "minutes", 0, 360, 0), to = mn_memory_now() + 60 * minutes;
    MN_TRY(mn_store_run(a->store, err, "UPDATE agent SET paused_to = $1 WHERE id = $2", "ii", to, a->row.id));
    a->row.paused_to = to;
    mn_strbuf_printf(&out->text, "Heartbeats are paused for %lld minutes.", (long long)minutes);
    return MN_OK;
}

/* ---- recall ---- */

/* At most max bytes of a text, whole characters. */
static size_t cut_bytes(const char *text, size_t bytes, size_t max) {
    size_t n = MN_MIN(bytes, max);
    while (n && n < bytes && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    return n;
}

static void put_message(mn_strbuf *out, const mn_message *m) {
    mn_memory_date date;
    size_t shown = cut_bytes(m->text, m->bytes, SHOWN_BYTES);
    mn_strbuf_printf(out, "[message %lld, %s] %s%s%s: ", (long long)m->id, mn_memory_date_text(date, m->time), m->role,
                     *m->name ? " " : "", m->name);
    mn_strbuf_put(out, m->text, shown);
    mn_strbuf_puts(out, shown < m->bytes ? " [...]\n" : "\n");
}

/* What was said before the message that is being answered. */
static int64_t turn_begin(const mn_agent *a) {
    for (size_t i = a->queue.n; i--;)
        if (mn_message_is_outside(&a->queue.items[i].message.at)) return a->queue.items[i].message.at.id;
    return 0;
}

static mn_status show_messages(mn_agent *a, const mn_recall_query *query, mn_function_result *out, mn_error *err) {
    mn_recall_hit hits[MAX_RESULTS];
    uint32_t n;
    int64_t n_all;
    mn_status status = mn_agent_find_messages(a, query, hits, &n, &n_all, err);
    if (status == MN_OK)
        mn_strbuf_printf(&out->text, "%u of %lld results, page %u of %lld:\n", n, (long long)n_all, query->page,
                         (long long)((n_all + query->limit - 1) / query->limit));
    for (uint32_t i = 0; status == MN_OK && i < n; i++) {
        mn_message_copy message;
        bool found;
        status = mn_recall_get(a->store, a->row.id, hits[i].message, &message, &found, err);
        if (status == MN_OK && found) put_message(&out->text, &message.at);
        mn_message_release(&message);
    }
    return status;
}

static mn_status recall_query(mn_agent *a, const json_t *arguments, mn_recall_query *query, mn_error *err) {
    *query = (mn_recall_query){.before_id = turn_begin(a)};
    query->limit = (uint32_t)mn_argument_int(arguments, "limit", 1, MAX_RESULTS, 5);
    query->page = (uint32_t)mn_argument_int(arguments, "page", 0, MAX_PAGE, 0);
    MN_TRY(mn_argument_time(arguments, "start_date", false, &query->since, err));
    return mn_argument_time(arguments, "end_date", true, &query->until, err);
}

static mn_status conversation_search(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    mn_recall_query query;
    mn_strbuf roles = MN_STRBUF_INIT;
    const json_t *role, *list = json_object_get(arguments, "roles");
    size_t i;
    MN_TRY(recall_query(a, arguments, &query, err));
    MN_TRY(mn_argument_text(arguments, "query", &query.words, err));
    json_array_foreach(list, i, role)
        mn_strbuf_printf(&roles, "%s,", json_string_value(role) ? json_string_value(role) : "");
    if (roles.bytes) query.roles = roles.data;
    mn_status status = show_messages(a, &query, out, err);
    mn_strbuf_release(&roles);
    return status;
}

static mn_status conversation_search_date(mn_agent *a, const json_t *arguments, mn_function_result *out,
                                          mn_error *err) {
    mn_recall_query query;
    MN_TRY(recall_query(a, arguments, &query, err));
    if (!query.since && !query.until)
        return mn_fail(err, MN_ERR_ARGUMENT, "conversation_search_date wants start_date or end_date.");
    return show_messages(a, &query, out, err);
}

static mn_status conversation_read(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    int64_t id = mn_argument_int(arguments, "message", 0, INT64_MAX, 0);
    size_t offset = (size_t)mn_argument_int(arguments, "offset", 0, INT64_MAX, 0);
    mn_message_copy message;
    bool found;
    MN_TRY(mn_recall_get(a->store, a->row.id, id, &message, &found, err));
    if (!found) return mn_fail(err, MN_ERR_ARGUMENT, "There is no message %lld.", (long long)id);
    const mn_message *m = &message.at;
    offset = cut_bytes(m->text, m->bytes, offset);
    size_t shown = cut_bytes(m->text + offset, m->bytes - offset, READ_BYTES);
    mn_strbuf_printf(&out->text, "Bytes %zu to %zu of %zu:\n", offset, offset + shown, m->bytes);
    mn_strbuf_put(&out->text, m->text + offset, shown);
    mn_message_release(&message);
    return MN_OK;
}

/* ---- archival ---- */

/* Borrows the texts of a list of tags. */
static size_t tags_of(const json_t *arguments, const char *tags[MAX_TAGS]) {
    const json_t *list = json_object_get(arguments, "tags"), *tag;
    size_t i, n = 0;
    json_array_foreach(list, i, tag) {
        if (json_is_string(tag) && n < MAX_TAGS) tags[n++] = json_string_value(tag);
    }
    return n;
}

static mn_status archival_insert(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    const char *tags[MAX_TAGS], *content;
    int64_t id;
    MN_TRY(mn_argument_text(arguments, "content", &content, err));
    if (!*content) return mn_fail(err, MN_ERR_ARGUMENT, "The content is empty.");
    const mn_archival_text text = {.text = content,
                                   .bytes = strlen(content),
                                   .source = "agent",
                                   .time = mn_memory_now(),
                                   .tags = tags,
                                   .n_tags = tags_of(arguments, tags)};
    MN_TRY(mn_archival_add(a->store, a->row.archive, &text, &id, err));
    mn_strbuf_printf(&out->text, "Put away as text %lld.", (long long)id);
    return MN_OK;
}

static void put_text(mn_strbuf *out, const mn_archival_hit *hit) {
    mn_memory_date date;
    size_t bytes = strlen(hit->text), shown = cut_bytes(hit->text, bytes, SHOWN_BYTES);
    mn_strbuf_printf(out, "[text %lld, %s%s%s] ", (long long)hit->id, mn_memory_date_text(date, hit->time),
                     *hit->tags ? ", " : "", hit->tags);
    mn_strbuf_put(out, hit->text, shown);
    mn_strbuf_puts(out, shown < bytes ? " [...]\n" : "\n");
}

static mn_status archival_search(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    const char *tags[MAX_TAGS], *mode = json_string_value(json_object_get(arguments, "tag_match_mode"));
    mn_archival_hit hits[MAX_RESULTS];
    uint32_t n;
    int64_t n_all;
    mn_archival_query query = {
        .tags = tags, .n_tags = tags_of(arguments, tags), .all_tags = mode && !strcmp(mode, "all")};
    query.limit = (uint32_t)mn_argument_int(arguments, "top_k", 1, MAX_RESULTS, 10);
    query.page = (uint32_t)mn_argument_int(arguments, "page", 0, MAX_PAGE, 0);
    MN_TRY(mn_argument_text(arguments, "query", &query.words, err));
    MN_TRY(mn_argument_time(arguments, "start_datetime", false, &query.since, err));
    MN_TRY(mn_argument_time(arguments, "end_datetime", true, &query.until, err));
    MN_TRY(mn_archival_search(a->store, a->row.archive, &query, hits, &n, &n_all, err));
    mn_strbuf_printf(&out->text, "%u of %lld results, page %u of %lld:\n", n, (long long)n_all, query.page,
                     (long long)((n_all + query.limit - 1) / query.limit));
    for (uint32_t i = 0; i < n; i++) {
        put_text(&out->text, &hits[i]);
        mn_archival_hit_release(&hits[i]);
    }
    return MN_OK;
}

#define TEXT(name) "\"" name "\": {\"type\": \"string\"}"
#define NUMBER(name) "\"" name "\": {\"type\": \"integer\"}"
#define TEXTS(name) "\"" name "\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}}"

enum { LOOKING = MN_FOR_TALK | MN_FOR_SLEEP };

const mn_function mn_search_functions[] = {
    {"send_message", "Says something to the user.", "{" TEXT("message") "}", "[\"message\"]", MN_FOR_MEMGPT,
     send_message},
    {"conversation_search", "Searches everything ever said, by words.",
     "{" TEXT("query") ", " TEXTS("roles") ", " NUMBER("limit") ", " TEXT("start_date") ", " TEXT(
         "end_date") ", " NUMBER("page") "}",
     "[\"query\"]", LOOKING, conversation_search},
    {"conversation_search_date", "Lists what was said between two dates, newest first.",
     "{" TEXT("start_date") ", " TEXT("end_date") ", " NUMBER("page") "}", "[\"start_date\", \"end_date\"]", LOOKING,
     conversation_search_date},
    {"conversation_read", "Reads a message in full, from a byte on.", "{" NUMBER("message") ", " NUMBER("offset") "}",
     "[\"message\"]", LOOKING, conversation_read},
    {"archival_memory_insert", "Puts a text away.", "{" TEXT("content") ", " TEXTS("tags") "}", "[\"content\"]",
     MN_FOR_TALK, archival_insert},
    {"archival_memory_search", "Searches the texts that were put away, by words and tags.",
     "{" TEXT("query") ", " TEXTS("tags") ", \"tag_match_mode\": {\"type\": \"string\", \"enum\": [\"any\", "
                                          "\"all\"]}, " NUMBER("top_k") ", " TEXT("start_datetime") ", " TEXT(
                                              "end_datetime") ", " NUMBER("page") "}",
     "[\"query\"]", LOOKING, archival_search},
    {"pause_heartbeats", "Pauses timed heartbeats for up to 360 minutes.", "{" NUMBER("minutes") "}", "[\"minutes\"]",
     MN_FOR_TALK, pause_heartbeats},
    {0},
};
