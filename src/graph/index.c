/* Texts into the store of a graph. */
#include "graph/index.h"

#include "base/checked.h"
#include "base/intern.h"
#include "base/strbuf.h"
#include "graph/schema.h"
#include "graph/turns.h"

#include <mnemo/document.h>

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 32, COMMIT_EVERY = 256 };

typedef struct indexing {
    mn_store *store;
    const mn_index_options *options;
    mn_index_figures *figures;
    const char *source; /* the path that was given */
    json_t *old;        /* id -> hash of the source's documents that were not met yet */
    mn_intern met;      /* ids of this run's documents */
    int64_t n_twice;
    int64_t seq;
    int n_uncommitted;
} indexing;

static void note(const indexing *in, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(const indexing *in, const char *format, ...) {
    char sentence[1024];
    va_list args;
    if (!in->options->note) return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    in->options->note(in->options->arg, sentence);
}

/* ---- one document ---- */

/* A document on its way in: as chunks of a text, or as turns. */
typedef struct entry {
    const char *name, *title, *kind;
    char id[MN_ID_BYTES], hash[MN_ID_BYTES];
    const mn_chunks *chunks;
    const char *text;
    size_t bytes;
    const char *speaker, *session; /* of a turn */
    int64_t time;
} entry;

static mn_status put_chunk(indexing *in, const entry *e, size_t ord, const mn_chunk *c, mn_error *err) {
    char id[MN_ID_BYTES];
    uint64_t number = ord;
    const char *title = c->title ? c->title : "";
    mn_store_id(id, e->id, strlen(e->id), &number, sizeof number, e->text + c->begin, c->end - c->begin, title,
                strlen(title), NULL);
    return mn_store_run(in->store, err,
                        "INSERT INTO chunk (id, doc, ord, first_byte, last_byte, title, speaker, session, time, text) "
                        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
                        "ttiiitttis", id, e->id, (int64_t)ord, (int64_t)c->begin, (int64_t)c->end, c->title, e->speaker,
                        e->session, e->time, e->text + c->begin, c->end - c->begin);
}

static mn_status put_document(indexing *in, const entry *e, mn_error *err) {
    MN_TRY(mn_store_run(in->store, err, "DELETE FROM chunk WHERE doc = $1", "t", e->id));
    MN_TRY(mn_store_run(in->store, err,
                        "INSERT INTO doc (id, source, name, seq, title, kind, hash, bytes) "
                        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET "
                        "title = excluded.title, kind = excluded.kind, hash = excluded.hash, bytes = excluded.bytes",
                        "tttitsti", e->id, in->source, e->name, in->seq++, e->title, e->kind, strlen(e->kind), e->hash,
                        (int64_t)e->bytes));
    for (size_t i = 0; i < e->chunks->n; i++) MN_TRY(put_chunk(in, e, i, &e->chunks->items[i], err));
    return mn_graph_touch(in->store, err);
}

/* Commits now and then: often enough to lose little, seldom enough to be fast. */
static mn_status commit_some(indexing *in, bool all, mn_error *err) {
    if (!in->n_uncommitted || (!all && in->n_uncommitted < COMMIT_EVERY)) return MN_OK;
    in->n_uncommitted = 0;
    return mn_store_commit(in->store, err);
}

/* Fills in id and hash; *known when this very document is in the store. */
static void identify(const indexing *in, entry *e, bool *known, bool *is_new) {
    char time[24];
    snprintf(time, sizeof time, "%lld", (long long)e->time);
    mn_store_id(e->id, in->source, strlen(in->source), e->name, strlen(e->name), NULL);
    mn_store_id(e->hash, e->text, e->bytes, e->title ? e->title : "", e->title ? strlen(e->title) : 0, time,
                strlen(time), e->speaker ? e->speaker : "", e->speaker ? strlen(e->speaker) : 0,
                e->session ? e->session : "", e->session ? strlen(e->session) : 0, NULL);
    const char *hash = json_string_value(json_object_get(in->old, e->id));
    *known = hash && !strcmp(hash, e->hash);
    *is_new = !hash;
}

/* Whether a document of this name came before in this run. */
static mn_status meet(indexing *in, const entry *e, bool *is_met, mn_error *err) {
    uint32_t n = in->met.n, at = mn_intern_put(&in->met, e->id, strlen(e->id));
    *is_met = at < n;
    return at != MN_INTERN_NONE ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "There is no memory for %u documents.", n + 1);
}

