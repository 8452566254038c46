#include "eval/wording.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char context_mark[] = "{context}";

/* Adds one object; NULL when it is good, else what is wrong. */
static const char *add(mn_wordings *w, const json_t *o) {
    const char *task = json_string_value(json_object_get(o, "task")),
               *prompt = json_string_value(json_object_get(o, "prompt")),
               *prefix = json_string_value(json_object_get(o, "answer_prefix"));
    if (!task || !mn_task_find(task)) return "\"task\" is none of mnemo eval tasks";
    if (!prompt || !strstr(prompt, context_mark)) return "\"prompt\" holds no {context}";
    if (mn_wordings_find(w, task)) return "the task is there twice";
    mn_task_wording *grown = reallocarray(w->items, (size_t)w->n + 1, sizeof *grown);
    if (!grown) return "no memory";
    w->items = grown;
    mn_task_wording *x = &w->items[w->n++];
    *x = (mn_task_wording){strdup(task), strdup(prompt), strdup(prefix ? prefix : "")};
    return x->task && x->prompt && x->answer_prefix ? NULL : "no memory";
}

static const char *add_all(mn_wordings *w, const json_t *value) {
    if (!json_is_array(value)) return add(w, value);
    const char *wrong = NULL;
    for (size_t i = 0; i < json_array_size(value) && !wrong; i++) wrong = add(w, json_array_get(value, i));
    return wrong;
}

static bool at_end(FILE *f) {
    int c;
    while ((c = getc(f)) == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (c != EOF) ungetc(c, f);
    return c == EOF;
}

mn_status mn_wordings_read(const char *path, mn_wordings *out, mn_error *err) {
    FILE *f = fopen(path, "re");
    mn_status status = MN_OK;
    *out = (mn_wordings){0};
    if (!f) return mn_fail(err, MN_ERR_IO, "%s: cannot open the templates.", path);
    for (int n = 1; status == MN_OK && !at_end(f); n++) {
        json_error_t problem;
        json_t *value = json_loadf(f, JSON_DISABLE_EOF_CHECK, &problem);
        const char *wrong = value ? add_all(out, value) : problem.text;
        if (wrong) status = mn_fail(err, MN_ERR_FORMAT, "%s: template %d: %s.", path, n, wrong);
        json_decref(value);
    }
    fclose(f);
    if (status == MN_OK && out->n == 0) status = mn_fail(err, MN_ERR_FORMAT, "%s: holds no templates.", path);
    if (status != MN_OK) mn_wordings_release(out);
    return status;
}

const mn_task_wording *mn_wordings_find(const mn_wordings *w, const char *task) {
    for (int i = 0; i < w->n; i++)
        if (!strcmp(w->items[i].task, task)) return &w->items[i];
    return NULL;
}

void mn_wordings_release(mn_wordings *w) {
    for (int i = 0; i < w->n; i++) {
        free((char *)w->items[i].task);
        free((char *)w->items[i].prompt);
        free((char *)w->items[i].answer_prefix);
    }
    free(w->items);
    *w = (mn_wordings){0};
}

void mn_task_reword(const mn_task_wording *wording, mn_task_sample *s) {
    mn_strbuf prompt = MN_STRBUF_INIT;
    const char *query = s->query.bytes ? s->query.data : s->question.data;
    const mn_mark marks[] = {{"{query}", query, strlen(query)},
                             {context_mark, s->document.data + s->context_begin, s->document.bytes - s->context_begin}};
    mn_strbuf answer = MN_STRBUF_INIT;
    mn_strbuf_fill(&prompt, wording->prompt, marks, 2);
    mn_strbuf_fill(&answer, wording->answer_prefix, marks, 1);
    mn_strbuf_release(&s->prefix);
    s->prefix = answer;
    mn_strbuf_reset(&s->question);
    mn_strbuf document = s->document;
    s->document = prompt;
    s->document.failed |= document.failed;
    mn_strbuf_release(&document);
    s->context_begin = 0;
    s->worded = true;
}
