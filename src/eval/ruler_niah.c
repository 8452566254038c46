/* Needle in a haystack, eight forms (RULER, Hsieh et al. 2024, arXiv:2404.06654, section 3): the haystack is noise,
 * essays, or other needles; keys and values are words, numbers or UUIDs; one or four keys, one or four values. */
#include "eval/haystacks.h"
#include "eval/ruler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum hay_kind { NOISE, ESSAYS, NEEDLES } hay_kind;
typedef enum type { WORDS, NUMBER, UUID } type;

typedef struct niah {
    hay_kind hay;
    int n_keys, n_values, n_asked;
    type key, value;
} niah;

enum { MOST = 4, NEEDLE_BYTES = 200 };

static const char noise[] =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n";

typedef struct needle {
    mn_word key, value;
    char text[NEEDLE_BYTES];
} needle;

static mn_word draw(mn_random *rng, const mn_task_world *w, type t) {
    return t == NUMBER ? mn_draw_digits(rng, 7) : t == UUID ? mn_draw_uuid(rng) : mn_draw_pair(rng, w->corpus);
}

static const char *kind_of(type t) { return t == NUMBER ? "number" : t == UUID ? "uuid" : "word"; }

static void write_needle(const niah *f, needle *n, bool line) {
    snprintf(n->text, sizeof n->text, "One of the special magic %ss for %.47s is: %.47s.%s", kind_of(f->value),
             n->key.text, n->value.text, line ? "\n" : " ");
}

/* Facts about different keys, or several values of one. */
static int draw_needles(mn_random *rng, const mn_task_world *w, const niah *f, needle out[MOST]) {
    int n = f->n_keys * f->n_values;
    for (int i = 0; i < n; i++) {
        out[i].key = i % f->n_values ? out[i - 1].key : draw(rng, w, f->key);
        out[i].value = draw(rng, w, f->value);
        write_needle(f, &out[i], f->hay != ESSAYS);
    }
    return n;
}

/* `units` lines: one of noise, or a needle that nobody asks for. */
static void make_lines(mn_random *rng, const mn_task_world *w, const niah *f, int64_t units, mn_strbuf *hay,
                       size_t **ends, int64_t *n_ends) {
    *ends = malloc(((size_t)units + 1) * sizeof **ends);
    *n_ends = 0;
    if (!*ends) hay->failed = true;
    for (int64_t i = 0; i < units && !hay->failed; i++) {
        needle other = {.key = {""}};
        if (f->hay == NEEDLES) {
            other.key = draw(rng, w, f->key);
            other.value = draw(rng, w, f->value);
            write_needle(f, &other, true);
        }
        mn_strbuf_puts(hay, f->hay == NEEDLES ? other.text : noise);
        (*ends)[(*n_ends)++] = hay->bytes;
    }
}

static void put_keys(mn_strbuf *out, const needle *needles, int n_keys, int n_values) {
    for (int i = 0; i < n_keys; i++)
        mn_strbuf_printf(out, "%s%s", i == 0 ? "" : i + 1 < n_keys ? ", " : ", and ", needles[i * n_values].key.text);
}

static void ask(const niah *f, const needle *needles, mn_task_sample *out) {
    bool many = f->n_asked * f->n_values > 1;
    const char *kind = kind_of(f->value), *plural = many ? "s" : "";
    put_keys(&out->query, needles, f->n_asked, f->n_values);
    mn_strbuf_printf(&out->question, "%s the special magic %s%s for ", many ? "What are all" : "What is", kind, plural);
    put_keys(&out->question, needles, f->n_asked, f->n_values);
    mn_strbuf_puts(&out->question, " mentioned in the text above?");
    mn_strbuf_printf(&out->prefix, "The special magic %s%s for ", kind, plural);
    put_keys(&out->prefix, needles, f->n_asked, f->n_values);
    mn_strbuf_printf(&out->prefix, " mentioned in the text %s", many ? "are" : "is");
    for (int i = 0; i < f->n_asked * f->n_values; i++) mn_task_add_reference(out, needles[i].value.text);
}

static void shuffle(mn_random *rng, int *order, int n) {
    for (int i = 0; i < n; i++) order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)mn_random_below(rng, (uint32_t)i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

static void make(const niah *f, const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    needle needles[MOST];
    mn_strbuf hay = MN_STRBUF_INIT;
    size_t *ends;
    int64_t n_ends, at[MOST];
    int order[MOST], n = draw_needles(rng, w, f, needles);
    const char *texts[MOST];
    mn_random places = *rng, lines = *rng; /* drawn apart: where needles stand does not depend on the number of units */
    mn_random_seed(&places, mn_random_u64(rng), 1);
    mn_random_seed(&lines, mn_random_u64(rng), 2);
    if (f->hay == ESSAYS)
        mn_essay(&lines, w->corpus, units, &hay, &ends, &n_ends);
    else
        make_lines(&lines, w, f, units, &hay, &ends, &n_ends);
    mn_draw_places(&places, n_ends, w->depth, at, n);
    shuffle(&places, order, n);
    for (int i = 0; i < n; i++) {
        texts[i] = needles[order[i]].text;
        if (order[i] == 0) out->depth = n_ends ? (double)at[i] / (double)n_ends : 0;
    }
    mn_strbuf_puts(&out->document, "Some special magic facts are hidden in the following text. Keep them in mind: they "
                                   "will be asked for afterwards.\n");
    out->context_begin = out->document.bytes;
    mn_put_needles(&out->document, hay.data, ends, n_ends, at, texts, n);
    if (hay.failed) out->document.failed = true;
    ask(f, needles, out);
    free(ends);
    mn_strbuf_release(&hay);
}

#define NIAH(id, label, what, hay_, keys_, values_, asked_, key_, value_, unit_)                                       \
    static void make_##id(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {                \
        make(&(niah){hay_, keys_, values_, asked_, key_, value_}, w, rng, units, out);                                 \
    }                                                                                                                  \
    const mn_task mn_task_##id = {                                                                                     \
        label, what, unit_, MN_SCORE_ALL, 128, false, 1, INT64_C(1) << 22, make_##id, (keys_) * (values_) == 1};

NIAH(niah_single_1, "niah_single_1", "one number in repeated noise", NOISE, 1, 1, 1, WORDS, NUMBER, "lines")
NIAH(niah_single_2, "niah_single_2", "one number in essays", ESSAYS, 1, 1, 1, WORDS, NUMBER, "sentences")
NIAH(niah_single_3, "niah_single_3", "one UUID in essays", ESSAYS, 1, 1, 1, WORDS, UUID, "sentences")
NIAH(niah_multikey_1, "niah_multikey_1", "one of four numbers in essays", ESSAYS, 4, 1, 1, WORDS, NUMBER, "sentences")
NIAH(niah_multikey_2, "niah_multikey_2", "one number among needles", NEEDLES, 1, 1, 1, WORDS, NUMBER, "lines")
NIAH(niah_multikey_3, "niah_multikey_3", "one UUID of a UUID among needles", NEEDLES, 1, 1, 1, UUID, UUID, "lines")
NIAH(niah_multivalue, "niah_multivalue", "four numbers of one key in essays", ESSAYS, 1, 4, 1, WORDS, NUMBER,
     "sentences")
NIAH(niah_multiquery, "niah_multiquery", "the numbers of four keys in essays", ESSAYS, 4, 1, 4, WORDS, NUMBER,
     "sentences")
