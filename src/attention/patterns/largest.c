#include "attention/patterns/largest.h"

#include "base/checked.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { LANES = 8 };

/* Integers that are ordered as the numbers are; the inverse is the same. */
static int32_t order_of_bits(int32_t bits) { return bits ^ (int32_t)((uint32_t)(bits >> 31) >> 1); }

static int32_t order_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return order_of_bits(bits);
}

static float number_of(int32_t order) {
    float x;
    order = order_of_bits(order);
    memcpy(&x, &order, sizeof x);
    return x;
}

static int64_t count_reaching(const float *x, int64_t n, float least) {
    int32_t count = 0;
    for (int64_t i = 0; i < n; i++) count += x[i] >= least;
    return count;
}

/* The smallest and the largest number, in lanes, as rules about what is no number forbid the compiler; least > most
 * where there is none. */
static void find_ends(const float *x, int64_t n, float *least, float *most) {
    float low[LANES], high[LANES];
    int64_t whole = n - n % LANES;
    for (int j = 0; j < LANES; j++) {
        low[j] = INFINITY;
        high[j] = -INFINITY;
    }
    for (int64_t i = 0; i < n; i += i < whole ? LANES : 1)
        for (int j = 0; j < (i < whole ? LANES : 1); j++) {
            low[j] = x[i + j] < low[j] ? x[i + j] : low[j];
            high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
        }
    *least = INFINITY;
    *most = -INFINITY;
    for (int j = 0; j < LANES; j++) {
        *least = MN_MIN(*least, low[j]);
        *most = MN_MAX(*most, high[j]);
    }
}

/* What k or more of x reach, and fewer than k exceed; k >= 1. false: fewer than k are numbers. */
static bool find_threshold(const float *x, int64_t n, int64_t k, float *threshold) {
    float least, most;
    find_ends(x, n, &least, &most);
    int64_t low = order_of(least), high = order_of(most), reaching = count_reaching(x, n, least);
    if (reaching < k) return false;
    while (low < high && reaching > k) {
        int64_t middle = low + (high - low + 1) / 2, n_middle = count_reaching(x, n, number_of((int32_t)middle));
        if (n_middle < k) {
            high = middle - 1;
        } else {
            low = middle;
            reaching = n_middle;
        }
    }
    *threshold = number_of((int32_t)low);
    return true;
}

/* All numbers, and of what is none the first: k of n in all. */
static void choose_numbers(const float *x, int64_t n, int64_t k, int32_t *chosen) {
    int64_t n_others = k - count_reaching(x, n, -INFINITY);
    for (int64_t i = 0, at = 0; at < k; i++)
        if (x[i] >= -INFINITY || n_others-- > 0) chosen[at++] = (int32_t)i;
}

static void choose(const float *x, int64_t n, int64_t k, int32_t *chosen) {
    float threshold;
    if (!find_threshold(x, n, k, &threshold)) {
        choose_numbers(x, n, k, chosen);
        return;
    }
    int64_t n_equal = k;
    for (int64_t i = 0; i < n; i++) n_equal -= x[i] > threshold;
    for (int64_t i = 0, at = 0; at < k; i++) { /* without branches: nobody guesses which scores are large */
        bool equal = x[i] == threshold;
        chosen[at] = (int32_t)i;
        at += x[i] > threshold || (equal && n_equal > 0);
        n_equal -= equal;
    }
}

/* Where k is a small part of n: the largest of each few scores, the k-th largest of these, and what reaches it. At
 * least k scores do, and seldom many more. */
enum { FEW_SCORES = 16, MAX_FEWS = 1 << 12, MAX_NEAR = 1 << 12 };

static float largest_of_few(const float *scores) {
    float most[4];
    for (int j = 0; j < 4; j++) most[j] = -INFINITY;
    for (int i = 0; i < FEW_SCORES; i += 4)
        for (int j = 0; j < 4; j++) most[j] = scores[i + j] > most[j] ? scores[i + j] : most[j];
    float a = MN_MAX(most[0], most[1]), b = MN_MAX(most[2], most[3]);
    return MN_MAX(a, b);
}

typedef struct candidates {
    float scores[MAX_NEAR + FEW_SCORES];
    int32_t at[MAX_NEAR + FEW_SCORES];
    int64_t n;
} candidates;

/* Those of scores [first, end), FEW_SCORES at most, that reach `least`. */
static void add_reaching(candidates *near, const float *scores, int64_t first, int64_t end, float least) {
    for (int64_t i = first; i < end; i++) {
        near->scores[near->n] = scores[i];
        near->at[near->n] = (int32_t)i;
        near->n += scores[i] >= least;
    }
}

/* false: nothing was chosen, as too many are equal or no numbers. */
static bool choose_by_maxima(const float *scores, int64_t n, int64_t k, int32_t *chosen) {
    float maxima[MAX_FEWS], least;
    candidates near;
    int64_t n_few = n / FEW_SCORES, n_made = 0;
    do maxima[n_made] = largest_of_few(scores + n_made * FEW_SCORES);
    while (++n_made < n_few);
    if (!find_threshold(maxima, n_few, k, &least)) return false;
    near.n = 0;
    for (int64_t few = 0; few < n_few && near.n <= MAX_NEAR - FEW_SCORES; few++)
        if (maxima[few] >= least) add_reaching(&near, scores, few * FEW_SCORES, (few + 1) * FEW_SCORES, least);
    if (near.n > MAX_NEAR - FEW_SCORES) return false;
    add_reaching(&near, scores, n_few * FEW_SCORES, n, least);
    choose(near.scores, near.n, k, chosen);
    for (int64_t i = 0; i < k; i++) chosen[i] = near.at[chosen[i]];
    return true;
}

int64_t mn_choose_largest(const float *scores, int64_t n, int64_t k, int32_t *chosen) {
    k = MN_MAX(0, MN_MIN(k, n));
    bool few = 2 * k <= n / FEW_SCORES && n / FEW_SCORES <= MAX_FEWS;
    if (k == 0 || (few && choose_by_maxima(scores, n, k, chosen))) return k;
    choose(scores, n, k, chosen);
    return k;
}
