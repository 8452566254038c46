/* Decimal numbers between bounds, and of which divisors they are or are not multiples, digit by digit: a state for each
 * remainder, and for whether all digits so far are those of a bound. */
#ifndef MN_GRAMMAR_JSON_DIGITS_H
#define MN_GRAMMAR_JSON_DIGITS_H

#include "grammar/grammar.h"

enum { MN_DIGITS_MOST = 18, MN_DIGITS_MAX_RULES = 16 };

/* m * 10^e, m without zeros at its end. */
typedef struct mn_decimal {
    int64_t m;
    int e;
} mn_decimal;

/* The decimal that a JSON text most likely had for this double (15 digits, else 17); false: not finite, or beyond
 * 10^+-300. */
bool mn_decimal_of(double x, mn_decimal *out);
mn_decimal mn_decimal_of_integer(int64_t x);
/* x * 10^places, rounded down or up; clamped to +-(10^18). */
int64_t mn_decimal_scaled(mn_decimal x, int places, bool up, bool *exact);
int64_t mn_power_of_ten(int digits); /* 0 to 18 */
int64_t mn_gcd(int64_t a, int64_t b);

/* A number is N / 10^places; N has to be a multiple of divisor, or none. */
typedef struct mn_digits_rule {
    int64_t divisor;
    bool multiple;
} mn_digits_rule;

typedef struct mn_digits {
    mn_grammar *g;
    int32_t to; /* where numbers end */
    int places; /* digits behind the point at most, 0 to 15; zeros at the end may be left out */
    mn_digits_rule rules[MN_DIGITS_MAX_RULES];
    int n_rules;
    struct mn_digits_memory *memory; /* the function's own */
} mn_digits;

/* Before and after the calls of mn_digits_put. MN_ERR_LIMIT, with a part of a sentence, where the divisors have no
 * common multiple up to 10^9. */
mn_status mn_digits_begin(mn_digits *d, mn_error *err);
void mn_digits_end(mn_digits *d);
/* All numbers from low / 10^places to high / 10^places, |low|, |high| < 10^18; no -0. MN_ERR_LIMIT with a part of a
 * sentence where they take too many states. */
mn_status mn_digits_put(mn_digits *d, int32_t from, int64_t low, int64_t high, mn_error *err);

#endif
