#include "memory/import.h"

#include "base/checked.h"
#include "base/intern.h"
#include "graph/turns.h"
#include "memory/core.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { COMMIT_MESSAGES = 1000, MAX_LINE_BYTES = 64 << 20 };

typedef struct importing {
    mn_store *store;
    int64_t agent;
    const mn_import_options *options;
    mn_import_figures *figures;
    mn_intern hashes;  /* of messages without an id, */
    uint32_t *n_equal; /* and how often each has come */
    size_t n_equal_capacity;
    int64_t line, bytes;
    bool is_open;           /* a transaction, */
    int n_open;             /* and the messages in it */
    mn_import_figures kept; /* what was committed */
    mn_recall_batch batch;
} importing;

static mn_status broken(const importing *im, mn_error *err, const char *what) {
    return mn_fail(err, MN_ERR_FORMAT,
                   "%s, line %lld: %s. What stands before it is kept; mend the line and import the file again: nothing "
                   "is taken twice.",
                   im->options->name, (long long)im->line, what);
}

/* ---- one line ---- */

/* The first of the names that the object has. */
static const json_t *field(const json_t *object, const char *const *names) {
    for (; *names; names++) {
        const json_t *value = json_object_get(object, *names);
        if (value && !json_is_null(value)) return value;
    }
    return NULL;
}

#define FIELD(object, ...) field(object, (const char *const[]){__VA_ARGS__, NULL})

/* A text, or a whole number as one; NULL where it is neither. buf holds the number. */
static const char *text_of(const json_t *value, char buf[32]) {
    if (json_is_string(value)) return json_string_value(value);
    if (!json_is_integer(value)) return NULL;
    snprintf(buf, 32, "%lld", (long long)json_integer_value(value));
    return buf;
}

static const char *role_of(const char *role) {
    static const char *const names[][2] = {{"user", "user"},       {"human", "user"},    {"assistant", "assistant"},
                                           {"ai", "assistant"},    {"bot", "assistant"}, {"model", "assistant"},
                                           {"agent", "assistant"}, {"system", "system"}, {"developer", "system"},
                                           {"tool", "tool"},       {"function", "tool"}};
    for (size_t i = 0; role && i < sizeof names / sizeof *names; i++)
        if (!strcmp(role, names[i][0])) return names[i][1];
    return "user";
}

static int64_t time_of(importing *im, const json_t *value) {
    int64_t time = MN_RECALL_NO_TIME;
    if (!value) return time;
    if (json_is_string(value)) time = mn_turn_time(json_string_value(value));
    if (json_is_number(value)) time = mn_turn_seconds(json_number_value(value));
    if (time == MN_RECALL_NO_TIME && im->figures->n_untimed++ == 0) im->figures->untimed_line = im->line;
    return time;
}

/* A message without an id is known by what it holds, and by how many like it came before. */
static mn_status hash_id(importing *im, const mn_message *m, char out[64], mn_error *err) {
    char hash[MN_ID_BYTES];
    mn_store_id(hash, m->role, strlen(m->role), m->name, strlen(m->name), m->session, strlen(m->session), &m->time,
                sizeof m->time, m->text, m->bytes, NULL);
    uint32_t at = mn_intern_put(&im->hashes, hash, strlen(hash));
    if (at != MN_INTERN_NONE && at >= im->n_equal_capacity) {
        size_t capacity = MN_MAX(2 * im->n_equal_capacity, (size_t)1024);
        uint32_t *grown = realloc(im->n_equal, capacity * sizeof *grown);
        if (grown) {
            memset(grown + im->n_equal_capacity, 0, (capacity - im->n_equal_capacity) * sizeof *grown);
            im->n_equal = grown;
            im->n_equal_capacity = capacity;
        }
    }
    if (at == MN_INTERN_NONE || at >= im->n_equal_capacity)
        return mn_fail(err, MN_ERR_MEMORY, "There is no memory for message %lld.", (long long)im->line);
    snprintf(out, 64, "\"%s-%u\"", hash, im->n_equal[at]++);
    return MN_OK;
}

