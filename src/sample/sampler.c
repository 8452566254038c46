#include "sample/sampler.h"

#include "base/random.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct candidate {
    float logit;
    int32_t id;
} candidate;

/* Logits looked at together: most of a vocabulary lies below what is kept. */
enum { BLOCK = 64 };
/* Of a vocabulary that a filter may refuse: how many logits tell what share lies above a limit, how many tokens for
 * each that is wanted are asked for first, and how many times more in each round after it. */
enum { N_SAMPLES = 512, FIRST_ROUND = 8, MORE = 8 };
/* Questions to a filter, after which it is to name all tokens that may come. */
enum { MAX_ASKED = 256 };

/* The candidates of one draw lie in kept[0..n_kept). Gathering keeps the best `capacity` of the vocabulary in a heap
 * with the worst at its root. The heap is then turned over: the best is at the root, and best_at() pops it to the end
 * of the array, so that only as much is sorted as is looked at: best number i ends at kept[n_kept - 1 - i]. */
struct mn_sampler {
    mn_sampler_params params;
    int32_t n_vocab, capacity;
    candidate *kept; /* [capacity] */
    int32_t n_kept, n_sorted;
    candidate *round; /* [n_vocab or N_SAMPLES] a heap of those that a filter is asked about next, best first */
    int32_t n_round;
    int32_t *counts; /* [n_vocab] how often each token is in the window of the penalties; NULL = penalties off */
    bool *excluded;  /* [n_vocab]; NULL = none */
    int32_t *window; /* [repeat_last_n] ring of the last tokens; NULL = no end */
    int32_t window_at, n_window;
    mn_random rng;
};

mn_sampler_params mn_sampler_defaults(void) {
    return (mn_sampler_params){
        .temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .repeat_penalty = 1, .repeat_last_n = 64};
}

