#include "eval/task.h"

#include "base/checked.h"
#include "base/status.h"
#include "eval/wording.h"

#include <stdlib.h>
#include <string.h>

const mn_task *mn_task_find(const char *name) {
    for (const mn_task *const *t = mn_tasks; *t; t++)
        if (!strcmp((*t)->name, name)) return *t;
    return NULL;
}

void mn_task_sample_init(mn_task_sample *s) {
    *s = (mn_task_sample){.document = MN_STRBUF_INIT,
                          .question = MN_STRBUF_INIT,
                          .prefix = MN_STRBUF_INIT,
                          .query = MN_STRBUF_INIT,
                          .depth = -1};
}

void mn_task_sample_reset(mn_task_sample *s) {
    mn_strbuf_reset(&s->document);
    mn_strbuf_reset(&s->question);
    mn_strbuf_reset(&s->prefix);
    mn_strbuf_reset(&s->query);
    for (int i = 0; i < s->n_references; i++) free(s->references[i]);
    s->n_references = 0;
    s->depth = -1;
    s->context_begin = 0;
    s->worded = false;
}

void mn_task_sample_release(mn_task_sample *s) {
    mn_task_sample_reset(s);
    mn_strbuf_release(&s->document);
    mn_strbuf_release(&s->question);
    mn_strbuf_release(&s->prefix);
    mn_strbuf_release(&s->query);
}

void mn_task_add_reference(mn_task_sample *s, const char *text) {
    bool fits = s->n_references < MN_MAX_REFERENCES && strlen(text) <= MN_REFERENCE_BYTES;
    char *copy = fits ? strdup(text) : NULL;
    if (copy)
        s->references[s->n_references++] = copy;
    else
        s->document.failed = true;
}

bool mn_task_is_prefixed(const mn_task *task, const mn_task_sample *s) { return !task->asks_plainly || s->worded; }

double mn_task_score(const mn_task *task, const mn_task_sample *s, const char *answer, size_t bytes) {
    mn_strbuf text = MN_STRBUF_INIT;
    if (task->score == MN_SCORE_SET_F1 && mn_task_is_prefixed(task, s)) mn_strbuf_puts(&text, s->prefix.data);
    mn_strbuf_put(&text, answer, bytes);
    for (size_t i = 0; i < text.bytes; i++)
        if (!text.data[i]) text.data[i] = '\n';
    double score =
        text.failed ? -1 : mn_score(task->score, text.data, (const char *const *)s->references, s->n_references);
    mn_strbuf_release(&text);
    return score;
}

typedef struct fit {
    const mn_task *task;
    const mn_task_world *world;
    uint64_t seed;
    mn_count_fn *count;
    void *arg;
    mn_task_sample *out;
} fit;

/* Makes the sample of so many units; its tokens, < 0 without memory. */
static int64_t try_units(const fit *f, int64_t units) {
    mn_random rng;
    mn_random_seed(&rng, f->seed, 11);
    mn_task_sample_reset(f->out);
    f->task->make(f->world, &rng, units, f->out);
    if (f->world->wording) mn_task_reword(f->world->wording, f->out);
    if (f->out->document.failed || f->out->question.failed || f->out->prefix.failed) return -1;
    return f->count(f->arg, f->task, f->out);
}

static mn_status no_memory(mn_error *err) { return mn_fail(err, MN_ERR_MEMORY, "no memory for a sample."); }

/* Tokens by which a sample may end before the length: texts that all end alike say nothing about where a model's
 * segments end. */
static int64_t draw_slack(const mn_task *task, const mn_task_world *world, uint64_t seed) {
    mn_random rng;
    if (!task->asks_plainly) return 0;
    mn_random_seed(&rng, seed, 12);
    return mn_random_below(&rng, (uint32_t)MN_MIN(MN_SLACK_TOKENS, world->length / 32 + 1));
}

mn_status mn_task_fit(const mn_task *task, const mn_task_world *world, uint64_t seed, mn_count_fn *count, void *arg,
                      mn_task_sample *out, int64_t *n_tokens, mn_error *err) {
    fit f = {task, world, seed, count, arg, out};
    int64_t slack = draw_slack(task, world, seed), room = world->length - task->n_answer_tokens - slack,
            low = task->least_units, high = low, n = try_units(&f, low);
    if (n < 0) return no_memory(err);
    if (n > room + slack)
        return mn_fail(err, MN_ERR_LIMIT,
                       "the shortest sample of %s takes %lld tokens and %d for its answer; the length is %lld.",
                       task->name, (long long)n, task->n_answer_tokens, (long long)world->length);
    for (int64_t fits = n; n >= 0 && n <= room && high < task->most_units; fits = n) {
        low = high;
        /* the first sample's tokens a unit say how far to go; twice as far at least, while it fits */
        high = MN_MIN(task->most_units, MN_MAX(2 * high, high * (room / MN_MAX(fits, 1))));
        if (high == low) high++;
        n = try_units(&f, high);
    }
    if (n >= 0 && n <= room) low = high;
    while (n >= 0 && low + 1 < high) {
        int64_t middle = low + (high - low) / 2;
        n = try_units(&f, middle);
        if (n > room)
            high = middle;
        else
            low = middle;
    }
    if (n >= 0) n = try_units(&f, low);
    if (n < 0) return no_memory(err);
    *n_tokens = n;
    return MN_OK;
}