/* The uid of a message: the agent, and the id as JSON, so that 12 and "12" stay what they are. */
static mn_status make_uid(importing *im, const json_t *id, const mn_message *m, char **out, mn_error *err) {
    char hash[64], *text = NULL;
    *out = NULL;
    if (id)
        text = json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT);
    else
        MN_TRY(hash_id(im, m, hash, err));
    size_t bytes = strlen(id && text ? text : hash) + 32;
    if (!id || text) *out = malloc(bytes);
    if (*out) snprintf(*out, bytes, "%lld:%s", (long long)im->agent, id ? text : hash);
    free(text);
    return *out ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for message %lld.", (long long)im->line);
}

/* Whether the known message of this id says the same. */
static mn_status compare(importing *im, const mn_message *m, mn_error *err) {
    mn_rows *rows;
    size_t bytes = 0;
    MN_TRY(mn_store_query(im->store, &rows, err, "SELECT text FROM message WHERE uid = $1", "t", m->uid));
    mn_status status = mn_rows_next(rows, err);
    const char *text = status == MN_OK && mn_rows_has(rows) ? mn_rows_text(rows, 0, &bytes) : "";
    bool same = bytes == m->bytes && !memcmp(text, m->text, bytes);
    mn_rows_done(rows);
    im->figures->n_known++;
    if (!same && im->figures->n_changed++ == 0) im->figures->changed_line = im->line;
    return status;
}

static mn_status add(importing *im, const json_t *id, mn_message *m, mn_error *err) {
    char *uid;
    int64_t number;
    MN_TRY(make_uid(im, id, m, &uid, err));
    m->uid = uid;
    mn_status status = mn_recall_batch_add(&im->batch, m, &number, err);
    if (status == MN_OK && number == 0) status = compare(im, m, err);
    if (status == MN_OK && number) im->figures->n_new++;
    free(uid);
    return status;
}

static mn_status take_object(importing *im, const json_t *object, mn_error *err) {
    char session[32];
    const json_t *text = FIELD(object, "text", "content"), *id = FIELD(object, "id");
    const json_t *name = FIELD(object, "name", "speaker"), *role = FIELD(object, "role");
    const json_t *belongs = FIELD(object, "session", "session_id");
    if (!json_is_string(text)) return broken(im, err, "it has no text (\"text\": \"...\")");
    if (id && !json_is_string(id) && !json_is_number(id))
        return broken(im, err, "its id is neither a text nor a number");
    if ((name && !json_is_string(name)) || (role && !json_is_string(role)))
        return broken(im, err, "its name or role is no text");
    if (belongs && !text_of(belongs, session))
        return broken(im, err, "its session is neither a text nor a whole number");
    mn_message m = {.role = role_of(json_string_value(role)),
                    .name = name ? json_string_value(name) : "",
                    .session = belongs ? text_of(belongs, session) : "",
                    .time = time_of(im, FIELD(object, "time", "timestamp", "date")),
                    .text = json_string_value(text),
                    .bytes = json_string_length(text)};
    return add(im, id, &m, err);
}

static mn_status take_line(importing *im, const char *line, size_t bytes, mn_error *err) {
    json_error_t why;
    char what[240];
    if (im->line == 1 && bytes >= 3 && !memcmp(line, "\xef\xbb\xbf", 3)) {
        line += 3;
        bytes -= 3;
    }
    while (bytes > 0 && strchr(" \t\r\n", line[bytes - 1]) && line[bytes - 1]) bytes--;
    if (bytes == 0) return MN_OK;
    if (bytes > MAX_LINE_BYTES) return broken(im, err, "it is longer than 64 MiB");
    json_t *object = json_loadb(line, bytes, 0, &why);
    if (!json_is_object(object)) {
        snprintf(what, sizeof what, object ? "it is no JSON object" : "it is no JSON object (%.150s)", why.text);
        json_decref(object);
        return broken(im, err, what);
    }
    mn_status status = take_object(im, object, err);
    json_decref(object);
    return status;
}

/* ---- the file ---- */

