#include "eval/haystacks.h"

#include "base/checked.h"
#include "train/haystack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_POINTS = 40, SENTENCE_BYTES = 120 };

mn_word mn_draw_uuid(mn_random *rng) {
    uint64_t high = mn_random_u64(rng), low = mn_random_u64(rng);
    mn_word w;
    snprintf(w.text, sizeof w.text, "%08x-%04x-4%03x-%x%03x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xfff), (unsigned)(8 + (low >> 62)),
             (unsigned)(low >> 48 & 0xfff), (unsigned long long)(low & 0xffffffffffff));
    return w;
}

mn_word mn_draw_pair(mn_random *rng, const mn_corpus *corpus) {
    mn_word a = mn_draw_word(rng, corpus, MN_WORDS_EVAL), b = mn_draw_word(rng, corpus, MN_WORDS_EVAL), pair;
    snprintf(pair.text, sizeof pair.text, "%.20s-%.20s", a.text, b.text);
    return pair;
}

mn_word mn_draw_capitals(mn_random *rng, int n) {
    mn_word w = {""};
    for (int i = 0; i < n; i++) w.text[i] = (char)('A' + mn_random_below(rng, 26));
    w.text[n] = 0;
    return w;
}

/* Appends prose until there are enough sentences. */
static size_t gather_prose(mn_random *rng, const mn_corpus *corpus, int64_t units, mn_strbuf *out) {
    size_t wanted = (size_t)units * SENTENCE_BYTES, before;
    do {
        before = out->bytes;
        mn_haystack_prose(rng, corpus, wanted, out);
        if (out->bytes > before && out->data[out->bytes - 1] != '\n') mn_strbuf_putc(out, ' ');
    } while (!out->failed && out->bytes < wanted && out->bytes > before);
    return out->bytes;
}

void mn_essay(mn_random *rng, const mn_corpus *corpus, int64_t units, mn_strbuf *out, size_t **ends, int64_t *n_ends) {
    size_t most = (size_t)units + 1;
    int64_t n = 0;
    *ends = malloc((most + 1) * sizeof **ends);
    *n_ends = 0;
    if (!*ends) {
        out->failed = true;
        return;
    }
    /* The place is drawn once, so that more units are the same text going on. */
    mn_random again = *rng;
    size_t bytes = gather_prose(&again, corpus, units, out);
    mn_random_u64(rng);
    for (size_t at = 1; at <= bytes && n < units && !out->failed; at++) {
        bool end = at == bytes || (out->data[at - 1] == '\n') ||
                   (out->data[at - 1] == ' ' && at > 1 && strchr(".!?", out->data[at - 2]) && out->data[at - 2]);
        if (end && (n == 0 || at > (*ends)[n - 1])) (*ends)[n++] = at;
    }
    if (n > 0 && !out->failed) {
        out->bytes = (*ends)[n - 1];
        out->data[out->bytes] = 0;
    }
    *n_ends = n;
}

void mn_put_needles(mn_strbuf *out, const char *haystack, const size_t *ends, int64_t n_ends, const int64_t *at,
                    const char *const *needles, int n_needles) {
    size_t done = 0;
    for (int i = 0; i < n_needles; i++) {
        size_t end = at[i] > 0 ? ends[MN_MIN(at[i], n_ends) - 1] : 0;
        mn_strbuf_put(out, haystack + done, end - done);
        done = end;
        mn_strbuf_puts(out, needles[i]);
    }
    if (n_ends > 0) mn_strbuf_put(out, haystack + done, ends[n_ends - 1] - done);
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

void mn_draw_places(mn_random *rng, int64_t n_parts, double depth, int64_t *at, int n) {
    bool used[DEPTH_POINTS] = {false};
    if (n == 1 && depth >= 0) {
        at[0] = (int64_t)(depth * (double)n_parts + 0.5);
        return;
    }
    for (int i = 0; i < n; i++) {
        uint32_t point;
        do point = mn_random_below(rng, DEPTH_POINTS);
        while (i < DEPTH_POINTS && used[point]);
        used[point] = true;
        at[i] = (int64_t)((double)point / (DEPTH_POINTS - 1) * (double)n_parts + 0.5);
    }
    qsort(at, (size_t)n, sizeof *at, ascending);
}
