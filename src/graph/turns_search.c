/* Questions to an index of turns: window at query time, then the rules. */
#include "graph/turns_index.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 3, MAX_TERMS = 64, MAX_PEOPLE = 8 };

static const float k1 = 0.9F, b = 0.4F;

typedef struct query_term {
    uint32_t term;
    float weight;
} query_term;

typedef struct query {
    query_term terms[MAX_TERMS];
    int n_terms;
    uint32_t people[MAX_PEOPLE]; /* speakers who are named */
    int n_people;
    int month, year; /* 0 = not named */
    float *score, *pairs, *spread, *length;
    uint32_t *touched;
    float mean_length;
} query;

/* ---- the question ---- */

/* Whether a word of the question names the speaker: one of his names, or three letters or more of its beginning. */
static bool names(const char *speaker, const char *word, size_t bytes) {
    for (const char *at = speaker; *at;) {
        size_t n = 0;
        while (at[n] && at[n] != ' ') n++;
        if (n >= bytes && (n == bytes || bytes >= 3)) {
            size_t i = 0;
            while (i < bytes && (at[i] | 32) == word[i]) i++;
            if (i == bytes) return true;
        }
        at += n;
        while (*at == ' ') at++;
    }
    return false;
}

/* Notes the speakers that a word names; whether there is one. */
static bool note_people(const mn_turns *t, query *q, const mn_word *word) {
    size_t bytes;
    const char *text = mn_intern_text(&t->lexicon.words, word->id, &bytes);
    bool found = false;
    if (!(word->traits & MN_WORD_CAPITAL) || bytes < 2) return false;
    for (uint32_t s = 0; s < t->speakers.n; s++) {
        if (!names(mn_intern_text(&t->speakers, s, NULL), text, bytes)) continue;
        found = true;
        bool known = false;
        for (int i = 0; i < q->n_people; i++) known = known || q->people[i] == s;
        if (!known && q->n_people < MAX_PEOPLE) q->people[q->n_people++] = s;
    }
    return found;
}

static void note_date(const mn_turns *t, query *q, const mn_word *word) {
    const char *text = mn_intern_text(&t->lexicon.words, word->id, NULL);
    if ((word->traits & (MN_WORD_MONTH | MN_WORD_CAPITAL)) == (MN_WORD_MONTH | MN_WORD_CAPITAL) && !q->month)
        q->month = mn_month_of(text);
    if ((word->traits & MN_WORD_NUMBER) && strlen(text) == 4 && !q->year) {
        int year = atoi(text);
        if (year >= 1900 && year <= 2100) q->year = year;
    }
}

static mn_status read_question(mn_turns *t, const char *question, query *q, mn_error *err) {
    MN_TRY(mn_words_find(&t->lexicon, question, strlen(question), &t->words, err));
    for (size_t i = 0; i < t->words.n && q->n_terms < MAX_TERMS; i++) {
        const mn_word *word = &t->words.items[i];
        if (word->traits & MN_WORD_STOP) continue;
        note_date(t, q, word);
        float weight = note_people(t, q, word) ? 0.5F : word->traits & MN_WORD_WEAK ? 0.6F : 1.0F;
        q->terms[q->n_terms] = (query_term){mn_word_term(&t->lexicon, word), weight};
        q->n_terms++;
    }
    return MN_OK;
}

/* ---- BM25 over windows ---- */

/* How much of a neighbour's count the turn `at` takes: from the turn before it, 1 to 3 back, or after it. */
static float weight_of(const mn_turns *t, uint32_t neighbour, int steps, bool is_before) {
    if (is_before && steps == 1 && t->items[neighbour].asks) return 0.8F;
    return steps == 1 ? 0.5F : steps == 2 ? 0.25F : 0.125F;
}

/* Adds a turn's amount to itself and, with their weights, to the turns whose window holds it. */
static void spread_amount(const mn_turns *t, uint32_t turn, float amount, float *into, uint32_t *touched,
                          uint32_t *n_touched) {
    if (into[turn] == 0.0F && touched) touched[(*n_touched)++] = turn;
    into[turn] += amount;
    for (int side = 0; side < 2; side++) {
        uint32_t at = turn;
        for (int steps = 1; steps <= WINDOW; steps++) {
            at = side ? t->items[at].after : t->items[at].before;
            if (at == MN_TURN_NONE) break;
            /* side 1: `turn` stands before `at`. */
            if (into[at] == 0.0F && touched) touched[(*n_touched)++] = at;
            into[at] += amount * weight_of(t, turn, steps, side);
        }
    }
}

static void window_lengths(const mn_turns *t, query *q) {
    double sum = 0.0;
    for (uint32_t i = 0; i < t->n; i++) q->length[i] = 0.0F;
    for (uint32_t i = 0; i < t->n; i++) spread_amount(t, i, (float)t->items[i].n_words, q->length, NULL, NULL);
    for (uint32_t i = 0; i < t->n; i++) sum += (double)q->length[i];
    q->mean_length = sum > 0.0 ? (float)(sum / t->n) : 1.0F;
}

/* Adds the BM25 of what is spread to scores, and clears it. */
static void add_scores(const mn_turns *t, query *q, uint32_t n_touched, float weight, float *scores) {
    float idf = logf(1.0F + ((float)(t->n - n_touched) + 0.5F) / ((float)n_touched + 0.5F));
    for (uint32_t i = 0; i < n_touched; i++) {
        uint32_t turn = q->touched[i];
        float tf = q->spread[turn], norm = 1.0F - b + b * q->length[turn] / q->mean_length;
        scores[turn] += weight * idf * tf * (k1 + 1.0F) / (tf + k1 * norm);
        q->spread[turn] = 0.0F;
    }
}

