/* sample/sampler: every stage against a slow reference, the distribution, determinism, hostile logits, bad flags. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "sample/sampler.h"

enum { MAX_VOCAB = 2000 };

static mn_sampler_params off(void) {
    return (mn_sampler_params){.temperature = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64};
}

static mn_sampler *create(mn_sampler_params params, int32_t n_vocab) {
    mn_sampler *s;
    mn_error err;
    assert_ok(mn_sampler_create(&params, n_vocab, &s, &err), err);
    return s;
}

static int32_t draw(mn_sampler *s, const float *logits) {
    int32_t token = -1;
    mn_error err;
    assert_ok(mn_sampler_draw(s, logits, &token, &err), err);
    return token;
}

/* The reference: a full sort, probabilities written out after each stage, the same random number stretched over them
 * from the most to the least likely token. */
typedef struct ranked {
    double logit, p;
    int32_t id;
} ranked;

static int by_rank(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void softmax(ranked *r, int n, double temperature) {
    double total = 0;
    for (int i = 0; i < n; i++) total += r[i].p = exp((r[i].logit - r[0].logit) / temperature);
    for (int i = 0; i < n; i++) r[i].p /= total;
}

/* Fills r with what survives, in order, with its probabilities; returns how many. */
static int reference_candidates(const mn_sampler_params *p, const float *logits, int n_vocab, const int *counts,
                                ranked *r) {
    int n = n_vocab;
    for (int i = 0; i < n; i++) {
        float l = logits[i];
        if (counts && counts[i] > 0) {
            l = l > 0 ? l / p->repeat_penalty : l * p->repeat_penalty;
            l -= p->presence_penalty;
            l -= (float)counts[i] * p->frequency_penalty;
        }
        r[i] = (ranked){.logit = l, .id = i};
    }
    qsort(r, (size_t)n, sizeof *r, by_rank);
    if (p->temperature == 0) n = 1;
    if (p->top_k > 0 && p->top_k < n) n = p->top_k;
    softmax(r, n, 1);
    double sum = 0;
    int n_top_p = 0;
    while (n_top_p < n && sum < p->top_p) sum += r[n_top_p++].p;
    if (p->top_p < 1) n = n_top_p;
    int n_min_p = 0;
    while (n_min_p < n && r[n_min_p].p >= p->min_p * r[0].p) n_min_p++;
    n = n_min_p;
    softmax(r, n, p->temperature == 0 ? 1 : p->temperature);
    return n;
}

static int32_t reference_draw(const ranked *r, int n, mn_random *rng) {
    if (n == 1) return r[0].id;
    double u = mn_random_double(rng), sum = 0;
    for (int i = 0; i < n; i++)
        if ((sum += r[i].p) > u) return r[i].id;
    return r[n - 1].id;
}

static void fill(float *logits, int n, mn_random *rng, bool with_ties) {
    for (int i = 0; i < n; i++) {
        double x = 3 * mn_random_normal(rng);
        logits[i] = (float)(with_ties ? round(x) : x);
    }
}

static void agrees_with_reference(mn_sampler_params params, int n_vocab, bool with_ties, const char *what) {
    static float logits[MAX_VOCAB];
    static int counts[MAX_VOCAB];
    static int32_t history[4096];
    static ranked r[MAX_VOCAB];
    memset(counts, 0, sizeof counts);
    params.seed = 11;
    mn_sampler *s = create(params, n_vocab);
    mn_random data, reference;
    mn_random_seed(&data, 5, 1);
    mn_random_seed(&reference, params.seed, 0);
    for (int step = 0; step < 200; step++) {
        if (step % 20 == 0) fill(logits, n_vocab, &data, with_ties);
        int n = reference_candidates(&params, logits, n_vocab, params.repeat_last_n ? counts : NULL, r);
        int32_t want = reference_draw(r, n, &reference), got = draw(s, logits);
        if (got != want) fail_msg("%s, step %d: drew %d, the reference draws %d of %d", what, step, got, want, n);
        mn_sampler_accept(s, got);
        history[step] = got;
        counts[got]++;
        if (params.repeat_last_n > 0 && step >= params.repeat_last_n) counts[history[step - params.repeat_last_n]]--;
    }
    mn_sampler_destroy(s);
}

static void each_stage_matches_reference(void **state) {
    (void)state;
    const int sizes[] = {1, 2, 17, MAX_VOCAB};
    for (int i = 0; i < 4; i++)
        for (int with_ties = 0; with_ties < 2; with_ties++) {
            int n = sizes[i];
            mn_sampler_params p = off();
            agrees_with_reference(p, n, with_ties, "nothing on");
            p.temperature = 0;
            agrees_with_reference(p, n, with_ties, "greedy");
            p.temperature = 0.3f;
            agrees_with_reference(p, n, with_ties, "temperature");
            for (int k = 1; k <= 64; k *= 4) {
                p = off();
                p.top_k = k;
                agrees_with_reference(p, n, with_ties, "top-k");
            }
            p = off();
            p.top_p = 0.7f;
            agrees_with_reference(p, n, with_ties, "top-p");
            p = off();
            p.min_p = 0.1f;
            agrees_with_reference(p, n, with_ties, "min-p");
            p = mn_sampler_defaults();
            p.repeat_penalty = 1.3f;
            p.presence_penalty = 0.25f;
            p.frequency_penalty = 0.125f;
            const int32_t windows[] = {-1, 0, 1, 7, 300};
            for (int w = 0; w < 5; w++) {
                p.repeat_last_n = windows[w];
                agrees_with_reference(p, n, with_ties, "everything");
                mn_sampler_params greedy = p;
                greedy.temperature = 0;
                agrees_with_reference(greedy, n, with_ties, "greedy with penalties");
            }
        }
}

/* ---- filters ---- */

typedef struct some_tokens {
    const bool *allowed;
    int64_t n_asked;
} some_tokens;

static bool allows(void *arg, int32_t token) {
    some_tokens *t = arg;
    t->n_asked++;
    return t->allowed[token];
}

/* Draws among the tokens allowed are those from logits that are -inf for all others; and of few wanted, few are asked
 * for. */
static void a_filter_is_minus_infinity(void **state) {
    (void)state;
    static float logits[MAX_VOCAB], masked[MAX_VOCAB];
    static bool allowed[MAX_VOCAB];
    static const struct {
        int n_vocab, top_k;
        double share;
        int64_t most; /* asked for in 60 draws */
    } cases[] = {
        {MAX_VOCAB, 40, 1, 60 * 40},
        {MAX_VOCAB, 40, 0.5, 60 * 160},
        {MAX_VOCAB, 5, 0.1, 60 * 150},
        {MAX_VOCAB, 1, 0.02, 60 * 200},
        {MAX_VOCAB, 40, 0.01, 60 * MAX_VOCAB},
        {MAX_VOCAB, 0, 0.3, 60 * MAX_VOCAB},
        {MAX_VOCAB, 1, 0, 60 * MAX_VOCAB},
        {63, 2, 0.5, 60 * 20},
        {64, 3, 0.5, 60 * 20},
        {700, 40, 0.9, 60 * 120},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int with_ties = 0; with_ties < 2; with_ties++)
            for (int raised = 0; raised < 2; raised++) { /* penalties that lower, and one that raises */
                int n = cases[i].n_vocab;
                mn_sampler_params p = mn_sampler_defaults();
                p.top_k = cases[i].top_k;
                p.seed = 3;
                p.repeat_penalty = 1.3F;
                p.presence_penalty = raised ? -1.5F : 0.5F;
                mn_sampler *s = create(p, n), *other = create(p, n);
                some_tokens t = {.allowed = allowed};
                mn_random data;
                mn_error err;
                mn_random_seed(&data, 5, i);
                for (int k = 0; k < n; k++) allowed[k] = k == 17 || mn_random_double(&data) < cases[i].share;
                for (int step = 0; step < 60; step++) {
                    int32_t got = -1;
                    if (step % 10 == 0) fill(logits, n, &data, with_ties);
                    for (int k = 0; k < n; k++) masked[k] = allowed[k] ? logits[k] : -INFINITY;
                    const mn_token_filter filter = {.arg = &t, .allows = allows};
                    assert_ok(mn_sampler_draw_allowed(s, logits, filter, &got, &err), err);
                    int32_t want = draw(other, masked);
                    if (got != want) fail_msg("case %zu, step %d: drew %d, not %d", i, step, got, want);
                    mn_sampler_accept(s, got);
                    mn_sampler_accept(other, got);
                }
                if (!with_ties && t.n_asked > cases[i].most)
                    fail_msg("case %zu: asked for %lld tokens", i, (long long)t.n_asked);
                mn_sampler_destroy(s);
                mn_sampler_destroy(other);
            }
}

static void broken_logits_are_errors_behind_a_filter(void **state) {
    (void)state;
    static float logits[MAX_VOCAB];
    static bool allowed[MAX_VOCAB];
    some_tokens t = {.allowed = allowed};
    const mn_token_filter filter = {.arg = &t, .allows = allows};
    mn_sampler_params p = mn_sampler_defaults();
    mn_sampler *s = create(p, MAX_VOCAB);
    mn_error err;
    int32_t token;
    assert_int_equal(mn_sampler_draw_allowed(s, logits, filter, &token, &err), MN_ERR_ARGUMENT);
    allowed[3] = true;
    assert_ok(mn_sampler_draw_allowed(s, logits, filter, &token, &err), err);
    assert_int_equal(token, 3);
    for (int at = 0; at < MAX_VOCAB; at += 333) {
        logits[at] = NAN;
        assert_int_equal(mn_sampler_draw_allowed(s, logits, filter, &token, &err), MN_ERR_ARGUMENT);
        assert_non_null(strstr(err.text, "not a number"));
        logits[at] = -INFINITY;
        assert_ok(mn_sampler_draw_allowed(s, logits, filter, &token, &err), err);
        logits[at] = INFINITY;
        assert_ok(mn_sampler_draw_allowed(s, logits, filter, &token, &err), err);
        assert_int_equal(token, 3);
    }
    mn_sampler_destroy(s);
}

/* Chi-square of 50000 draws over 8 tokens: 7 degrees of freedom, 24.3 is exceeded once in a thousand. */
static void distribution_is_softmax(void **state) {
    (void)state;
    const float logits[8] = {1, -0.5f, 0, 2, 1.5f, -1, 0.25f, 0.75f};
    mn_sampler_params p = off();
    p.temperature = 1.7f;
    p.seed = 42;
    enum { N = 50000 };
    int counts[8] = {0};
    mn_sampler *s = create(p, 8);
    for (int i = 0; i < N; i++) counts[draw(s, logits)]++;
    mn_sampler_destroy(s);
    double total = 0, chi2 = 0;
    for (int i = 0; i < 8; i++) total += exp(logits[i] / 1.7);
    for (int i = 0; i < 8; i++) {
        double expected = N * exp(logits[i] / 1.7) / total;
        chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    if (!(chi2 < 24.3)) fail_msg("chi-square %g", chi2);
}

static void same_seed_same_tokens(void **state) {
    (void)state;
    static float logits[MAX_VOCAB];
    mn_random data;
    mn_random_seed(&data, 1, 1);
    fill(logits, MAX_VOCAB, &data, false);
    mn_sampler_params p = mn_sampler_defaults();
    p.temperature = 3;
    p.seed = 7;
    mn_sampler *a = create(p, MAX_VOCAB), *b = create(p, MAX_VOCAB);
    p.seed = 8;
    mn_sampler *c = create(p, MAX_VOCAB);
    int n_differing = 0;
    for (int i = 0; i < 100; i++) {
        int32_t token = draw(a, logits);
        assert_int_equal(token, draw(b, logits));
        n_differing += token != draw(c, logits);
    }
    assert_true(n_differing > 10);
    mn_sampler_destroy(a);
    mn_sampler_destroy(b);
    mn_sampler_destroy(c);
}

static void infinities(void **state) {
    (void)state;
    mn_sampler_params p = mn_sampler_defaults();
    for (int greedy = 0; greedy < 2; greedy++) {
        if (greedy) p.temperature = 0;
        mn_sampler *s = create(p, 5);
        const float one_left[] = {-INFINITY, -INFINITY, -INFINITY, -2e38f, -INFINITY};
        const float one_above[] = {3e38f, 1, INFINITY, -3e38f, -INFINITY};
        for (int i = 0; i < 50; i++) {
            assert_int_equal(draw(s, one_left), 3);
            assert_int_equal(draw(s, one_above), 2);
        }
        mn_sampler_destroy(s);
    }
    p = off();
    mn_sampler *s = create(p, 3);
    const float masked[] = {0, -INFINITY, 0};
    for (int i = 0; i < 200; i++) assert_int_not_equal(draw(s, masked), 1);
    mn_sampler_destroy(s);
}

static void broken_logits_are_errors(void **state) {
    (void)state;
    mn_sampler *s = create(mn_sampler_defaults(), 3);
    mn_error err;
    int32_t token;
    const float not_a_number[] = {0, NAN, 1}, nothing[] = {-INFINITY, -INFINITY, -INFINITY};
    assert_int_equal(mn_sampler_draw(s, not_a_number, &token, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "token 1"));
    assert_int_equal(mn_sampler_draw(s, nothing, &token, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "3 tokens"));
    mn_sampler_accept(s, -1);
    mn_sampler_accept(s, 3);
    const float fine[] = {0, 9, 1};
    assert_in_range(draw(s, fine), 0, 2);
    mn_sampler_destroy(s);
}

static void bad_parameters_name_the_flag(void **state) {
    (void)state;
    const struct {
        const char *flag;
        mn_sampler_params params;
    } cases[] = {
        {"the temperature -1 ", {.temperature = -1, .top_p = 1, .repeat_penalty = 1}},
        {"the temperature nan ", {.temperature = NAN, .top_p = 1, .repeat_penalty = 1}},
        {"the temperature inf ", {.temperature = INFINITY, .top_p = 1, .repeat_penalty = 1}},
        {"top_p 0 ", {.top_p = 0, .repeat_penalty = 1}},
        {"top_p 1.5 ", {.top_p = 1.5f, .repeat_penalty = 1}},
        {"min_p 2 ", {.top_p = 1, .min_p = 2, .repeat_penalty = 1}},
        {"the repeat penalty 0 ", {.top_p = 1}},
        {"the presence penalty inf ", {.top_p = 1, .repeat_penalty = 1, .presence_penalty = INFINITY}},
        {"the frequency penalty -inf ", {.top_p = 1, .repeat_penalty = 1, .frequency_penalty = -INFINITY}},
        {"a look-back of -2 tokens ", {.top_p = 1, .repeat_penalty = 1, .repeat_last_n = -2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_sampler *s = NULL;
        mn_error err = {0};
        assert_int_equal(mn_sampler_create(&cases[i].params, 10, &s, &err), MN_ERR_ARGUMENT);
        if (!strstr(err.text, cases[i].flag)) fail_msg("\"%s\" does not name %s", err.text, cases[i].flag);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_stage_matches_reference), cmocka_unit_test(distribution_is_softmax),
        cmocka_unit_test(a_filter_is_minus_infinity),   cmocka_unit_test(broken_logits_are_errors_behind_a_filter),
        cmocka_unit_test(same_seed_same_tokens),        cmocka_unit_test(infinities),
        cmocka_unit_test(broken_logits_are_errors),     cmocka_unit_test(bad_parameters_name_the_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
