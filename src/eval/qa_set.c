#include "eval/qa_set.h"

#include "base/file.h"
#include "eval/task.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 1 << 30 };

typedef struct counts {
    int64_t n_questions, n_passages;
} counts;

static const char *keep(mn_qa_set *s, const json_t *text) {
    size_t bytes = json_string_length(text) + 1;
    char *copy = mn_arena_alloc(&s->arena, bytes, 1);
    return copy ? memcpy(copy, json_string_value(text), bytes) : NULL;
}

/* A list of texts under `key`; NULL when it is none. */
static const json_t *list_of(const json_t *line, const char *key) {
    const json_t *list = json_object_get(line, key), *item;
    size_t i;
    if (!json_is_array(list)) return NULL;
    json_array_foreach(list, i, item) if (!json_is_string(item)) return NULL;
    return list;
}

/* Answers that a sample can hold, none blank: an empty one is found in every text. */
static mn_status check_answers(const json_t *list, mn_error *err) {
    size_t n = json_array_size(list);
    if (n < 1 || n > MN_MAX_REFERENCES)
        return mn_fail(err, MN_ERR_FORMAT, "\"answers\" holds %zu texts (wanted: 1 to %d).", n, MN_MAX_REFERENCES);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        size_t bytes = strlen(text);
        if (bytes > MN_REFERENCE_BYTES || strspn(text, " \t\r\n") == bytes)
            return mn_fail(err, MN_ERR_FORMAT, "answer %zu is of %zu bytes (wanted: words, of %d at most).", i + 1,
                           bytes, MN_REFERENCE_BYTES);
    }
    return MN_OK;
}

static mn_status check_line(const json_t *line, mn_error *err) {
    if (!json_is_string(json_object_get(line, "question")) || !list_of(line, "answers") || !list_of(line, "passages"))
        return mn_fail(err, MN_ERR_FORMAT,
                       "wanted an object with \"question\", a list of texts \"answers\" and one \"passages\".");
    if (json_object_get(line, "others") && !list_of(line, "others"))
        return mn_fail(err, MN_ERR_FORMAT, "\"others\" is no list of texts.");
    return check_answers(list_of(line, "answers"), err);
}

static mn_status no_memory(mn_error *err) { return mn_fail(err, MN_ERR_MEMORY, "no memory for the questions."); }

static mn_status add_passages(mn_qa_set *s, const json_t *list, int32_t *gold, mn_error *err) {
    size_t n = list ? json_array_size(list) : 0;
    for (size_t i = 0; i < n; i++) {
        if (gold) gold[i] = (int32_t)s->n_passages;
        s->passages[s->n_passages] = keep(s, json_array_get(list, i));
        if (!s->passages[s->n_passages++]) return no_memory(err);
    }
    return MN_OK;
}

static mn_status add_line(mn_qa_set *s, const json_t *line, mn_error *err) {
    const json_t *answers = list_of(line, "answers"), *passages = list_of(line, "passages");
    mn_qa_question *q = &s->questions[s->n_questions++];
    size_t n_answers = json_array_size(answers), n_gold = json_array_size(passages);
    const char **texts = mn_arena_alloc(&s->arena, n_answers + 1, sizeof *texts);
    int32_t *gold = mn_arena_alloc(&s->arena, n_gold + 1, sizeof *gold);
    if (!texts || !gold) return no_memory(err);
    for (size_t i = 0; i < n_answers; i++)
        if (!(texts[i] = keep(s, json_array_get(answers, i)))) return no_memory(err);
    *q = (mn_qa_question){keep(s, json_object_get(line, "question")), texts, gold, (int)n_answers, (int)n_gold};
    if (!q->question) return no_memory(err);
    MN_TRY(add_passages(s, passages, gold, err));
    return add_passages(s, list_of(line, "others"), NULL, err);
}

typedef mn_status line_fn(mn_qa_set *s, const json_t *line, counts *n, mn_error *err);

static mn_status count_line(mn_qa_set *s, const json_t *line, counts *n, mn_error *err) {
    (void)s;
    MN_TRY(check_line(line, err));
    n->n_questions++;
    n->n_passages += (int64_t)json_array_size(json_object_get(line, "passages"));
    const json_t *others = list_of(line, "others");
    if (others) n->n_passages += (int64_t)json_array_size(others);
    return MN_OK;
}

static mn_status take_line(mn_qa_set *s, const json_t *line, counts *n, mn_error *err) {
    (void)n;
    return add_line(s, line, err);
}

static mn_status each_line(const char *path, const char *text, mn_qa_set *s, line_fn *fn, counts *n, mn_error *err) {
    int64_t number = 1;
    for (const char *p = text; *p; number++) {
        size_t bytes = strcspn(p, "\n");
        char place[4300];
        json_error_t problem;
        if (strspn(p, " \t\r") < bytes) {
            json_t *line = json_loadb(p, bytes, 0, &problem);
            mn_status status = line ? fn(s, line, n, err) : mn_fail(err, MN_ERR_FORMAT, "no JSON: %s.", problem.text);
            json_decref(line);
            snprintf(place, sizeof place, "%.4200s, line %lld", path, (long long)number);
            if (status != MN_OK) return mn_fail_in(err, status, place);
        }
        p += bytes + (p[bytes] == '\n');
    }
    return MN_OK;
}

static mn_status read_text(const char *path, const char *text, mn_qa_set *s, mn_error *err) {
    counts n = {0};
    MN_TRY(each_line(path, text, s, count_line, &n, err));
    if (n.n_questions == 0) return mn_fail(err, MN_ERR_FORMAT, "%s: holds no questions.", path);
    s->questions = mn_arena_zalloc(&s->arena, (size_t)n.n_questions, sizeof *s->questions);
    s->passages = mn_arena_zalloc(&s->arena, (size_t)n.n_passages + 1, sizeof *s->passages);
    if (!s->questions || !s->passages) return no_memory(err);
    return each_line(path, text, s, take_line, &n, err);
}

mn_status mn_qa_set_read(const char *path, mn_qa_set *out, mn_error *err) {
    char *text;
    size_t bytes;
    *out = (mn_qa_set){.arena = MN_ARENA_INIT};
    MN_TRY(mn_file_read(path, MAX_FILE_BYTES, &text, &bytes, err));
    mn_status status = read_text(path, text, out, err);
    free(text);
    return status;
}

void mn_qa_set_release(mn_qa_set *s) {
    mn_arena_release(&s->arena);
    *s = (mn_qa_set){0};
}
