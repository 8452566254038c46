#include "train/haystack.h"

#include "base/checked.h"

#include <string.h>

/* Whether a sentence, or a line, ends just before text[at]. */
static bool is_gap(const char *text, size_t at) {
    if (at == 0) return true;
    char c = text[at - 1];
    if (c == '\n') return true;
    if (c != ' ' || at < 2) return false;
    size_t end = at - 2;
    if (end > 0 && (text[end] == '"' || text[end] == ')')) end--;
    return text[end] == '.' || text[end] == '!' || text[end] == '?';
}

static size_t next_gap(const char *text, size_t bytes, size_t at) {
    while (at < bytes && !is_gap(text, at)) at++;
    return at;
}

/* Length without the bytes of a UTF-8 character that the end cuts. */
static size_t whole_characters(const char *text, size_t bytes) {
    size_t lead = bytes;
    while (lead > 0 && bytes - lead < 3 && (text[lead - 1] & 0xc0) == 0x80) lead--;
    if (lead == 0) return bytes;
    unsigned char c = (unsigned char)text[lead - 1];
    size_t wanted = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return bytes - (lead - 1) < wanted ? lead - 1 : bytes;
}

/* Length up to the last sentence's end in the last fifth, else all. */
static size_t whole_sentences(const char *text, size_t bytes) {
    for (size_t at = bytes; at > bytes - bytes / 5; at--)
        if (is_gap(text, at)) return at;
    return whole_characters(text, bytes);
}

/* The piece behind `*index` in its file, or the file's first one behind its last. */
static mn_corpus_piece next_piece(const mn_corpus *corpus, int file, int64_t *index) {
    const mn_corpus_file *f = &corpus->files[file];
    *index = *index + 1 < f->first_piece + f->n_pieces ? *index + 1 : f->first_piece;
    return mn_corpus_at(corpus, *index);
}

void mn_haystack_prose(mn_random *rng, const mn_corpus *corpus, size_t bytes, mn_strbuf *out) {
    int64_t index = (int64_t)(mn_random_u64(rng) % (uint64_t)corpus->n_pieces);
    mn_corpus_piece p = mn_corpus_at(corpus, index);
    size_t at = p.bytes > 1 ? next_gap(p.text, p.bytes, mn_random_u64(rng) % (p.bytes / 2 + 1)) : 0;
    size_t begin = out->bytes, before = begin;
    while (out->bytes - begin < bytes && !out->failed) {
        mn_strbuf_put(out, p.text + at, MN_MIN(p.bytes - at, bytes - (out->bytes - begin)));
        at = 0;
        p = next_piece(corpus, p.file, &index);
        if (index == corpus->files[p.file].first_piece && out->bytes == before) break; /* a file of nothing */
        before = out->bytes;
    }
    if (!out->failed) out->bytes = begin + whole_sentences(out->data + begin, out->bytes - begin);
}

void mn_haystack_filler(size_t bytes, mn_strbuf *out) {
    static const char filler[] = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back "
                                 "again. ";
    for (size_t done = 0; done < bytes; done += sizeof filler - 1)
        mn_strbuf_put(out, filler, MN_MIN(sizeof filler - 1, bytes - done));
}

size_t mn_haystack_gaps(const char *text, size_t bytes, size_t *gaps, size_t max) {
    size_t n_all = 0, n = 0, i = 0;
    for (size_t at = 0; at < bytes; at++) n_all += is_gap(text, at);
    n_all++; /* the end */
    size_t wanted = MN_MIN(n_all, max);
    for (size_t at = 0; at <= bytes && n < wanted; at++) {
        if (at < bytes && !is_gap(text, at)) continue;
        if (i++ * (wanted - 1) >= n * (n_all - 1)) gaps[n++] = at; /* every (n_all / wanted)-th, both ends among them */
    }
    return n;
}
