#include "eval/score.h"

#include "base/checked.h"
#include "base/random.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 2000, MAX_SIMILAR_BYTES = 1 << 16 };

static int lower(char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* A control character of the answer is a line's end. */
static int fold(char c) { return (unsigned char)c < 32 ? '\n' : lower(c); }

static bool begins_with(const char *text, const char *part) {
    while (*part)
        if (fold(*text++) != lower(*part++)) return false;
    return true;
}

bool mn_contains(const char *text, const char *part) {
    for (;; text++) {
        if (begins_with(text, part)) return true;
        if (!*text) return false;
    }
}

static double share_contained(const char *answer, const char *const *references, int n) {
    int found = 0;
    for (int i = 0; i < n; i++) found += mn_contains(answer, references[i]);
    return n ? (double)found / n : 0;
}

/* The last bracketed list of the answer: from behind its '[' to its ']'; empty when there is none. */
static const char *last_list(const char *answer, size_t *bytes) {
    const char *end = strrchr(answer, ']'), *begin = end;
    *bytes = 0;
    while (begin && begin > answer && *begin != '[') begin--;
    if (!begin || *begin != '[') return "";
    *bytes = (size_t)(end - begin - 1);
    return begin + 1;
}

static bool is_separator(char c) { return c == ',' || c == '"' || c == '\'' || isspace((unsigned char)c); }

static int index_of(const char *const *references, int n, const char *name, size_t bytes) {
    for (int i = 0; i < n; i++)
        if (strlen(references[i]) == bytes && !strncmp(references[i], name, bytes)) return i;
    return -1;
}

/* Whether the name that starts at `at` stands in the list before it. */
static bool is_repeated(const char *list, const char *at, size_t bytes) {
    for (const char *p = list; p < at;) {
        size_t n = 0;
        while (p + n < at && !is_separator(p[n])) n++;
        if (n == bytes && !strncmp(p, at, n)) return true;
        p += n + 1;
    }
    return false;
}

/* 2 |A and B| / (|A| + |B|); both empty: 1. */
static double set_f1(const char *answer, const char *const *references, int n) {
    size_t bytes;
    const char *list = last_list(answer, &bytes);
    int n_named = 0, n_right = 0;
    for (size_t i = 0; i < bytes;) {
        size_t length = 0;
        while (i + length < bytes && !is_separator(list[i + length])) length++;
        if (length && !is_repeated(list, list + i, length)) {
            n_named++;
            n_right += index_of(references, n, list + i, length) >= 0;
        }
        i += length + 1;
    }
    return n_named + n == 0 ? 1 : 2.0 * n_right / (n_named + n);
}

/* The longest common part of a[a0, a1) and b[b0, b1), the earliest in a, then in b. lengths [b's bytes + 1] is room. */
static size_t longest_common(const char *a, size_t a0, size_t a1, const char *b, size_t b0, size_t b1, size_t *at_a,
                             size_t *at_b, uint32_t *lengths) {
    size_t best = 0;
    memset(lengths + b0, 0, (b1 - b0 + 1) * sizeof *lengths);
    for (size_t i = a0; i < a1; i++) {
        uint32_t corner = 0; /* the length that ends before a[i] and b[j] */
        for (size_t j = b0; j < b1; j++) {
            uint32_t length = a[i] == b[j] ? corner + 1 : 0;
            corner = lengths[j];
            lengths[j] = length;
            if (length <= best) continue;
            best = length;
            *at_a = i + 1 - best;
            *at_b = j + 1 - best;
        }
    }
    return best;
}

static size_t matching(const char *a, size_t a0, size_t a1, const char *b, size_t b0, size_t b1, uint32_t *lengths) {
    size_t total = 0;
    while (a0 < a1 && b0 < b1) { /* the left part by recursion, the right one here */
        size_t at_a = 0, at_b = 0, n = longest_common(a, a0, a1, b, b0, b1, &at_a, &at_b, lengths);
        if (n == 0) break;
        total += n + matching(a, a0, at_a, b, b0, at_b, lengths);
        a0 = at_a + n;
        b0 = at_b + n;
    }
    return total;
}

double mn_similarity(const char *a, const char *b) {
    size_t n = strnlen(a, MAX_SIMILAR_BYTES), m = strnlen(b, MAX_SIMILAR_BYTES);
    if (n + m == 0) return 1;
    uint32_t *lengths = malloc((m + 1) * sizeof *lengths);
    if (!lengths) return 0;
    double ratio = 2.0 * (double)matching(a, 0, n, b, 0, m, lengths) / (double)(n + m);
    free(lengths);
    return ratio;
}

static double similar_behind(const char *answer, const char *const *references, int n) {
    while (isspace((unsigned char)*answer)) answer++;
    size_t bytes = n > 0 ? strlen(references[0]) : 0;
    if (n < 2 || strncmp(answer, references[0], bytes)) return 0;
    answer += bytes;
    while (isspace((unsigned char)*answer)) answer++;
    return mn_similarity(answer, references[1]);
}

double mn_score(mn_score_kind kind, const char *answer, const char *const *references, int n) {
    switch (kind) {
    case MN_SCORE_ALL: return share_contained(answer, references, n);
    case MN_SCORE_ANY: return share_contained(answer, references, n) > 0;
    case MN_SCORE_SET_F1: return set_f1(answer, references, n);
    case MN_SCORE_SIMILAR: return similar_behind(answer, references, n);
    }
    return 0;
}

mn_interval mn_wilson(double mean, int64_t n) {
    const double z = 1.959963984540054;
    if (n < 1) return (mn_interval){0, 1};
    double count = (double)n, centre = mean + z * z / (2 * count), scale = 1 + z * z / count;
    double half = z * sqrt(mean * (1 - mean) / count + z * z / (4 * count * count));
    return (mn_interval){fmax(0, (centre - half) / scale), fmin(1, (centre + half) / scale)};
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

mn_interval mn_paired_bootstrap(const double *x, const double *y, int64_t n, uint64_t seed) {
    double means[RESAMPLES];
    mn_random rng;
    if (n < 2) return (mn_interval){-1, 1};
    mn_random_seed(&rng, seed, 1);
    for (int r = 0; r < RESAMPLES; r++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t j = (int64_t)(mn_random_u64(&rng) % (uint64_t)n);
            sum += x[j] - y[j];
        }
        means[r] = sum / (double)n;
    }
    qsort(means, RESAMPLES, sizeof *means, ascending);
    return (mn_interval){means[RESAMPLES / 40], means[RESAMPLES - 1 - RESAMPLES / 40]};
}
