#include "eval/sample_file.h"

#include "base/checked.h"
#include "base/file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 1 << 30 };

static json_t *text_of(const mn_strbuf *text) { return json_stringn(text->data, text->bytes); }

static json_t *references_of(const mn_task_sample *s) {
    json_t *list = json_array();
    for (int i = 0; i < s->n_references; i++) json_array_append_new(list, json_string(s->references[i]));
    return list;
}

mn_status mn_sample_write(FILE *f, const mn_saved_sample *x, mn_error *err) {
    const mn_task_sample *s = &x->s;
    json_t *line = json_pack("{s:s, s:I, s:I, s:f, s:f, s:b, s:o*, s:o*, s:o*, s:o}", "task", x->task->name, "length",
                             (json_int_t)x->length, "sample", (json_int_t)x->sample, "depth", x->depth, "needle_depth",
                             s->depth, "worded", s->worded, "document", text_of(&s->document), "question",
                             text_of(&s->question), "prefix", text_of(&s->prefix), "references", references_of(s));
    bool whole = line && json_object_get(line, "document") && json_object_get(line, "question") &&
                 json_object_get(line, "prefix");
    if (whole) {
        json_dumpf(line, f, JSON_COMPACT);
        putc('\n', f);
    }
    json_decref(line);
    return whole ? MN_OK
                 : mn_fail(err, MN_ERR_FORMAT, "sample %lld of %s is no UTF-8; convert the haystack first.",
                           (long long)x->sample, x->task->name);
}

static void take_text(const json_t *o, const char *key, mn_strbuf *out) {
    const json_t *text = json_object_get(o, key);
    mn_strbuf_put(out, json_string_value(text), json_string_length(text));
}

/* NULL when the line is a sample, else what is wrong. */
static const char *read_line(const json_t *o, mn_saved_sample *x) {
    const char *task = json_string_value(json_object_get(o, "task"));
    const json_t *depth = json_object_get(o, "depth"), *list = json_object_get(o, "references");
    mn_task_sample_init(&x->s);
    x->task = task ? mn_task_find(task) : NULL;
    x->length = json_integer_value(json_object_get(o, "length"));
    x->sample = json_integer_value(json_object_get(o, "sample"));
    x->depth = json_is_number(depth) ? json_number_value(depth) : -1;
    x->s.worded = json_is_true(json_object_get(o, "worded"));
    if (!x->task) return "\"task\" is none of mnemo eval tasks";
    if (x->length < 1 || x->length > INT64_C(1) << 32 || x->sample < 0 || x->sample > INT64_C(1) << 53)
        return "\"length\" or \"sample\" is no such number";
    if (!json_is_string(json_object_get(o, "document"))) return "there is no \"document\"";
    take_text(o, "document", &x->s.document);
    take_text(o, "question", &x->s.question);
    take_text(o, "prefix", &x->s.prefix);
    if (json_array_size(list) == 0 || json_array_size(list) > MN_MAX_REFERENCES)
        return "\"references\" holds none, or too many";
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !*text || strlen(text) > MN_REFERENCE_BYTES) return "a reference is no text of 1 to 16384 bytes";
        mn_task_add_reference(&x->s, text);
    }
    return x->s.document.failed || x->s.question.failed || x->s.prefix.failed ? "no memory" : NULL;
}

static mn_status add_line(const char *path, int64_t number, const char *line, size_t bytes, mn_saved_sample **all,
                          int64_t *n, mn_error *err) {
    json_error_t problem;
    mn_saved_sample *grown = reallocarray(*all, (size_t)*n + 1, sizeof *grown);
    if (!grown) return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld samples.", (long long)*n + 1);
    *all = grown;
    json_t *o = json_loadb(line, bytes, 0, &problem);
    const char *wrong = problem.text;
    if (o) wrong = read_line(o, &grown[(*n)++]);
    mn_status status =
        wrong ? mn_fail(err, MN_ERR_FORMAT, "%s: line %lld: %s.", path, (long long)number, wrong) : MN_OK;
    json_decref(o);
    return status;
}

mn_status mn_samples_read(const char *path, mn_saved_sample **out, int64_t *n, mn_error *err) {
    char *text;
    size_t bytes;
    int64_t number = 0;
    *out = NULL;
    *n = 0;
    MN_TRY(mn_file_read(path, MAX_FILE_BYTES, &text, &bytes, err));
    mn_status status = MN_OK;
    for (size_t at = 0; at < bytes && status == MN_OK;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        size_t length = end ? (size_t)(end - text) - at : bytes - at;
        number++;
        if (length) status = add_line(path, number, text + at, length, out, n, err);
        at += length + 1;
    }
    free(text);
    if (status == MN_OK && *n == 0) status = mn_fail(err, MN_ERR_FORMAT, "%s: holds no samples.", path);
    if (status == MN_OK) return MN_OK;
    mn_samples_release(*out, *n);
    *out = NULL;
    *n = 0;
    return status;
}

void mn_samples_release(mn_saved_sample *samples, int64_t n) {
    for (int64_t i = 0; i < n; i++) mn_task_sample_release(&samples[i].s);
    free(samples);
}
