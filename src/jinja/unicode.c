#include "jinja/unicode.h"

#include <utf8proc.h>

typedef struct range {
    uint32_t first, last;
} range;

/* Whether c is in one of n ranges, which ascend. */
static bool is_in(const range *ranges, size_t n, uint32_t c) {
    size_t begin = 0, end = n;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (c > ranges[middle].last)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin < n && ranges[begin].first <= c;
}

#define IS_IN(ranges, c) is_in(ranges, sizeof(ranges) / sizeof *(ranges), c)

static utf8proc_category_t category(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c); }

static bool has_category(uint32_t c, uint32_t categories) { return categories >> category(c) & 1; }

#define BIT(name) (1u << UTF8PROC_CATEGORY_##name)
#define LETTERS (BIT(LU) | BIT(LL) | BIT(LT) | BIT(LM) | BIT(LO))

bool mn_jinja_is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool mn_jinja_is_line_break(uint32_t c) {
    return (c >= '\n' && c <= '\r') || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool mn_jinja_is_lower(uint32_t c) { return utf8proc_islower((utf8proc_int32_t)c); }
bool mn_jinja_is_upper(uint32_t c) { return utf8proc_isupper((utf8proc_int32_t)c); }
bool mn_jinja_is_title(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }
bool mn_jinja_is_cased(uint32_t c) { return mn_jinja_is_lower(c) || mn_jinja_is_upper(c) || mn_jinja_is_title(c); }
bool mn_jinja_is_alpha(uint32_t c) { return has_category(c, LETTERS); }
bool mn_jinja_is_decimal(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

/* Word_Break MidLetter, MidNumLet and Single_Quote, beside whole categories. */
bool mn_jinja_is_case_ignorable(uint32_t c) {
    static const range marks[] = {{0x27, 0x27},     {0x2e, 0x2e},     {0x3a, 0x3a},     {0xb7, 0xb7},
                                  {0x387, 0x387},   {0x55f, 0x55f},   {0x5f4, 0x5f4},   {0x2018, 0x2019},
                                  {0x2024, 0x2024}, {0x2027, 0x2027}, {0xfe13, 0xfe13}, {0xfe52, 0xfe52},
                                  {0xfe55, 0xfe55}, {0xff07, 0xff07}, {0xff0e, 0xff0e}, {0xff1a, 0xff1a}};
    return has_category(c, BIT(MN) | BIT(ME) | BIT(CF) | BIT(LM) | BIT(SK)) || IS_IN(marks, c);
}

/* Unicode's Numeric_Type=Digit without the decimal digits. */
bool mn_jinja_is_digit(uint32_t c) {
    static const range digits[] = {{0xb2, 0xb3},       {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},
                                   {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
                                   {0x2474, 0x247c},   {0x2488, 0x2490},   {0x24ea, 0x24ea},   {0x24f5, 0x24fd},
                                   {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},   {0x278a, 0x2792},
                                   {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}};
    return mn_jinja_is_decimal(c) || IS_IN(digits, c);
}

/* Beside the categories of numbers: ideographs that are numerals (Unihan). */
bool mn_jinja_is_numeric(uint32_t c) {
    static const range ideographs[] = {
        {0x3405, 0x3405},   {0x3483, 0x3483},   {0x382a, 0x382a},   {0x3b4d, 0x3b4d},   {0x4e00, 0x4e00},
        {0x4e03, 0x4e03},   {0x4e07, 0x4e07},   {0x4e09, 0x4e09},   {0x4e5d, 0x4e5d},   {0x4e8c, 0x4e8c},
        {0x4e94, 0x4e94},   {0x4e96, 0x4e96},   {0x4ebf, 0x4ec0},   {0x4edf, 0x4edf},   {0x4ee8, 0x4ee8},
        {0x4f0d, 0x4f0d},   {0x4f70, 0x4f70},   {0x5104, 0x5104},   {0x5146, 0x5146},   {0x5169, 0x5169},
        {0x516b, 0x516b},   {0x516d, 0x516d},   {0x5341, 0x5341},   {0x5343, 0x5345},   {0x534c, 0x534c},
        {0x53c1, 0x53c4},   {0x56db, 0x56db},   {0x58f1, 0x58f1},   {0x58f9, 0x58f9},   {0x5e7a, 0x5e7a},
        {0x5efe, 0x5eff},   {0x5f0c, 0x5f0e},   {0x5f10, 0x5f10},   {0x62fe, 0x62fe},   {0x634c, 0x634c},
        {0x67d2, 0x67d2},   {0x6f06, 0x6f06},   {0x7396, 0x7396},   {0x767e, 0x767e},   {0x8086, 0x8086},
        {0x842c, 0x842c},   {0x8cae, 0x8cae},   {0x8cb3, 0x8cb3},   {0x8d30, 0x8d30},   {0x9621, 0x9621},
        {0x9646, 0x9646},   {0x964c, 0x964c},   {0x9678, 0x9678},   {0x96f6, 0x96f6},   {0xf96b, 0xf96b},
        {0xf973, 0xf973},   {0xf978, 0xf978},   {0xf9b2, 0xf9b2},   {0xf9d1, 0xf9d1},   {0xf9d3, 0xf9d3},
        {0xf9fd, 0xf9fd},   {0x20001, 0x20001}, {0x20064, 0x20064}, {0x200e2, 0x200e2}, {0x20121, 0x20121},
        {0x2092a, 0x2092a}, {0x20983, 0x20983}, {0x2098c, 0x2098c}, {0x2099c, 0x2099c}, {0x20aea, 0x20aea},
        {0x20afd, 0x20afd}, {0x20b19, 0x20b19}, {0x22390, 0x22390}, {0x22998, 0x22998}, {0x23b1b, 0x23b1b},
        {0x2626d, 0x2626d}, {0x2f890, 0x2f890}};
    return has_category(c, BIT(ND) | BIT(NL) | BIT(NO)) || IS_IN(ideographs, c);
}

bool mn_jinja_is_word(uint32_t c) { return c == '_' || mn_jinja_is_alpha(c) || mn_jinja_is_numeric(c); }

bool mn_jinja_is_printable(uint32_t c) {
    return c == ' ' || !has_category(c, BIT(CN) | BIT(CC) | BIT(CF) | BIT(CS) | BIT(CO) | BIT(ZL) | BIT(ZP) | BIT(ZS));
}

bool mn_jinja_starts_identifier(uint32_t c) { return c == '_' || has_category(c, LETTERS | BIT(NL)); }

/* Decimal digits lie in runs of ten, several runs side by side where there are more. */
int mn_jinja_decimal_value(uint32_t c) {
    uint32_t first = c;
    while (first > 0 && c - first < 50 && mn_jinja_is_decimal(first - 1)) first--;
    return (int)((c - first) % 10);
}

size_t mn_jinja_fold_case(uint32_t c, uint32_t out[JINJA_MAX_CASE_CHARS]) {
    utf8proc_int32_t folded[8];
    int boundary = 0;
    out[0] = c;
    if (c > 0x10ffff) return 1;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, folded, 8, UTF8PROC_CASEFOLD, &boundary);
    if (n < 1 || n > JINJA_MAX_CASE_CHARS) return 1;
    for (utf8proc_ssize_t i = 0; i < n; i++) out[i] = (uint32_t)folded[i];
    return (size_t)n;
}

/* Whether c has no upper case of one character, but one of several: those of its case folding in upper case. */
static bool expands(uint32_t c, uint32_t out[JINJA_MAX_CASE_CHARS], size_t *n) {
    return !has_category(c, BIT(LU)) && (*n = mn_jinja_fold_case(c, out)) > 1;
}

size_t mn_jinja_to_upper(uint32_t c, uint32_t out[JINJA_MAX_CASE_CHARS]) {
    size_t n;
    if (!expands(c, out, &n)) {
        out[0] = (uint32_t)utf8proc_toupper((utf8proc_int32_t)c);
        return 1;
    }
    for (size_t i = 0; i < n; i++) out[i] = (uint32_t)utf8proc_toupper((utf8proc_int32_t)out[i]);
    return n;
}

size_t mn_jinja_to_lower(uint32_t c, uint32_t out[JINJA_MAX_CASE_CHARS]) {
    if (c == 0x130) return mn_jinja_fold_case(c, out); /* I with a dot: i and the dot */
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    return 1;
}

/* Of several characters the first that can is in title case; iota at the end goes below the vowel before it. */
size_t mn_jinja_to_title(uint32_t c, uint32_t out[JINJA_MAX_CASE_CHARS]) {
    uint32_t title = (uint32_t)utf8proc_totitle((utf8proc_int32_t)c);
    size_t n;
    if (c == 0xdf) title = c; /* not the capital sharp s */
    if (title != c || mn_jinja_is_title(c) || !expands(c, out, &n)) {
        out[0] = title;
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        title = (uint32_t)utf8proc_totitle((utf8proc_int32_t)out[i]);
        if (title == out[i]) continue;
        out[i] = title;
        break;
    }
    if (out[n - 1] == 0x3b9) out[n - 1] = 0x345;
    return n;
}

size_t mn_jinja_encode(uint32_t c, char out[4]) {
    if (c > 0x10ffff) c = 0xfffd;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xff) | c);
    return n;
}
