#include "grammar/json_digits.h"

#include "base/checked.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MAX_STATES = 1 << 15, N_SLOTS = 2 * MAX_STATES };
static const int64_t max_modulus = 1000000000;

/* ---- decimals ---- */

int64_t mn_power_of_ten(int digits) {
    int64_t out = 1;
    while (digits-- > 0) out *= 10;
    return out;
}

int64_t mn_gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

mn_decimal mn_decimal_of_integer(int64_t x) {
    mn_decimal out = {x, 0};
    for (; out.m && out.m % 10 == 0; out.e++) out.m /= 10;
    return out;
}

bool mn_decimal_of(double x, mn_decimal *out) {
    char text[40];
    if (!isfinite(x) || (x != 0 && (fabs(x) > 1e300 || fabs(x) < 1e-300))) return false;
    snprintf(text, sizeof text, "%.14e", x);
    if (strtod(text, NULL) != x) snprintf(text, sizeof text, "%.16e", x);
    char *exponent = strchr(text, 'e');
    const char *point = strchr(text, '.');
    int64_t m = 0;
    for (const char *p = text + (*text == '-'); p < exponent; p++)
        if (*p != '.') m = m * 10 + (*p - '0');
    *out = mn_decimal_of_integer(*text == '-' ? -m : m);
    out->e += (int)strtol(exponent + 1, NULL, 10) - (int)(exponent - point - 1);
    if (!m) out->e = 0;
    return true;
}

int64_t mn_decimal_scaled(mn_decimal x, int places, bool up, bool *exact) {
    const int64_t most = mn_power_of_ten(MN_DIGITS_MOST);
    int e = x.e + places;
    *exact = true;
    if (x.m == 0) return 0;
    for (; e > 0 && x.m < most && x.m > -most; e--) {
        if (x.m > most / 10 || x.m < -most / 10) return x.m > 0 ? most : -most;
        x.m *= 10;
    }
    bool negative = x.m < 0;
    for (; e < 0 && x.m; e++) {
        *exact = *exact && x.m % 10 == 0;
        x.m /= 10; /* towards 0 */
    }
    if (!*exact) x.m += up && !negative ? 1 : !up && negative ? -1 : 0;
    return MN_MAX(MN_MIN(x.m, most), -most);
}

/* ---- remainders ---- */

struct mn_digits_memory {
    int64_t modulus;                     /* a multiple of all divisors */
    int64_t classes[MN_DIGITS_MOST + 1]; /* with so many digits to come, remainders that differ by this are alike */
    uint64_t *keys;                      /* [N_SLOTS] of states away from the bounds: digits to come, remainder; + 1 */
    int32_t *states;
    int n_states;
    bool full;
    char low[MN_DIGITS_MOST + 1], high[MN_DIGITS_MOST + 1]; /* of the numbers under way, with n_digits digits */
    int n_digits;
};

mn_status mn_digits_begin(mn_digits *d, mn_error *err) {
    struct mn_digits_memory *m = d->memory = calloc(1, sizeof *m);
    if (m) m->keys = calloc(N_SLOTS, sizeof *m->keys);
    if (m) m->states = malloc(N_SLOTS * sizeof *m->states);
    if (!m || !m->keys || !m->states) return mn_fail(err, MN_ERR_MEMORY, "there is no memory for its numbers");
    m->modulus = 1;
    for (int i = 0; i < d->n_rules; i++) {
        int64_t more = d->rules[i].divisor / mn_gcd(d->rules[i].divisor, m->modulus);
        if (more > max_modulus / m->modulus)
            return mn_fail(err, MN_ERR_LIMIT, "its numbers have no common multiple up to %lld", (long long)max_modulus);
        m->modulus *= more;
    }
    for (int i = 0; i <= MN_DIGITS_MOST; i++) m->classes[i] = m->modulus / mn_gcd(m->modulus, mn_power_of_ten(i));
    return MN_OK;
}

void mn_digits_end(mn_digits *d) {
    if (!d->memory) return;
    free(d->memory->keys);
    free(d->memory->states);
    free(d->memory);
    d->memory = NULL;
}

/* The remainder of a number whose missing digits are all 0. */
static int64_t with_zeros(const struct mn_digits_memory *m, int64_t remainder, int left) {
    for (; left > 0; left--) remainder = remainder * 10 % m->modulus;
    return remainder % m->modulus;
}

static bool may_end(const mn_digits *d, int64_t remainder, int left) {
    int64_t n = with_zeros(d->memory, remainder, left);
    for (int i = 0; i < d->n_rules; i++)
        if ((n % d->rules[i].divisor == 0) != d->rules[i].multiple) return false;
    return true;
}

