/* Common words (RULER, section 3): a numbered list in which ten words stand 30 times and all others 3 times (6 and 1
 * below 4096 tokens); asked for the ten. One worked example of 40 words comes first. */
#include "eval/haystacks.h"
#include "eval/ruler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { COMMON = 10, SHORT_LENGTH = 4096, MAX_WORDS = 1 << 20 };

/* Words seen so far: a table of indexes + 1, open addressing. */
typedef struct seen {
    int32_t *slots;
    uint32_t mask;
} seen;

/* Whether words[i] is new; it is noted then. */
static bool note(const seen *s, const mn_word *words, int i) {
    uint32_t at = (uint32_t)XXH3_64bits(words[i].text, strlen(words[i].text)) & s->mask;
    for (; s->slots[at]; at = (at + 1) & s->mask)
        if (!strcmp(words[s->slots[at] - 1].text, words[i].text)) return false;
    s->slots[at] = i + 1;
    return true;
}

/* n different words: of the corpus, and when those run out, with two letters more. Returns 0 without memory. */
static int draw_words(mn_random *rng, const mn_corpus *corpus, mn_word *out, int n) {
    seen s = {.mask = 63};
    while (s.mask < 4 * (uint32_t)n) s.mask = 2 * s.mask + 1;
    s.slots = calloc((size_t)s.mask + 1, sizeof *s.slots);
    if (!s.slots) return 0;
    for (int i = 0; i < n; i++)
        for (int tries = 0;; tries++) {
            mn_word w = mn_draw_word(rng, corpus, MN_WORDS_EVAL);
            snprintf(out[i].text, sizeof out[i].text, "%s", w.text);
            if (tries > 20) {
                char last = (char)('a' + mn_random_below(rng, 26)), first = (char)('a' + mn_random_below(rng, 26));
                snprintf(out[i].text, sizeof out[i].text, "%.20s%c%c", w.text, first, last);
            }
            if (note(&s, out, i)) break;
        }
    free(s.slots);
    return n;
}

/* Words [0, COMMON) so often, the others so often, in random order, numbered. */
static void put_list(mn_random *rng, const mn_word *words, int n, int often, int seldom, mn_strbuf *out) {
    size_t total = (size_t)COMMON * (size_t)often + (size_t)(n - COMMON) * (size_t)seldom, used = 0;
    int *list = malloc((total + 1) * sizeof *list);
    if (!list) {
        out->failed = true;
        return;
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < (i < COMMON ? often : seldom); k++) list[used++] = i;
    for (size_t i = used; i > 1; i--) {
        size_t j = mn_random_u64(rng) % i;
        int swap = list[i - 1];
        list[i - 1] = list[j];
        list[j] = swap;
    }
    for (size_t i = 0; i < used; i++)
        mn_strbuf_printf(out, "%zu. %s%s", i + 1, words[list[i]].text, i + 1 < used ? " " : "\n");
    free(list);
}

static const char question[] = "What are the 10 most common words in the list above?";
static const char prefix[] = "The 10 words that appear most often in the list are:";

static void put_example(mn_random *rng, const mn_task_world *w, mn_strbuf *out) {
    mn_word words[40];
    bool is_short = w->length < SHORT_LENGTH;
    int n = draw_words(rng, w->corpus, words, is_short ? 20 : 40);
    put_list(rng, words, n, is_short ? 3 : 10, is_short ? 1 : 3, out);
    mn_strbuf_printf(out, "%s %s", question, prefix);
    for (int i = 0; i < COMMON && i < n; i++) mn_strbuf_printf(out, " %d. %s", i + 1, words[i].text);
    mn_strbuf_puts(out, "\n\n");
}

static void make(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    mn_random example, order;
    bool is_short = w->length < SHORT_LENGTH;
    int n = (int)(units < MAX_WORDS ? units : MAX_WORDS);
    mn_word *words = malloc((size_t)n * sizeof *words);
    mn_random_seed(&example, mn_random_u64(rng), 5);
    mn_random_seed(&order, mn_random_u64(rng), 6);
    if (!words) {
        out->document.failed = true;
        return;
    }
    mn_strbuf_puts(&out->document,
                   "Below is a numbered list of words. Some of them appear more often than others. Memorise "
                   "the ones that appear most often.\n");
    out->context_begin = out->document.bytes;
    put_example(&example, w, &out->document);
    n = draw_words(rng, w->corpus, words, n);
    if (n == 0) out->document.failed = true;
    put_list(&order, words, n, is_short ? 6 : 30, is_short ? 1 : 3, &out->document);
    mn_strbuf_puts(&out->question, question);
    mn_strbuf_puts(&out->prefix, prefix);
    for (int i = 0; i < COMMON; i++) mn_task_add_reference(out, words[i].text);
    free(words);
}

const mn_task mn_task_cwe = {"cwe",      "the ten words that stand most often in a list",
                             "words",    MN_SCORE_ALL,
                             120,        false,
                             COMMON + 2, INT64_C(1) << 20,
                             make,       false};