static bool seen_before(const query *q, int i) {
    for (int k = 0; k < i; k++)
        if (q->terms[k].term == q->terms[i].term) return true;
    return false;
}

static mn_status score_term(const mn_turns *t, query *q, const query_term *term, mn_error *err) {
    mn_postings p;
    uint32_t n_touched = 0;
    MN_TRY(mn_turns_postings(t, term->term, &p, err));
    for (uint32_t i = 0; i < p.n; i++)
        spread_amount(t, p.units[i], (float)p.counts[i], q->spread, q->touched, &n_touched);
    add_scores(t, q, n_touched, term->weight, q->score);
    mn_postings_release(&p);
    return MN_OK;
}

/* How often a place of x is followed by a place of y. */
static uint32_t count_pairs(const uint32_t *x, uint32_t n_x, const uint32_t *y, uint32_t n_y) {
    uint32_t n = 0;
    for (uint32_t i = 0, k = 0; i < n_x; i++) {
        while (k < n_y && y[k] <= x[i]) k++;
        n += k < n_y && y[k] == x[i] + 1;
    }
    return n;
}

static mn_status score_pair(const mn_turns *t, query *q, uint32_t first, uint32_t second, mn_error *err) {
    mn_postings x, y = {0};
    uint32_t n_touched = 0;
    MN_TRY(mn_turns_postings(t, first, &x, err));
    mn_status status = mn_turns_postings(t, second, &y, err);
    for (uint32_t i = 0, k = 0; status == MN_OK && i < x.n; i++) {
        while (k < y.n && y.units[k] < x.units[i]) k++;
        if (k == y.n) break;
        if (y.units[k] != x.units[i]) continue;
        uint32_t n = count_pairs(x.places + x.first_places[i], x.counts[i], y.places + y.first_places[k], y.counts[k]);
        if (n) spread_amount(t, x.units[i], (float)n, q->spread, q->touched, &n_touched);
    }
    if (status == MN_OK) add_scores(t, q, n_touched, 1.0F, q->pairs);
    mn_postings_release(&x);
    mn_postings_release(&y);
    return status;
}

/* ---- rules ---- */

static float share_of_people(const mn_turn_session *s, const query *q) {
    int n = 0;
    for (int i = 0; i < q->n_people; i++)
        for (int k = 0; k < s->n_speakers; k++) n += s->speakers[k] == q->people[i];
    return q->n_people ? (float)n / (float)q->n_people : 0.0F;
}

static float by_rules(const mn_turns *t, const query *q, const mn_turn_item *item) {
    float sum = 0.1F * fminf(1.0F, (float)item->n_content / 20.0F);
    if (q->n_people == 1 && item->speaker == q->people[0]) sum += 0.2F;
    if (q->month && item->month >= 0 && item->month % 12 == q->month - 1 && (!q->year || item->month / 12 == q->year))
        sum += 0.25F;
    if (item->ends_asking) sum -= 0.1F;
    if (t->conversations.n > 1) sum += 0.8F * share_of_people(&t->sessions[item->session], q);
    return sum;
}

static void insert_hit(mn_turn_hit *hits, uint32_t *n, uint32_t k, mn_turn_hit hit) {
    if (*n == k && hits[k - 1].score >= hit.score) return;
    uint32_t at = *n < k ? (*n)++ : k - 1;
    for (; at > 0 && hits[at - 1].score < hit.score; at--) hits[at] = hits[at - 1];
    hits[at] = hit;
}

static void pick(const mn_turns *t, const query *q, float most, uint32_t k, mn_turn_hit *hits, uint32_t *n_hits) {
    for (uint32_t i = 0; i < t->n; i++) {
        if (q->score[i] <= 0.0F) continue;
        float score = (q->score[i] + 0.3F * q->pairs[i]) / most + by_rules(t, q, &t->items[i]);
        insert_hit(hits, n_hits, k, (mn_turn_hit){i, score});
    }
}

static mn_status prepare(mn_turns *t, query *q, mn_error *err) {
    if (t->marks_capacity < t->n) {
        size_t capacity = 2 * (size_t)t->n;
        float *marks = realloc(t->marks, 5 * capacity * sizeof *marks);
        if (!marks) return mn_fail(err, MN_ERR_MEMORY, "There is no memory to search %u turns.", t->n);
        t->marks = marks;
        t->marks_capacity = capacity;
    }
    size_t n = t->marks_capacity;
    q->score = t->marks;
    q->pairs = q->score + n;
    q->spread = q->pairs + n;
    q->length = q->spread + n;
    q->touched = (uint32_t *)(q->length + n);
    memset(t->marks, 0, 3 * n * sizeof *t->marks);
    window_lengths(t, q);
    return MN_OK;
}

mn_status mn_turns_search(mn_turns *t, const char *question, uint32_t k, mn_turn_hit *hits, uint32_t *n_hits,
                          mn_error *err) {
    query q = {0};
    float most = 0.0F;
    *n_hits = 0;
    if (!t->n || !k) return MN_OK;
    MN_TRY(read_question(t, question, &q, err));
    MN_TRY(prepare(t, &q, err));
    for (int i = 0; i < q.n_terms; i++)
        if (!seen_before(&q, i)) MN_TRY(score_term(t, &q, &q.terms[i], err));
    for (uint32_t i = 0; i < t->n; i++) most = fmaxf(most, q.score[i]);
    if (most <= 0.0F) return MN_OK;
    for (int i = 1; i < q.n_terms; i++) MN_TRY(score_pair(t, &q, q.terms[i - 1].term, q.terms[i].term, err));
    pick(t, &q, most, k, hits, n_hits);
    return MN_OK;
}