static mn_status take(indexing *in, entry *e, mn_error *err) {
    bool known, is_new, is_met;
    identify(in, e, &known, &is_new);
    MN_TRY(meet(in, e, &is_met, err));
    if (is_met) {
        if (in->n_twice++ < 3) note(in, "Left out: a second text with the id %.200s; the first stays.", e->name);
        return MN_OK;
    }
    json_object_del(in->old, e->id);
    if (known) {
        in->figures->n_same++;
        return MN_OK;
    }
    if (!in->n_uncommitted) MN_TRY(mn_store_begin(in->store, err));
    in->n_uncommitted++;
    MN_TRY(put_document(in, e, err));
    *(is_new ? &in->figures->n_new : &in->figures->n_changed) += 1;
    in->figures->text_bytes += (int64_t)e->bytes;
    return commit_some(in, false, err);
}

/* A text with its sections, cut. */
static mn_status take_text(indexing *in, entry *e, const mn_document *document, mn_error *err) {
    mn_chunks chunks;
    MN_TRY(mn_chunks_cut(document, &in->options->chunks, &chunks, err));
    e->chunks = &chunks;
    e->text = document->text;
    e->bytes = document->bytes;
    e->title = document->title;
    mn_status status = take(in, e, err);
    mn_chunks_release(&chunks);
    return status;
}

/* ---- files ---- */

/* Plain text keeps its bytes, so that places in it are places in the file; pages give up their markup. */
static mn_status read_file(const char *path, mn_document *out, mn_error *err) {
    const mn_document_options verbatim = {.verbatim = true};
    MN_TRY(mn_document_read(path, &verbatim, out, err));
    if (strcmp(out->kind, "HTML") != 0) return MN_OK;
    mn_document_release(out);
    return mn_document_read(path, NULL, out, err);
}

static mn_status find_twin(indexing *in, const entry *e, char *name, size_t name_bytes, mn_error *err) {
    mn_rows *rows;
    *name = '\0';
    MN_TRY(mn_store_query(in->store, &rows, err,
                          "SELECT name FROM doc WHERE hash = $1 AND id <> $2 AND kind <> 'collection' LIMIT 1", "tt",
                          e->hash, e->id));
    mn_status status = mn_rows_next(rows, err);
    if (status == MN_OK && mn_rows_has(rows)) snprintf(name, name_bytes, "%s", mn_rows_text(rows, 0, NULL));
    mn_rows_done(rows);
    return status;
}

static mn_status take_file(indexing *in, const char *path, mn_error *err) {
    mn_document document;
    mn_error why;
    char twin[512];
    bool known, is_new;
    if (read_file(path, &document, &why) != MN_OK) {
        note(in, "Left out: %s", why.text);
        in->figures->n_failed++;
        return MN_OK;
    }
    entry e = {.name = path,
               .kind = document.kind,
               .text = document.text,
               .bytes = document.bytes,
               .title = document.title,
               .time = MN_NO_TIME};
    identify(in, &e, &known, &is_new);
    mn_status status = find_twin(in, &e, twin, sizeof twin, err);
    if (status == MN_OK && *twin && !known)
        note(in, "%s holds the same text as %s, and is left out.", path, twin);
    else if (status == MN_OK)
        status = take_text(in, &e, &document, err);
    mn_document_release(&document);
    return status;
}

/* ---- collections and conversations: an object a line ---- */

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

