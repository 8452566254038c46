#include "train/needles.h"

#include "base/checked.h"
#include "train/haystack.h"
#include "train/needle_facts.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FACTS = 64, MAX_GAPS = 4096, MAX_STATEMENTS = MAX_FACTS * (MN_MAX_HOPS + 1) };

static const char *const names[MN_NEEDLE_KIND_COUNT] = {
    [MN_NEEDLE_KEY_VALUE] = "key-value", [MN_NEEDLE_CHAIN] = "chain",   [MN_NEEDLE_JSON] = "json",
    [MN_NEEDLE_PASSKEY] = "passkey",     [MN_NEEDLE_VALUES] = "values", [MN_NEEDLE_COPY] = "copy",
};

const char *mn_needle_kind_name(mn_needle_kind kind) { return names[kind]; }

/* A statement and the gap of the haystack that it goes into. */
typedef struct placed {
    size_t gap;
    int order; /* of statements in one gap, and of a chain in the text */
    const mn_statement *statement;
} placed;

typedef struct maker {
    mn_random *rng;
    const mn_needle_params *p;
    mn_document_draft *out;
    mn_fact facts[2 * MAX_FACTS]; /* the distractors behind the facts */
    int n_facts, n_distractors;
    placed placed[MAX_STATEMENTS];
    int n_placed;
    size_t gaps[MAX_GAPS], n_gaps;
} maker;

static int draw_between(mn_random *rng, int min, int max) {
    return min + (max > min ? (int)mn_random_below(rng, (uint32_t)(max - min + 1)) : 0);
}

static bool asked_twice(const maker *m, int n) {
    for (int i = 0; i < n; i++)
        if (!strcmp(m->facts[i].restated, m->facts[n].restated)) return true;
    return false;
}

/* Facts about different keys; for several values, the same fact again with other values. */
static void draw_facts(maker *m) {
    mn_fact_style style = mn_fact_style_draw(m->rng, m->p);
    m->n_facts = MN_MIN(draw_between(m->rng, m->p->min_keys, m->p->max_keys), MAX_FACTS);
    for (int i = 0; i < m->n_facts; i++) {
        if (i > 0 && m->p->kind == MN_NEEDLE_VALUES) {
            m->facts[i] = m->facts[0];
            mn_fact_redraw_value(m->rng, m->p, &m->facts[i]);
            continue;
        }
        for (int tries = 0; tries == 0 || (asked_twice(m, i) && tries < 16); tries++)
            mn_fact_draw(m->rng, m->p, &style, &m->facts[i]);
        if (asked_twice(m, i)) {
            m->n_facts = i;
            break;
        }
    }
}

/* Sentences of the same form about other things: a needle is not whatever looks like one. */
static void draw_distractors(maker *m) {
    mn_needle_params other = *m->p;
    other.kind = MN_NEEDLE_KEY_VALUE;
    if (m->p->kind != MN_NEEDLE_PASSKEY && m->p->kind != MN_NEEDLE_VALUES && m->p->kind != MN_NEEDLE_CHAIN) return;
    m->n_distractors = draw_between(m->rng, 0, MN_MIN(m->p->n_distractors, MAX_FACTS));
    for (int i = 0; i < m->n_distractors; i++) {
        mn_fact_style style = mn_fact_style_draw(m->rng, &other);
        mn_fact_draw(m->rng, &other, &style, &m->facts[m->n_facts + i]);
    }
}

