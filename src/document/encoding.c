#include "document/encoding.h"

#include "base/checked.h"

#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <utf8proc.h>

enum { SAMPLE_BYTES = 1 << 16, REPLACEMENT = 0xfffd, INVALID = -1, MIN_HIGH_BYTES = 16, LONG_RUN = 4 };

/* ---- one character ---- */

/* The character at p, INVALID where the bytes stand for none; *used is how many they are. n >= 1. */
typedef int32_t next_fn(const unsigned char *p, size_t n, size_t *used);

static int32_t next_utf8(const unsigned char *p, size_t n, size_t *used) {
    int32_t c;
    utf8proc_ssize_t k = utf8proc_iterate(p, (utf8proc_ssize_t)MN_MIN(n, (size_t)4), &c);
    *used = k > 0 ? (size_t)k : 1;
    return k > 0 ? c : INVALID;
}

static int32_t next_utf16(const unsigned char *p, size_t n, size_t *used, int high) {
    *used = MN_MIN(n, (size_t)2);
    if (n < 2) return INVALID;
    int32_t c = p[high] << 8 | p[!high];
    if (c < 0xd800 || c > 0xdfff) return c;
    if (c > 0xdbff || n < 4) return INVALID;
    int32_t low = p[2 + high] << 8 | p[2 + !high];
    if (low < 0xdc00 || low > 0xdfff) return INVALID;
    *used = 4;
    return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

static int32_t next_utf16le(const unsigned char *p, size_t n, size_t *used) { return next_utf16(p, n, used, 1); }
static int32_t next_utf16be(const unsigned char *p, size_t n, size_t *used) { return next_utf16(p, n, used, 0); }

static int32_t check_utf32(uint32_t c) { return c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? (int32_t)c : INVALID; }

static int32_t next_utf32le(const unsigned char *p, size_t n, size_t *used) {
    *used = MN_MIN(n, (size_t)4);
    return n < 4 ? INVALID : check_utf32((uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0]);
}

static int32_t next_utf32be(const unsigned char *p, size_t n, size_t *used) {
    *used = MN_MIN(n, (size_t)4);
    return n < 4 ? INVALID : check_utf32((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}

static int32_t next_windows_1252(const unsigned char *p, size_t n, size_t *used) {
    static const uint16_t from_80[32] = {
        0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
        0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178,
    };
    (void)n;
    *used = 1;
    if (*p < 0x80 || *p >= 0xa0) return *p;
    return from_80[*p - 0x80] ? from_80[*p - 0x80] : INVALID;
}

/* ---- which encoding ---- */

typedef struct encoding {
    const char *name, *mark;
    size_t mark_bytes;
    next_fn *next;
} encoding;

/* UTF-32's little-endian mark begins with UTF-16's. */
static const encoding encodings[] = {
    {"UTF-8", "\xef\xbb\xbf", 3, next_utf8},
    {"UTF-32 (little-endian)", "\xff\xfe\0\0", 4, next_utf32le},
    {"UTF-32 (big-endian)", "\0\0\xfe\xff", 4, next_utf32be},
    {"UTF-16 (little-endian)", "\xff\xfe", 2, next_utf16le},
    {"UTF-16 (big-endian)", "\xfe\xff", 2, next_utf16be},
    {"Windows-1252 (Latin-1)", "", 0, next_windows_1252},
};
enum { UTF8, UTF32LE, UTF32BE, UTF16LE, UTF16BE, WINDOWS_1252 };

/* Counts of bytes, but n_valid: of characters beyond ASCII. */
typedef struct counts {
    size_t n, n_zero, n_control, n_letters, n_high, n_valid, n_invalid;
} counts;

static void count_ascii(counts *c, unsigned char byte) {
    c->n_zero += byte == 0;
    c->n_control += (byte < 32 && byte != 0 && !(byte >= '\b' && byte <= '\r') && byte != 27) || byte == 127;
    c->n_letters += (byte | 32) >= 'a' && (byte | 32) <= 'z';
}

static counts count(const unsigned char *p, size_t n) {
    counts c = {.n = n};
    for (size_t i = 0, used; i < n; i += used) {
        used = 1;
        if (p[i] < 0x80) {
            count_ascii(&c, p[i]);
        } else if (next_utf8(p + i, n - i, &used) != INVALID) {
            c.n_valid++;
        } else {
            c.n_invalid++;
        }
        c.n_high += p[i] < 0x80 ? 0 : used;
    }
    return c;
}

static bool is_odd(int32_t c) {
    if (c == '\t' || c == '\n' || c == '\r' || c == '\f') return false;
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_CN || category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CO;
}

/* How many characters of a sample are ASCII; 0 where the bytes cannot be text in this encoding, which is so when one
 * stands for no character or more than a hundredth for none that is in use. */
static size_t score(const encoding *e, const unsigned char *p, size_t n) {
    size_t n_odd = 0, n_ascii = 0, n_all = 0;
    for (size_t i = 0, used; i + 4 <= MN_MIN(n, (size_t)SAMPLE_BYTES) || (n < 4 && i + 2 <= n); i += used) {
        int32_t c = e->next(p + i, n - i, &used);
        if (c == INVALID || c == 0) return 0;
        n_odd += is_odd(c);
        n_ascii += c < 0x80;
        n_all++;
    }
    return n_odd * 100 > n_all ? 0 : n_ascii;
}

static const encoding *by_mark(const unsigned char *p, size_t n) {
    for (size_t i = 0; i < WINDOWS_1252; i++) {
        const encoding *e = encodings + i;
        bool whole = (i != UTF32LE && i != UTF32BE) || n % 4 == 0;
        if (n >= e->mark_bytes && !memcmp(p, e->mark, e->mark_bytes) && whole) return e;
    }
    return NULL;
}

/* Zero bytes among bytes that are not plain text: the wide encoding in which they read best. */
static const encoding *by_zeros(const unsigned char *p, size_t n) {
    const encoding *best = NULL;
    size_t best_score = 0;
    for (size_t i = UTF32LE; i <= UTF16BE; i++) {
        size_t s = score(encodings + i, p, n);
        if (s <= best_score) continue;
        best_score = s;
        best = encodings + i;
    }
    return best;
}

static bool is_plain(const counts *c) {
    return c->n_invalid == 0 && c->n_zero * 10 <= c->n * 3 && c->n_control <= c->n / 50;
}

/* Words of Western European texts are mostly ASCII; where most letters are not, or most of those that are not stand in
 * a row, it is another alphabet. */
static bool is_western(const unsigned char *p, size_t n, const counts *c) {
    size_t n_accented = 0, n_in_runs = 0;
    for (size_t i = 0, run; i < n; i += run + 1) {
        for (run = 0; i + run < n && p[i + run] >= 0xc0;) run++;
        n_accented += run;
        n_in_runs += run >= LONG_RUN ? run : 0;
    }
    if (n_in_runs > n_accented / 2) return false;
    return c->n_high < MIN_HIGH_BYTES || c->n_high * 10 <= 4 * (c->n_high + c->n_letters);
}

static const encoding *find(const unsigned char *p, size_t n, const counts *c) {
    if (is_plain(c)) return encodings + UTF8;
    if (c->n_zero) return by_zeros(p, n);
    if (c->n_control > c->n / 50) return NULL;
    if (c->n_valid >= 4 * c->n_invalid) return encodings + UTF8;
    return is_western(p, n, c) ? encodings + WINDOWS_1252 : NULL;
}

static mn_status refuse(const mn_reading *r, const counts *c, mn_error *err) {
    if (c->n_zero || c->n_control > c->n / 50)
        return mn_fail(
            err, MN_ERR_UNSUPPORTED,
            "%s: is no text, and of no kind that is known here; convert it to text, PDF, docx or EPUB first.", r->name);
    return mn_fail(err, MN_ERR_UNSUPPORTED,
                   "%s: its encoding cannot be told from its bytes (it is neither Unicode nor Western European); "
                   "convert it first: iconv --from-code=ENCODING --to-code=UTF-8, where ENCODING is windows-1251, "
                   "koi8-r, shift_jis, gb18030, big5, ....",
                   r->name);
}

/* ---- converting ---- */

static void put_character(mn_strbuf *out, int32_t c) {
    unsigned char bytes[4];
    mn_strbuf_put(out, bytes, (size_t)utf8proc_encode_char(c, bytes));
}

/* Returns how many places stood for no character. */
static size_t convert(next_fn *next, const unsigned char *p, size_t n, mn_strbuf *out) {
    size_t n_bad = 0;
    for (size_t i = 0, used; i < n && !out->failed; i += used) {
        int32_t c = next(p + i, n - i, &used);
        n_bad += c == INVALID;
        put_character(out, c == INVALID ? REPLACEMENT : c);
    }
    return n_bad;
}

static void note_bad(mn_reading *r, const char *name, size_t n_bad) {
    if (n_bad) mn_reading_note(r, "%zu places are no %s; U+FFFD stands there", n_bad, name);
}

/* What web pages declare, and what iconv calls it: browsers take supersets. */
static const char *const charsets[][2] = {
    {"iso-8859-1", "WINDOWS-1252"},
    {"latin1", "WINDOWS-1252"},
    {"us-ascii", "WINDOWS-1252"},
    {"windows-1250", "WINDOWS-1250"},
    {"windows-1251", "WINDOWS-1251"},
    {"windows-1252", "WINDOWS-1252"},
    {"windows-1253", "WINDOWS-1253"},
    {"windows-1254", "WINDOWS-1254"},
    {"windows-1255", "WINDOWS-1255"},
    {"windows-1256", "WINDOWS-1256"},
    {"windows-1257", "WINDOWS-1257"},
    {"windows-1258", "WINDOWS-1258"},
    {"iso-8859-2", "ISO-8859-2"},
    {"iso-8859-3", "ISO-8859-3"},
    {"iso-8859-4", "ISO-8859-4"},
    {"iso-8859-5", "ISO-8859-5"},
    {"iso-8859-6", "ISO-8859-6"},
    {"iso-8859-7", "ISO-8859-7"},
    {"iso-8859-8", "ISO-8859-8"},
    {"iso-8859-9", "WINDOWS-1254"},
    {"iso-8859-10", "ISO-8859-10"},
    {"iso-8859-13", "ISO-8859-13"},
    {"iso-8859-14", "ISO-8859-14"},
    {"iso-8859-15", "ISO-8859-15"},
    {"iso-8859-16", "ISO-8859-16"},
    {"koi8-r", "KOI8-R"},
    {"koi8-u", "KOI8-U"},
    {"ibm866", "IBM866"},
    {"macintosh", "MACINTOSH"},
    {"windows-874", "CP874"},
    {"tis-620", "CP874"},
    {"shift_jis", "CP932"},
    {"shift-jis", "CP932"},
    {"euc-jp", "EUC-JP"},
    {"euc-kr", "UHC"},
    {"ks_c_5601-1987", "UHC"},
    {"gb2312", "GB18030"},
    {"gbk", "GB18030"},
    {"gb18030", "GB18030"},
    {"big5", "BIG5-HKSCS"},
};

/* A converter for a charset as a file spells it; false where it is not known. */
static bool open_charset(const char *charset, iconv_t *out) {
    for (size_t i = 0; charset && i < sizeof charsets / sizeof *charsets; i++)
        if (!strcasecmp(charset, charsets[i][0])) return (*out = iconv_open("UTF-8", charsets[i][1])) != (iconv_t)-1;
    return false;
}

static size_t convert_charset(iconv_t converter, const char *data, size_t bytes, mn_strbuf *out) {
    char chunk[4096], *from = (char *)data;
    size_t n_bad = 0;
    while (bytes > 0 && !out->failed) {
        char *to = chunk;
        size_t room = sizeof chunk, result = iconv(converter, &from, &bytes, &to, &room);
        int error = errno;
        mn_strbuf_put(out, chunk, (size_t)(to - chunk));
        if (result != (size_t)-1 || error == E2BIG) continue;
        n_bad++;
        put_character(out, REPLACEMENT);
        from++;
        bytes--;
    }
    return n_bad;
}

/* CR LF and CR become LF, zero bytes blanks. */
static void clean(mn_reading *r, mn_strbuf *out, size_t begin) {
    bool keep = r->options.verbatim;
    size_t n = begin, n_zero = 0;
    if (out->failed) return;
    for (size_t i = begin; i < out->bytes; i++) {
        char c = out->data[i];
        if (!keep && c == '\r' && i + 1 < out->bytes && out->data[i + 1] == '\n') continue;
        n_zero += c == 0;
        out->data[n++] = c == '\r' && !keep ? '\n' : c ? c : ' ';
    }
    out->bytes = n;
    if (out->capacity) out->data[n] = 0;
    if (n_zero)
        mn_reading_note(r, n_zero == 1 ? "%zu zero byte became a blank" : "%zu zero bytes became blanks", n_zero);
}

static void decode_with(mn_reading *r, const encoding *e, const unsigned char *p, size_t n, size_t n_bad_utf8,
                        mn_strbuf *out) {
    if (e->next == next_utf8 && n_bad_utf8 == 0) {
        mn_strbuf_put(out, p, n);
        return;
    }
    note_bad(r, e->name, convert(e->next, p, n, out));
    if (e->next != next_utf8) mn_reading_note(r, "converted from %s to UTF-8", e->name);
}

mn_status mn_document_decode(mn_reading *r, const char *data, size_t bytes, const char *charset, mn_strbuf *out,
                             mn_error *err) {
    const unsigned char *p = (const unsigned char *)data;
    const encoding *e = by_mark(p, bytes);
    size_t begin = out->bytes, mark_bytes = e ? e->mark_bytes : 0;
    counts c = count(p + mark_bytes, bytes - mark_bytes);
    iconv_t converter;
    if (!e && !is_plain(&c) && open_charset(charset, &converter)) {
        note_bad(r, charset, convert_charset(converter, data, bytes, out));
        iconv_close(converter);
        mn_reading_note(r, "converted from %s to UTF-8", charset);
    } else {
        if (!e) e = find(p, bytes, &c);
        if (!e) return refuse(r, &c, err);
        decode_with(r, e, p + mark_bytes, bytes - mark_bytes, c.n_invalid, out);
    }
    clean(r, out, begin);
    return MN_OK;
}
