/* Frequent words (RULER, section 3): made-up words whose counts fall as the square of their rank (a zeta distribution,
 * alpha 2); asked for the three most frequent. The first rank is shown as dots and does not count. */
#include "eval/ruler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS = 6, ANSWERS = 3, MAX_RANKS = 4096 };

static void draw_word(mn_random *rng, char out[LETTERS + 1]) {
    for (int i = 0; i < LETTERS; i++) out[i] = (char)('a' + mn_random_below(rng, 26));
    out[LETTERS] = 0;
}

static const double zeta_2 = 1.6449340668482264;

/* How often rank k stands among n words; each rank that is shown at all stands once at least. */
static int64_t count_of(int64_t n, int64_t rank) {
    return (int64_t)((double)n / ((double)rank * (double)rank) / zeta_2);
}

static void make(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    int64_t ranks = w->length / 50 < 2 * ANSWERS ? 2 * ANSWERS : w->length / 50, total = 0;
    if (ranks > MAX_RANKS) ranks = MAX_RANKS;
    char(*words)[LETTERS + 1] = malloc((size_t)ranks * sizeof *words);
    int32_t *list = malloc(((size_t)units + 1) * sizeof *list);
    mn_random order;
    mn_random_seed(&order, mn_random_u64(rng), 7);
    for (int64_t i = 0; words && i < ranks; i++) draw_word(rng, words[i]);
    for (int64_t rank = 1; list && rank <= ranks; rank++)
        for (int64_t k = count_of(units, rank); k > 0 && total < units; k--) list[total++] = (int32_t)(rank - 1);
    for (int64_t i = total; i > 1; i--) {
        int64_t j = (int64_t)(mn_random_u64(&order) % (uint64_t)i);
        int32_t swap = list[i - 1];
        list[i - 1] = list[j];
        list[j] = swap;
    }
    mn_strbuf_puts(&out->document,
                   "Read the following coded text and keep track of how often each coded word appears.\n");
    out->context_begin = out->document.bytes;
    for (int64_t i = 0; words && list && i < total; i++)
        mn_strbuf_printf(&out->document, "%s%s", list[i] == 0 ? "..." : words[list[i]], i + 1 < total ? " " : "\n");
    mn_strbuf_puts(&out->question,
                   "Dots stand for a word that does not count. What are the three words that appear most often "
                   "in the coded text above?");
    mn_strbuf_puts(&out->prefix, "The three words that appear most often in the coded text are:");
    for (int i = 1; words && i <= ANSWERS; i++) mn_task_add_reference(out, words[i]);
    if (!words || !list) out->document.failed = true;
    free(words);
    free(list);
}

const mn_task mn_task_fwe = {
    "fwe", "the three most frequent of made-up words", "words", MN_SCORE_ALL, 50, false, 60, INT64_C(1) << 24, make,
    false};