static int by_gap(const void *a, const void *b) {
    const placed *x = a, *y = b;
    if (x->gap != y->gap) return x->gap < y->gap ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int by_number(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

/* A fact's statements into random gaps, in the order that the fact has. */
static void place_fact(maker *m, const mn_fact *f) {
    size_t gaps[MN_MAX_HOPS + 1];
    for (int i = 0; i < f->n_statements; i++) gaps[i] = m->gaps[mn_random_below(m->rng, (uint32_t)m->n_gaps)];
    qsort(gaps, (size_t)f->n_statements, sizeof *gaps, by_number);
    for (int i = 0; i < f->n_statements && m->n_placed < MAX_STATEMENTS; i++) {
        m->placed[m->n_placed] = (placed){gaps[i], m->n_placed, &f->statements[i]};
        m->n_placed++;
    }
}

static void put_statement(maker *m, const mn_statement *s) {
    mn_draft_puts(m->out, MN_ROLE_NEEDLE, s->before);
    mn_draft_puts(m->out, MN_ROLE_NEEDLE_VALUE, s->value);
    mn_draft_puts(m->out, MN_ROLE_NEEDLE, s->after);
}

static void put_haystack(maker *m, const char *text, size_t bytes) {
    size_t at = 0;
    for (int i = 0; i < m->n_placed; i++) {
        size_t gap = m->placed[i].gap;
        mn_draft_put(m->out, MN_ROLE_TEXT, text + at, gap - at);
        if (gap > 0 && !strchr(" \n", text[gap - 1])) mn_draft_puts(m->out, MN_ROLE_TEXT, " ");
        put_statement(m, m->placed[i].statement);
        at = gap;
    }
    mn_draft_put(m->out, MN_ROLE_TEXT, text + at, bytes - at);
}

/* Blanks at a document's end: mostly none, as the prompt's template drops them. */
static void trim_end(maker *m) {
    mn_document_draft *d = m->out;
    if (d->text.failed || mn_random_below(m->rng, 8) == 0) return;
    while (d->text.bytes && strchr(" \n\r\t", d->text.data[d->text.bytes - 1])) d->text.bytes--;
    while (d->n_runs > 1 && d->runs[d->n_runs - 2].end >= d->text.bytes) d->n_runs--;
    if (d->n_runs) d->runs[d->n_runs - 1].end = d->text.bytes;
}

/* What a chain's answer restates is looked up hop by hop: it is as much an answer as the value. */
static void put_answer(maker *m, const mn_fact *f) {
    mn_draft_puts(m->out, m->p->kind == MN_NEEDLE_CHAIN ? MN_ROLE_VALUE : MN_ROLE_RESTATED, f->restated);
    mn_draft_puts(m->out, MN_ROLE_VALUE, f->value);
    mn_draft_puts(m->out, MN_ROLE_VALUE, f->closing);
}

static void put_question(maker *m, const mn_fact *f) {
    mn_draft_puts(m->out, MN_ROLE_QUESTION, "\nQuestion: ");
    mn_draft_puts(m->out, MN_ROLE_QUESTION, f->question);
    mn_draft_puts(m->out, MN_ROLE_QUESTION, "\nAnswer: ");
}

/* All values of one key, in the order of the text. */
static void ask_values(maker *m) {
    put_question(m, &m->facts[0]);
    for (int i = 0, n = 0; i < m->n_placed; i++)
        for (int j = 0; j < m->n_facts; j++)
            if (m->placed[i].statement == &m->facts[j].statements[0]) {
                if (n++) mn_draft_puts(m->out, MN_ROLE_RESTATED, " ");
                put_answer(m, &m->facts[j]);
            }
}

static void ask_questions(maker *m) {
    if (m->p->kind == MN_NEEDLE_VALUES) {
        ask_values(m);
    } else {
        int n = MN_MIN(m->p->n_questions, m->n_facts), first = draw_between(m->rng, 0, m->n_facts - 1);
        for (int i = 0; i < n; i++) {
            const mn_fact *f = &m->facts[(first + i) % m->n_facts];
            put_question(m, f);
            put_answer(m, f);
        }
    }
    mn_draft_puts(m->out, MN_ROLE_VALUE, "\n");
}

static size_t bytes_of_facts(const maker *m) {
    size_t n = 0;
    for (int i = 0; i < m->n_facts + m->n_distractors; i++) {
        const mn_fact *f = &m->facts[i];
        for (int j = 0; j < f->n_statements; j++)
            n += strlen(f->statements[j].before) + strlen(f->statements[j].value) + strlen(f->statements[j].after);
        if (i < m->p->n_questions || m->p->kind == MN_NEEDLE_VALUES)
            n += strlen(f->question) + strlen(f->restated) + strlen(f->value) + 24;
    }
    return n;
}

static void make_needles(maker *m, size_t bytes) {
    mn_strbuf hay = MN_STRBUF_INIT;
    draw_facts(m);
    draw_distractors(m);
    size_t facts = bytes_of_facts(m), left = bytes > facts ? bytes - facts : 0;
    if (mn_random_double(m->rng) < m->p->filler)
        mn_haystack_filler(left, &hay);
    else
        mn_haystack_prose(m->rng, m->p->corpus, left, &hay);
    m->n_gaps = mn_haystack_gaps(hay.data, hay.bytes, m->gaps, MAX_GAPS);
    for (int i = 0; i < m->n_facts + m->n_distractors; i++) place_fact(m, &m->facts[i]);
    qsort(m->placed, (size_t)m->n_placed, sizeof *m->placed, by_gap);
    put_haystack(m, hay.data, hay.bytes);
    trim_end(m);
    ask_questions(m);
    if (hay.failed) m->out->text.failed = true;
    mn_strbuf_release(&hay);
}

/* Words in random order, twice: what induction is learnt from. */
static void make_copy(maker *m, size_t bytes) {
    mn_strbuf words = MN_STRBUF_INIT;
    while (words.bytes < bytes / 2 && !words.failed) {
        mn_word w = mn_random_below(m->rng, 4) ? mn_draw_word(m->rng, m->p->corpus, m->p->side)
                                               : mn_draw_digits(m->rng, 1 + (int)mn_random_below(m->rng, 5));
        mn_strbuf_puts(&words, w.text);
        mn_strbuf_putc(&words, ' ');
    }
    mn_draft_put(m->out, MN_ROLE_NEEDLE_VALUE, words.data, words.bytes);
    mn_draft_puts(m->out, MN_ROLE_NEEDLE, "\n");
    mn_draft_put(m->out, MN_ROLE_RESTATED, words.data, words.bytes);
    mn_draft_puts(m->out, MN_ROLE_NEEDLE, "\n");
    if (words.failed) m->out->text.failed = true;
    mn_strbuf_release(&words);
}

void mn_needle_make(mn_random *rng, const mn_needle_params *params, size_t bytes, mn_document_draft *out) {
    mn_draft_reset(out);
    maker *m = calloc(1, sizeof *m); /* some hundred KiB: too much for a thread's stack */
    if (!m) {
        out->text.failed = true;
        return;
    }
    *m = (maker){.rng = rng, .p = params, .out = out};
    if (params->kind == MN_NEEDLE_COPY)
        make_copy(m, bytes);
    else
        make_needles(m, bytes);
    free(m);
}