/* A string, or a whole number as one. */
static const char *word_of(const json_t *object, const char *key, char buffer[32]) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) return json_string_value(value);
    snprintf(buffer, 32, "%lld", (long long)json_integer_value(value));
    return buffer;
}

static mn_status take_line(indexing *in, const json_t *object, int64_t line, mn_error *err) {
    char id_buffer[32], time_buffer[32], line_name[32], session_buffer[32];
    const char *text = text_of(object, "text"), *id = word_of(object, "id", id_buffer);
    const char *speaker = text_of(object, "name") ? text_of(object, "name") : text_of(object, "role");
    const char *time = word_of(object, "time", time_buffer);
    snprintf(line_name, sizeof line_name, "line %lld", (long long)line);
    entry e = {.name = id && *id ? id : line_name,
               .kind = speaker ? "conversation" : "collection",
               .speaker = speaker,
               .session = word_of(object, "session", session_buffer),
               .time = time ? mn_turn_time(time) : MN_NO_TIME};
    mn_document document = {.text = (char *)text, .bytes = strlen(text), .title = (char *)text_of(object, "title")};
    if (!speaker) return take_text(in, &e, &document, err);
    mn_chunk whole = {0, document.bytes, NULL};
    mn_chunks chunks = {&whole, 1, 1};
    e.chunks = &chunks;
    e.text = document.text;
    e.bytes = document.bytes;
    return take(in, &e, err);
}

static mn_status take_collection(indexing *in, const char *path, mn_error *err) {
    FILE *file = fopen(path, "rb");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    int64_t number = 0, n_bad = 0;
    if (!file) return mn_fail(err, MN_ERR_IO, "%s cannot be opened: %s.", path, strerror(errno));
    mn_status status = MN_OK;
    while (status == MN_OK && (bytes = getline(&line, &capacity, file)) > 0) {
        number++;
        json_t *object = json_loadb(line, (size_t)bytes, 0, NULL);
        const char *text = text_of(object, "text");
        if (text && *text) {
            status = take_line(in, object, number, err);
        } else if (strspn(line, " \t\r\n") < (size_t)bytes) {
            if (n_bad++ < 3)
                note(in, "Left out: line %lld of %s is no JSON object with a \"text\".", (long long)number, path);
            in->figures->n_failed++;
        }
        json_decref(object);
        if (status == MN_OK && in->options->progress && number % 256 == 0 &&
            !in->options->progress(in->options->arg, ftell(file), -1))
            status = mn_fail(err, MN_ERR_CANCELLED, "Indexing was stopped; what was read is kept.");
    }
    if (status == MN_OK && ferror(file)) status = mn_fail(err, MN_ERR_IO, "%s cannot be read to its end.", path);
    if (n_bad > 3) note(in, "Left out: %lld more lines of %s.", (long long)(n_bad - 3), path);
    free(line);
    fclose(file);
    return status;
}

static bool is_collection(const char *path) {
    size_t n = strlen(path);
    return n > 6 && (!strcmp(path + n - 6, ".jsonl") || !strcmp(path + n - 6, ".JSONL"));
}

/* ---- folders ---- */

static mn_status take_path(indexing *in, const char *path, int depth, mn_error *err);

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