static mn_status check_params(const mn_sampler_params *p, mn_error *err) {
    const struct {
        const char *name, *range;
        float value;
        bool valid;
    } checks[] = {
        {"the temperature", "0 (greedy) or more", p->temperature, p->temperature >= 0},
        {"top_p", "above 0 and at most 1 (off)", p->top_p, p->top_p > 0 && p->top_p <= 1},
        {"min_p", "from 0 (off) to 1", p->min_p, p->min_p >= 0 && p->min_p <= 1},
        {"the repeat penalty", "above 0 (1 is off)", p->repeat_penalty, p->repeat_penalty > 0},
        {"the presence penalty", "a finite number (0 is off)", p->presence_penalty, true},
        {"the frequency penalty", "a finite number (0 is off)", p->frequency_penalty, true},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (!checks[i].valid || !isfinite(checks[i].value))
            return mn_fail(err, MN_ERR_ARGUMENT, "%s %g is out of range: it must be %s.", checks[i].name,
                           (double)checks[i].value, checks[i].range);
    if (p->repeat_last_n < -1)
        return mn_fail(
            err, MN_ERR_ARGUMENT,
            "a look-back of %d tokens for the penalties is out of range: it must be -1 (all), 0 (off) or more.",
            p->repeat_last_n);
    return MN_OK;
}

static bool has_penalties(const mn_sampler_params *p) {
    return p->repeat_last_n != 0 && (p->repeat_penalty != 1 || p->presence_penalty != 0 || p->frequency_penalty != 0);
}

/* Greedy is a top-k of one. */
static int32_t capacity_of(const mn_sampler_params *p, int32_t n_vocab) {
    if (p->temperature == 0) return 1;
    return p->top_k > 0 && p->top_k < n_vocab ? p->top_k : n_vocab;
}

mn_status mn_sampler_create(const mn_sampler_params *params, int32_t n_vocab, mn_sampler **out, mn_error *err) {
    MN_TRY(check_params(params, err));
    if (n_vocab < 1) return mn_fail(err, MN_ERR_ARGUMENT, "a sampler over %d tokens has nothing to draw.", n_vocab);
    mn_sampler *s = calloc(1, sizeof *s);
    if (!s) return mn_fail(err, MN_ERR_MEMORY, "no memory for a sampler.");
    *s = (mn_sampler){.params = *params, .n_vocab = n_vocab, .capacity = capacity_of(params, n_vocab)};
    mn_random_seed(&s->rng, params->seed, 0);
    s->kept = malloc((size_t)s->capacity * sizeof *s->kept);
    /* Not touched without a filter. */
    s->round = malloc((n_vocab > N_SAMPLES ? (size_t)n_vocab : (size_t)N_SAMPLES) * sizeof *s->round);
    bool complete = s->kept && s->round;
    if (has_penalties(params)) {
        s->counts = calloc((size_t)n_vocab, sizeof *s->counts);
        if (params->repeat_last_n > 0) s->window = malloc((size_t)params->repeat_last_n * sizeof *s->window);
        complete = complete && s->counts && (params->repeat_last_n < 0 || s->window);
    }
    if (!complete) {
        mn_sampler_destroy(s);
        return mn_fail(err, MN_ERR_MEMORY, "no memory for a sampler over %d tokens that looks back at %d.", n_vocab,
                       params->repeat_last_n);
    }
    *out = s;
    return MN_OK;
}

void mn_sampler_destroy(mn_sampler *s) {
    if (!s) return;
    free(s->kept);
    free(s->round);
    free(s->counts);
    free(s->excluded);
    free(s->window);
    free(s);
}

mn_status mn_sampler_exclude(mn_sampler *s, int32_t token, mn_error *err) {
    if (token < 0 || token >= s->n_vocab) return MN_OK;
    if (!s->excluded) s->excluded = calloc((size_t)s->n_vocab, sizeof *s->excluded);
    if (!s->excluded) return mn_fail(err, MN_ERR_MEMORY, "no memory to exclude one of %d tokens.", s->n_vocab);
    s->excluded[token] = true;
    return MN_OK;
}

void mn_sampler_accept(mn_sampler *s, int32_t token) {
    if (!s->counts || token < 0 || token >= s->n_vocab) return;
    s->counts[token]++;
    if (!s->window) return;
    if (s->n_window == s->params.repeat_last_n)
        s->counts[s->window[s->window_at]]--;
    else
        s->n_window++;
    s->window[s->window_at] = token;
    s->window_at = (s->window_at + 1) % s->params.repeat_last_n;
}

/* Repetition (Keskar 2019): divides a positive logit, multiplies a negative one. Presence and frequency are OpenAI's:
 * logit - presence - count * frequency. */
static float penalised(const mn_sampler *s, float logit, int32_t id) {
    int32_t count = s->counts ? s->counts[id] : 0;
    if (count == 0) return logit;
    const mn_sampler_params *p = &s->params;
    logit = logit > 0 ? logit / p->repeat_penalty : logit * p->repeat_penalty;
    return logit - p->presence_penalty - (float)count * p->frequency_penalty;
}

static bool better(candidate a, candidate b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

/* Restores the heap of n below `at`; its root is the best, or the worst when best_first is false. */
static inline void sift_down(candidate *heap, int32_t n, int32_t at, bool best_first) {
    candidate moving = heap[at];
    for (int32_t child; (child = 2 * at + 1) < n && child > 0; at = child) {
        if (child + 1 < n && better(heap[child + 1], heap[child]) == best_first) child++;
        if (better(heap[child], moving) != best_first) break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

static void heapify(candidate *heap, int32_t n, bool best_first) {
    for (int32_t at = n / 2 - 1; at >= 0; at--) sift_down(heap, n, at, best_first);
}

/* Whether penalties leave each logit as it is or make it smaller. */
static bool only_lowers(const mn_sampler *s) {
    const mn_sampler_params *p = &s->params;
    return !s->counts || (p->repeat_penalty >= 1 && p->presence_penalty >= 0 && p->frequency_penalty >= 0);
}

/* Whether one of BLOCK logits is above the limit, or no number. */
static bool has_any(const float *logits, float limit) {
    int n = 0;
    for (int i = 0; i < BLOCK; i++) n += !(logits[i] <= limit);
    return n > 0;
}

/* A token with its penalised logit; -inf where it is excluded. */
static mn_status candidate_of(const mn_sampler *s, const float *logits, int32_t id, candidate *out, mn_error *err) {
    *out = (candidate){penalised(s, logits[id], id), id};
    if (isnan(out->logit))
        return mn_fail(err, MN_ERR_ARGUMENT, "the logit of token %d is not a number; the model's output is broken.",
                       id);
    if (s->excluded && s->excluded[id]) out->logit = -INFINITY;
    return MN_OK;
}

/* Whether a token is one of the best so far. */
static bool is_wanted(const mn_sampler *s, candidate c) {
    return c.logit > -INFINITY && (s->n_kept < s->capacity || better(c, s->kept[0]));
}

static void keep(mn_sampler *s, candidate c) {
    if (s->n_kept == s->capacity) {
        s->kept[0] = c;
        sift_down(s->kept, s->n_kept, 0, false);
    } else {
        s->kept[s->n_kept++] = c;
        if (s->n_kept == s->capacity) heapify(s->kept, s->n_kept, false);
    }
}

/* Keeps a token that is wanted and allowed: what a filter looks up costs most, so that it is asked last. */
static void consider(mn_sampler *s, candidate c, const mn_token_filter *filter) {
    if (is_wanted(s, c) && (!filter->allows || filter->allows(filter->arg, c.id))) keep(s, c);
}

static mn_status gather_all(mn_sampler *s, const float *logits, const mn_token_filter *filter, mn_error *err) {
    bool skips = only_lowers(s);
    candidate c;
    for (int32_t i = 0, end; i < s->n_vocab; i = end) {
        end = s->n_vocab - i < BLOCK ? s->n_vocab : i + BLOCK;
        float limit = s->n_kept == s->capacity ? s->kept[0].logit : -INFINITY;
        if (skips && end - i == BLOCK && !has_any(logits + i, limit)) continue;
        for (int32_t id = i; id < end; id++) {
            MN_TRY(candidate_of(s, logits, id, &c, err));
            consider(s, c, filter);
        }
    }
    return MN_OK;
}

static mn_status gather_list(mn_sampler *s, const float *logits, const int32_t *list, int32_t n,
                             const mn_token_filter *filter, mn_error *err) {
    candidate c;
    for (int32_t i = 0; i < n; i++) {
        if (list[i] >= s->n_vocab) continue;
        MN_TRY(candidate_of(s, logits, list[i], &c, err));
        consider(s, c, filter);
    }
    return MN_OK;
}

/* ---- tokens that a filter may refuse ---- */

static candidate pop_round(mn_sampler *s) {
    candidate best = s->round[0];
    s->round[0] = s->round[--s->n_round];
    sift_down(s->round, s->n_round, 0, true);
    return best;
}

/* About `n` tokens have a larger logit; -inf: all of them may. */
static float limit_for(mn_sampler *s, const float *logits, int64_t n) {
    int64_t place = n * N_SAMPLES / s->n_vocab;
    if (place >= N_SAMPLES) return -INFINITY;
    for (s->n_round = 0; s->n_round < N_SAMPLES; s->n_round++) {
        int32_t id = (int32_t)((int64_t)s->n_vocab * s->n_round / N_SAMPLES);
        s->round[s->n_round] = (candidate){logits[id], id};
    }
    heapify(s->round, N_SAMPLES, true);
    for (; place > 0; place--) pop_round(s);
    return s->round[0].logit;
}

/* The tokens whose penalised logits are above low, and not above high. */
static mn_status fill_round(mn_sampler *s, const float *logits, float low, float high, mn_error *err) {
    bool skips = only_lowers(s);
    candidate c;
    s->n_round = 0;
    for (int32_t i = 0, end; i < s->n_vocab; i = end) {
        end = s->n_vocab - i < BLOCK ? s->n_vocab : i + BLOCK;
        if (skips && end - i == BLOCK && !has_any(logits + i, low)) continue;
        for (int32_t id = i; id < end; id++) {
            MN_TRY(candidate_of(s, logits, id, &c, err));
            if (c.logit > low && c.logit <= high) s->round[s->n_round++] = c;
        }
    }
    heapify(s->round, s->n_round, true);
    return MN_OK;
}

static mn_status gather_named(mn_sampler *s, const float *logits, const mn_token_filter *filter, mn_error *err) {
    int32_t n;
    const int32_t *all = filter->all(filter->arg, &n);
    s->n_kept = 0;
    return gather_list(s, logits, all, n, &(mn_token_filter){0}, err);
}

/* Tokens are asked for best first, until enough are allowed. */
static mn_status gather_allowed(mn_sampler *s, const float *logits, const mn_token_filter *filter, mn_error *err) {
    float low, high = INFINITY;
    int32_t n_asked = 0;
    for (int64_t n = (int64_t)FIRST_ROUND * s->capacity; s->n_kept < s->capacity && high > -INFINITY; n *= MORE) {
        low = limit_for(s, logits, n);
        if (isnan(low) || low > high) low = high;
        MN_TRY(fill_round(s, logits, low, high, err));
        while (s->n_round > 0 && s->n_kept < s->capacity) {
            if (filter->all && n_asked++ == MAX_ASKED) return gather_named(s, logits, filter, err);
            candidate c = pop_round(s);
            if (filter->allows(filter->arg, c.id)) s->kept[s->n_kept++] = c;
        }
        high = low;
    }
    return MN_OK;
}

static mn_status gather(mn_sampler *s, const float *logits, const mn_token_filter *filter, mn_error *err) {
    int32_t n;
    const int32_t *list = filter->list ? filter->list(filter->arg, &n) : NULL;
    bool asks = filter->allows && (int64_t)FIRST_ROUND * s->capacity < s->n_vocab;
    s->n_kept = s->n_sorted = 0;
    MN_TRY(list   ? gather_list(s, logits, list, n, filter, err)
           : asks ? gather_allowed(s, logits, filter, err)
                  : gather_all(s, logits, filter, err));
    if (filter->check) MN_TRY(filter->check(filter->arg, err));
    if (s->n_kept == 0)
        return mn_fail(err, MN_ERR_ARGUMENT, "every one of the %d tokens is excluded; nothing can be drawn.",
                       s->n_vocab);
    heapify(s->kept, s->n_kept, true);
    return MN_OK;
}

/* The best candidate but i; calls go up from 0 by at most one at a time. */
static candidate best_at(mn_sampler *s, int32_t i) {
    if (i == s->n_sorted) {
        int32_t last = s->n_kept - 1 - s->n_sorted++;
        candidate best = s->kept[0];
        s->kept[0] = s->kept[last];
        s->kept[last] = best;
        sift_down(s->kept, last, 0, true);
    }
    return s->kept[s->n_kept - 1 - i];
}

/* exp((logit - max) / temperature). The maximum itself weighs 1 even where it is infinite. */
static double weight(float logit, float max, double temperature) {
    return logit == max ? 1 : exp(((double)logit - max) / temperature);
}

static double total_weight(const candidate *c, int32_t n, float max, double temperature) {
    double total = 0;
    for (int32_t i = 0; i < n; i++) total += weight(c[i].logit, max, temperature);
    return total;
}

/* How many of the best stay: top-p (Holtzman 2020), the fewest whose probabilities reach top_p; min-p (Nguyen 2024),
 * those at least min_p times as likely as the best. Both at temperature 1, both a prefix of the descending order. */
static int32_t n_likely(mn_sampler *s, float max) {
    const mn_sampler_params *p = &s->params;
    if (p->top_p == 1 && p->min_p == 0) return s->n_kept;
    double limit = p->top_p < 1 ? p->top_p * total_weight(s->kept, s->n_kept, max, 1) : INFINITY;
    double sum = 0;
    int32_t n = 0;
    for (; n < s->n_kept && sum < limit; n++) {
        double w = weight(best_at(s, n).logit, max, 1);
        if (w < p->min_p) break;
        sum += w;
    }
    return n;
}

mn_status mn_sampler_draw(mn_sampler *s, const float *logits, int32_t *out, mn_error *err) {
    return mn_sampler_draw_allowed(s, logits, (mn_token_filter){0}, out, err);
}

mn_status mn_sampler_draw_allowed(mn_sampler *s, const float *logits, mn_token_filter filter, int32_t *out,
                                  mn_error *err) {
    MN_TRY(gather(s, logits, &filter, err));
    float max = s->kept[0].logit;
    int32_t n = n_likely(s, max);
    double temperature = s->params.temperature;
    *out = best_at(s, 0).id;
    if (n == 1) return MN_OK;
    double left = mn_random_double(&s->rng) * total_weight(s->kept + s->n_kept - n, n, max, temperature);
    for (int32_t i = 0; i < n; i++) {
        candidate c = best_at(s, i);
        double w = weight(c.logit, max, temperature);
        /* Rounding can leave a crumb past the last candidate; it must not fall to one that weighs nothing. */
        if (w > 0) *out = c.id;
        left -= w;
        if (left < 0) break;
    }
    return MN_OK;
}