/* Whether some digits make it a multiple of each divisor that asks for one, each taken alone. */
static bool can_end(const mn_digits *d, int64_t remainder, int left) {
    int64_t n = with_zeros(d->memory, remainder, left), range = mn_power_of_ten(left);
    for (int i = 0; i < d->n_rules; i++) {
        int64_t rest = n % d->rules[i].divisor;
        if (d->rules[i].multiple && rest && range - 1 < d->rules[i].divisor - rest) return false;
    }
    return true;
}

/* ---- states ---- */

/* Where digits stand: so many are to come, all before were those of a bound. */
typedef struct position {
    int left;
    bool at_low, at_high;
    int64_t remainder;
} position;

static void put_digits(mn_digits *d, int32_t from, position p, char least);

static bool only_zeros(const char *digits) { return digits[strspn(digits, "0")] == 0; }

/* What may come at a state: the end, a point, digits. */
static void fill(mn_digits *d, int32_t state, position p) {
    const struct mn_digits_memory *m = d->memory;
    bool zeros_fit = !p.at_low || only_zeros(m->low + m->n_digits - p.left);
    if (p.left <= d->places && zeros_fit && may_end(d, p.remainder, p.left)) mn_grammar_nothing(d->g, state, d->to);
    if (p.left == d->places && p.left > 0) state = mn_grammar_text(d->g, state, ".", 1);
    if (p.left > 0) put_digits(d, state, p, '0');
}

static int32_t state_of(mn_digits *d, position p) {
    struct mn_digits_memory *m = d->memory;
    bool is_free = !p.at_low && !p.at_high;
    uint64_t key = ((uint64_t)p.remainder << 8 | (uint64_t)p.left) + 1;
    size_t at = (size_t)XXH3_64bits(&key, sizeof key) % N_SLOTS;
    while (is_free && m->keys[at] && m->keys[at] != key) at = (at + 1) % N_SLOTS;
    if (is_free && m->keys[at]) return m->states[at];
    int32_t state = mn_grammar_state(d->g);
    if (++m->n_states >= MAX_STATES) m->full = true;
    if (is_free) {
        m->keys[at] = key;
        m->states[at] = state;
    }
    if (!m->full) fill(d, state, p);
    return state;
}

static void put_digits(mn_digits *d, int32_t from, position p, char least) {
    const struct mn_digits_memory *m = d->memory;
    int at = m->n_digits - p.left;
    char first = p.at_low ? m->low[at] : least, end = p.at_high ? m->high[at] : '9', begin = first;
    int32_t last = -1;
    for (char digit = first; digit <= end + 1; digit++) {
        position next = {p.left - 1, p.at_low && digit == m->low[at], p.at_high && digit == m->high[at], 0};
        int32_t to = -1;
        if (digit <= end) {
            next.remainder = (p.remainder * 10 + (digit - '0')) % m->classes[next.left];
            if (can_end(d, next.remainder, next.left)) to = state_of(d, next);
            if (to == last) continue;
        }
        if (last >= 0) mn_grammar_symbols(d->g, from, (uint8_t)begin, (uint8_t)(digit - 1), last);
        last = to;
        begin = digit;
    }
}

/* The digits of a number, with zeros before it. */
static void spell(int64_t number, int n_digits, char *out) {
    out[n_digits] = 0;
    for (int i = n_digits - 1; i >= 0; i--, number /= 10) out[i] = (char)('0' + number % 10);
}

/* 0 <= low. */
static void put_positive(mn_digits *d, int32_t from, int64_t low, int64_t high) {
    struct mn_digits_memory *m = d->memory;
    for (int whole = 1; whole + d->places <= MN_DIGITS_MOST; whole++) {
        int64_t least = whole == 1 ? 0 : mn_power_of_ten(whole - 1 + d->places);
        int64_t most = mn_power_of_ten(whole + d->places) - 1;
        if (low > most || high < least) continue;
        m->n_digits = whole + d->places;
        spell(MN_MAX(low, least), m->n_digits, m->low);
        spell(MN_MIN(high, most), m->n_digits, m->high);
        put_digits(d, from, (position){m->n_digits, low > least, high < most, 0}, whole == 1 ? '0' : '1');
    }
}

mn_status mn_digits_put(mn_digits *d, int32_t from, int64_t low, int64_t high, mn_error *err) {
    if (high >= 0) put_positive(d, from, MN_MAX(low, 0), high);
    if (low < 0) put_positive(d, mn_grammar_text(d->g, from, "-", 1), MN_MAX(-high, 1), -low);
    if (d->memory->full) return mn_fail(err, MN_ERR_LIMIT, "its remainders take more than %d states", (int)MAX_STATES);
    return MN_OK;
}