static mn_status take_folder(indexing *in, const char *path, int depth, mn_error *err) {
    struct dirent **entries;
    int n = scandir(path, &entries, visible, alphasort);
    if (n < 0 || depth > MAX_DEPTH) {
        note(in, "Left out: the folder %s %s.", path, n < 0 ? strerror(errno) : "lies too deep");
        in->figures->n_failed++;
        if (n < 0) return MN_OK;
    }
    mn_status status = MN_OK;
    for (int i = 0; i < n; i++) {
        mn_strbuf child = MN_STRBUF_INIT;
        mn_strbuf_printf(&child, "%s/%s", path, entries[i]->d_name);
        if (status == MN_OK && depth <= MAX_DEPTH) status = take_path(in, child.data, depth + 1, err);
        mn_strbuf_release(&child);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static mn_status take_path(indexing *in, const char *path, int depth, mn_error *err) {
    struct stat info;
    if (stat(path, &info)) {
        if (depth == 0) return mn_fail(err, MN_ERR_IO, "%s cannot be read: %s.", path, strerror(errno));
        note(in, "Left out: %s cannot be read: %s.", path, strerror(errno));
        in->figures->n_failed++;
        return MN_OK;
    }
    if (S_ISDIR(info.st_mode)) return take_folder(in, path, depth, err);
    if (depth > 0 && !S_ISREG(info.st_mode)) return MN_OK;
    if (is_collection(path)) return take_collection(in, path, err);
    int64_t failed = in->figures->n_failed;
    MN_TRY(take_file(in, path, err));
    if (depth == 0 && in->figures->n_failed > failed)
        return mn_fail(err, MN_ERR_FORMAT, "%s could not be read; nothing of it is in the store.", path);
    if (in->options->progress && !in->options->progress(in->options->arg, in->figures->text_bytes, -1))
        return mn_fail(err, MN_ERR_CANCELLED, "Indexing was stopped; what was read is kept.");
    return MN_OK;
}

/* ---- all of a path ---- */

static mn_status load_old(indexing *in, mn_error *err) {
    mn_rows *rows;
    MN_TRY(mn_store_number(in->store, 0, &in->seq, err, "SELECT max(seq) + 1 FROM doc", ""));
    MN_TRY(mn_store_query(in->store, &rows, err, "SELECT id, hash FROM doc WHERE source = $1", "t", in->source));
    mn_status status;
    while ((status = mn_rows_next(rows, err)) == MN_OK && mn_rows_has(rows))
        json_object_set_new(in->old, mn_rows_text(rows, 0, NULL), json_string(mn_rows_text(rows, 1, NULL)));
    mn_rows_done(rows);
    return status;
}

static mn_status remove_gone(indexing *in, int64_t n_failed, mn_error *err) {
    const char *id;
    json_t *hash;
    if (!json_object_size(in->old)) return MN_OK;
    if (in->figures->n_failed > n_failed) {
        note(in, "Some of %s could not be read, so nothing is taken for gone.", in->source);
        return MN_OK;
    }
    MN_TRY(mn_store_begin(in->store, err));
    mn_status status = MN_OK;
    json_object_foreach(in->old, id, hash) {
        if (status == MN_OK) status = mn_store_run(in->store, err, "DELETE FROM chunk WHERE doc = $1", "t", id);
        if (status == MN_OK) status = mn_store_run(in->store, err, "DELETE FROM doc WHERE id = $1", "t", id);
        in->figures->n_gone++;
    }
    if (status == MN_OK) status = mn_graph_touch(in->store, err);
    return mn_store_end(in->store, status, err);
}

mn_status mn_index_path(mn_store *store, const char *path, const mn_index_options *options, mn_index_figures *figures,
                        mn_error *err) {
    static const mn_index_options defaults = {0};
    indexing in = {.store = store,
                   .options = options ? options : &defaults,
                   .figures = figures,
                   .source = path,
                   .old = json_object()};
    int64_t n_failed = figures->n_failed;
    MN_TRY(mn_graph_migrate(store, err));
    mn_status status = load_old(&in, err);
    if (status == MN_OK) status = take_path(&in, path, 0, err);
    mn_status kept =
        status == MN_OK || status == MN_ERR_CANCELLED ? commit_some(&in, true, status == MN_OK ? err : NULL) : MN_OK;
    if (status == MN_OK) status = kept;
    if (status != MN_OK) mn_store_rollback(store);
    if (status == MN_OK) status = remove_gone(&in, n_failed, err);
    if (in.n_twice > 3) note(&in, "Left out: %lld more texts whose id came before.", (long long)in.n_twice - 3);
    json_decref(in.old);
    mn_intern_release(&in.met);
    return status;
}
