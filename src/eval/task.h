/* Evaluation tasks: how a sample of a wanted length is made, and how its answer is scored. One task, one function, in
 * a file named after its family; tasks.c lists them.
 *
 * A sample is made from `units` of haystack (sentences, lines, words, edges, ...: the task's own). The caller looks for
 * the largest number of units whose prompt fits the length (mn_task_fit): the same seed draws the same facts at any
 * number. Names and values come from the side of the vocabulary that training never sees (needle_words.h). All wording
 * is our own; mn_task_world.wording replaces it (wording.h).
 */
#ifndef MN_EVAL_TASK_H
#define MN_EVAL_TASK_H

#include "base/random.h"
#include "base/strbuf.h"
#include "eval/score.h"
#include "train/needle_words.h"

enum { MN_MAX_REFERENCES = 32, MN_REFERENCE_BYTES = 1 << 14 };

typedef struct mn_task_sample {
    mn_strbuf document, question, prefix; /* what is read, asked, and the first words of the answer */
    mn_strbuf query;                      /* the key or value that the question is about; empty: the question itself */
    size_t context_begin;                 /* bytes of instructions in front of the document's text */
    bool worded;                          /* by mn_task_reword: the document is the whole prompt */
    char *references[MN_MAX_REFERENCES];
    int n_references;
    double depth; /* of the first needle asked for, 0 to 1; -1: there is none */
} mn_task_sample;

/* Another wording of a task (wording.h): {context} and {query} are replaced in the prompt, {query} in the prefix. */
typedef struct mn_task_wording {
    const char *task, *prompt, *answer_prefix;
} mn_task_wording;

typedef struct mn_task_world {
    const mn_corpus *corpus;        /* essays, words and names; borrowed */
    const struct mn_qa_set *qa;     /* NULL: there are no questions */
    int64_t length;                 /* tokens of a sample, which some tasks scale with */
    double depth;                   /* of the needle, 0 to 1; < 0: drawn */
    const mn_task_wording *wording; /* NULL: our own; borrowed */
} mn_task_world;

typedef struct mn_task {
    const char *name, *about;
    const char *unit; /* what `units` counts: "sentences" */
    mn_score_kind score;
    int n_answer_tokens;
    bool asks_plainly; /* the question is for the model's ask template, which opens the answer itself */
    int64_t least_units, most_units;
    void (*make)(const mn_task_world *world, mn_random *rng, int64_t units, mn_task_sample *out);
    bool by_depth; /* world.depth says where its one needle stands; other tasks draw their places */
} mn_task;

/* All tasks; ends with a NULL name. */
extern const mn_task *const mn_tasks[];
/* NULL: there is none of this name. */
const mn_task *mn_task_find(const char *name);

void mn_task_sample_init(mn_task_sample *s);
void mn_task_sample_reset(mn_task_sample *s);
void mn_task_sample_release(mn_task_sample *s);
/* Adds a copy; what does not fit the limits is left out and document.failed set. */
void mn_task_add_reference(mn_task_sample *s, const char *text);
/* Whether the answer's first words are in the prompt, and what a model says goes on behind them. */
bool mn_task_is_prefixed(const mn_task *task, const mn_task_sample *s);
/* mn_score of what a model said behind the prompt, which may hold NULs: they end lines, as other control characters do.
 * A list that the prefix opens ends in the answer; words are looked for in the answer alone. < 0: out of memory. */
double mn_task_score(const mn_task *task, const mn_task_sample *s, const char *answer, size_t bytes);

/* Tokens of a sample's whole prompt as the model will see it; < 0: out of memory. */
typedef int64_t mn_count_fn(void *arg, const mn_task *task, const mn_task_sample *sample);

/* Tasks that ask plainly end up to so many tokens (at most a 32nd of the length) before the length, drawn by the seed:
 * as texts of users do, anywhere in a model's segments and blocks. */
enum { MN_SLACK_TOKENS = 128 };

/* The sample of `seed` with the most units whose prompt and answer tokens fit world->length, slack aside. Found by
 * doubling and bisection: about 2 log2(units) makings. MN_ERR_LIMIT when not even the least fits: the sentence says how
 * many tokens it takes. */
mn_status mn_task_fit(const mn_task *task, const mn_task_world *world, uint64_t seed, mn_count_fn *count, void *arg,
                      mn_task_sample *out, int64_t *n_tokens, mn_error *err);

#endif
