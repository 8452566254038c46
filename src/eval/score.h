/* Scores of answers, and how sure one can be of their mean. */
#ifndef MN_EVAL_SCORE_H
#define MN_EVAL_SCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How an answer is held to its references. */
typedef enum mn_score_kind {
    MN_SCORE_ALL,    /* share of the references that the answer contains (RULER: niah, vt, cwe, fwe) */
    MN_SCORE_ANY,    /* 1 when it contains one of them (RULER: qa) */
    MN_SCORE_SET_F1, /* F1 of the names in the last bracketed list and the references (graph walks) */
    MN_SCORE_SIMILAR /* 0 unless it begins with the first reference; else the similarity of the rest to the second
                        (MRCR) */
} mn_score_kind;

/* 0 to 1. Containing: case-insensitive in ASCII, control characters of the answer are line ends first, as RULER has it.
 * references [n], NUL-terminated. Linear in the answer, but for MN_SCORE_SIMILAR, which is quadratic at worst. */
double mn_score(mn_score_kind kind, const char *answer, const char *const *references, int n);

/* Whether `text` contains `part`, without regard to the case of ASCII letters. */
bool mn_contains(const char *text, const char *part);
/* 2 M / T of Ratcliff and Obershelp (1988), as Python's difflib defines it without junk: M characters in the longest
 * common part and, recursively, in what is left and right of it; T characters of both. Bytes are compared. Equal empty
 * texts: 1. Texts above 64 KiB are compared by their first 64 KiB. */
double mn_similarity(const char *a, const char *b);

typedef struct mn_interval {
    double low, high;
} mn_interval;

/* Wilson's score interval (1927) at 95 % for a mean score of n samples, each within [0, 1]; {0, 1} for n = 0. Exact for
 * scores that are 0 or 1, and too wide for others: no sample varies more than a coin of the same mean. */
mn_interval mn_wilson(double mean, int64_t n);
/* The 95 % interval of the mean of paired differences x[i] - y[i] by the bootstrap: the 2.5 % and 97.5 % points of the
 * means of 2000 resamples, drawn from `seed`. {-1, 1} for n < 2: of one pair nothing says how much pairs vary. */
mn_interval mn_paired_bootstrap(const double *x, const double *y, int64_t n, uint64_t seed);

#endif
