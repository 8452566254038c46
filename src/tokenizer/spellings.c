#include "tokenizer/spellings.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b, void *arg) {
    const mn_vocab *v = arg;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    size_t x_bytes, y_bytes;
    const char *p = mn_vocab_piece(v, x, &x_bytes), *q = mn_vocab_piece(v, y, &y_bytes);
    int order = memcmp(p, q, MN_MIN(x_bytes, y_bytes));
    if (order) return order;
    if (x_bytes != y_bytes) return x_bytes < y_bytes ? -1 : 1;
    return x < y ? -1 : x > y;
}

mn_status mn_spellings_create(const mn_vocab *v, unsigned type_bits, mn_spellings *out, mn_error *err) {
    *out = (mn_spellings){0};
    int32_t n = 0;
    for (int32_t i = 0; i < v->n_tokens; i++) n += type_bits >> v->types[i] & 1;
    out->ids = malloc(((size_t)n + 1) * sizeof *out->ids);
    if (!out->ids) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the vocabulary.");
    for (int32_t i = 0; i < v->n_tokens; i++) {
        size_t bytes;
        const char *piece = mn_vocab_piece(v, i, &bytes);
        if (!(type_bits >> v->types[i] & 1) || !bytes) continue;
        out->ids[out->n++] = i;
        out->starts[(unsigned char)*piece] = true;
    }
    qsort_r(out->ids, (size_t)out->n, sizeof *out->ids, compare, (void *)v);
    return MN_OK;
}

void mn_spellings_release(mn_spellings *s) {
    free(s->ids);
    *s = (mn_spellings){0};
}

/* Byte `at` of the i-th spelling, -1 beyond its end. */
static int byte_at(const mn_spellings *s, const mn_vocab *v, int32_t i, size_t at) {
    size_t bytes;
    const char *piece = mn_vocab_piece(v, s->ids[i], &bytes);
    return at < bytes ? (unsigned char)piece[at] : -1;
}

/* The first in [begin, end), which agree in their first `at` bytes, whose next byte is not less than `byte`. */
static int32_t lower_bound(const mn_spellings *s, const mn_vocab *v, int32_t begin, int32_t end, size_t at, int byte) {
    while (begin < end) {
        int32_t middle = begin + (end - begin) / 2;
        if (byte_at(s, v, middle, at) < byte)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

int32_t mn_spellings_match(const mn_spellings *s, const mn_vocab *v, const char *text, size_t bytes) {
    if (!s->starts[(unsigned char)*text]) return -1;
    int32_t best = -1, begin = 0, end = s->n;
    for (size_t at = 0; at < bytes; at++) {
        int byte = (unsigned char)text[at];
        begin = lower_bound(s, v, begin, end, at, byte);
        end = lower_bound(s, v, begin, end, at, byte + 1);
        if (begin == end) break;
        /* Those that end here come first; of several spelled alike the last one counts. */
        if (byte_at(s, v, begin, at + 1) < 0) best = s->ids[lower_bound(s, v, begin, end, at + 1, 0) - 1];
    }
    return best;
}