static mn_status begin(importing *im, mn_error *err) {
    MN_TRY(mn_store_begin(im->store, err));
    im->is_open = true;
    return mn_recall_batch_begin(&im->batch, im->store, im->agent, err);
}

static mn_status end(importing *im, mn_error *err) {
    im->n_open = 0;
    im->is_open = false;
    MN_TRY(mn_store_end(im->store, mn_recall_batch_end(&im->batch, err), err));
    im->kept = *im->figures;
    return MN_OK;
}

static mn_status commit(importing *im, mn_error *err) {
    MN_TRY(end(im, err));
    if (!im->options->progress || im->options->progress(im->options->arg, im->bytes)) return MN_OK;
    return mn_fail(err, MN_ERR_CANCELLED, "The import was stopped after line %lld; start it again to go on.",
                   (long long)im->line);
}

static mn_status take_lines(importing *im, FILE *in, mn_error *err) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    mn_status status = MN_OK;
    while (status == MN_OK && (n = getline(&line, &capacity, in)) >= 0) {
        if (!im->is_open) status = begin(im, err);
        im->line++;
        im->figures->n_lines++;
        im->bytes += n;
        if (status == MN_OK) status = take_line(im, line, (size_t)n, err);
        if (status == MN_OK && ++im->n_open == COMMIT_MESSAGES) status = commit(im, err);
    }
    if (status == MN_OK && ferror(in))
        status = mn_fail(err, MN_ERR_IO, "%s cannot be read beyond line %lld.", im->options->name, (long long)im->line);
    free(line);
    return status;
}

mn_status mn_messages_import(mn_store *store, int64_t agent, FILE *in, const mn_import_options *options,
                             mn_import_figures *figures, mn_error *err) {
    importing im = {.store = store, .agent = agent, .options = options, .figures = figures, .kept = *figures};
    mn_status status = take_lines(&im, in, err);
    /* A broken line is no reason to lose those before it; a store that failed is. */
    bool keeps = status == MN_OK || status == MN_ERR_FORMAT;
    mn_status ended = im.is_open && keeps ? end(&im, status == MN_OK ? err : NULL) : MN_OK;
    if (im.is_open) mn_store_rollback(store);
    if (!keeps || ended != MN_OK) *figures = im.kept;
    if (status == MN_OK) status = ended;
    mn_intern_release(&im.hashes);
    free(im.n_equal);
    return status;
}

/* ---- agents and ids ---- */

static mn_status make_agent(mn_store *store, const char *name, int64_t *id, mn_error *err) {
    static const char *const labels[][2] = {{"persona", "Who you are."}, {"human", "What you know about the user."}};
    MN_TRY(mn_agent_add(store, name, "", id, err));
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        mn_block block = {.label = (char *)labels[i][0], .description = (char *)labels[i][1], .value = (char *)""};
        MN_TRY(mn_core_add(store, *id, &block, err));
    }
    return MN_OK;
}

static mn_status find_id(mn_store *store, const char *name, int64_t *id, bool *found, mn_error *err) {
    mn_agent_row row;
    MN_TRY(mn_agent_find(store, name, &row, found, err));
    *id = row.id;
    mn_agent_row_release(&row);
    return MN_OK;
}

mn_status mn_agent_find_or_add(mn_store *store, const char *name, int64_t *id, mn_error *err) {
    bool found;
    MN_TRY(find_id(store, name, id, &found, err));
    if (found) return MN_OK;
    MN_TRY(mn_store_begin(store, err));
    mn_status status = find_id(store, name, id, &found, err); /* another process may have added it meanwhile */
    if (status == MN_OK && !found) status = make_agent(store, name, id, err);
    return mn_store_end(store, status, err);
}

char *mn_message_external_id(int64_t agent, const char *uid) {
    char prefix[32];
    int n = snprintf(prefix, sizeof prefix, "%lld:", (long long)agent);
    if (!strncmp(uid, prefix, (size_t)n)) return strdup(uid + n);
    json_t *text = json_string(uid);
    char *out = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    json_decref(text);
    return out;
}
