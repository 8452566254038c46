#include "tokenizer/merge.h"

#include "base/checked.h"
#include "tokenizer/utf8.h"

#include <stdlib.h>

/* Makes room for n items; *capacity counts those there are. */
static bool reserve(void **items, size_t *capacity, size_t n, size_t item_bytes) {
    if (n <= *capacity) return true;
    size_t wanted = MN_MAX(n, *capacity * 2), bytes;
    if (!mn_mul_size(wanted, item_bytes, &bytes)) return false;
    void *grown = realloc(*items, bytes);
    if (!grown) return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

static void sift_up(mn_merge_pair *heap, size_t i) {
    mn_merge_pair pair = heap[i];
    for (; i && pair.key < heap[(i - 1) / 2].key; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = pair;
}

static void sift_down(mn_merge_pair *heap, size_t n, size_t i) {
    mn_merge_pair pair = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1].key < heap[child].key) child++;
        if (pair.key <= heap[child].key) break;
        heap[i] = heap[child];
    }
    heap[i] = pair;
}

static mn_merge_pair pop(mn_merger *m) {
    mn_merge_pair top = m->heap[0];
    m->heap[0] = m->heap[--m->n_pairs];
    if (m->n_pairs) sift_down(m->heap, m->n_pairs, 0);
    return top;
}

/* Puts the pair of symbol `left` and its right neighbour into the heap if it may merge. Each merge takes one
 * pair out and puts at most two in, and there are fewer merges than symbols: 2 n_symbols pairs are the most. */
static void push(mn_merger *m, const mn_merge_rules *rules, const mn_vocab *vocab, const char *word, int32_t left) {
    if (left < 0 || m->symbols[left].next < 0) return;
    const mn_symbol *l = &m->symbols[left], *r = &m->symbols[l->next];
    int32_t id;
    uint32_t rank;
    if (!rules->find(rules->rules, vocab, word, l, r, &id, &rank)) return;
    m->heap[m->n_pairs] = (mn_merge_pair){(uint64_t)rank << 32 | (uint32_t)left, l->bytes + r->bytes, id};
    sift_up(m->heap, m->n_pairs++);
}

static void split(mn_merger *m, const mn_merge_rules *rules, const mn_vocab *vocab, const char *word, size_t bytes) {
    m->n_symbols = 0;
    for (size_t at = 0, n; at < bytes; at += n) {
        int32_t i = (int32_t)m->n_symbols++, ignored, id;
        n = rules->by_character ? mn_utf8_next(word + at, bytes - at, &ignored) : 1;
        id = rules->by_character ? mn_vocab_find(vocab, word + at, n) : vocab->byte_ids[(unsigned char)word[at]];
        m->symbols[i] = (mn_symbol){(uint32_t)at, (uint32_t)n, id, i - 1, at + n < bytes ? i + 1 : -1};
    }
}

mn_status mn_merge_word(mn_merger *m, const mn_merge_rules *rules, const mn_vocab *vocab, const char *word,
                        size_t bytes, mn_error *err) {
    if (!reserve((void **)&m->symbols, &m->symbol_capacity, bytes, sizeof *m->symbols))
        return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory to tokenise a word of %zu bytes.", bytes);
    split(m, rules, vocab, word, bytes);
    if (!reserve((void **)&m->heap, &m->pair_capacity, m->n_symbols * 2, sizeof *m->heap))
        return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory to tokenise a word of %zu bytes.", bytes);
    m->n_pairs = 0;
    for (size_t i = 0; i < m->n_symbols; i++) push(m, rules, vocab, word, (int32_t)i);
    while (m->n_pairs) {
        mn_merge_pair pair = pop(m);
        int32_t at = (int32_t)(uint32_t)pair.key;
        mn_symbol *left = &m->symbols[at];
        if (!left->bytes || left->next < 0) continue;
        mn_symbol *right = &m->symbols[left->next];
        if (left->bytes + right->bytes != pair.bytes) continue;
        left->bytes = pair.bytes;
        left->id = pair.id;
        left->next = right->next;
        right->bytes = 0;
        if (left->next >= 0) m->symbols[left->next].previous = at;
        push(m, rules, vocab, word, left->previous);
        push(m, rules, vocab, word, at);
    }
    return MN_OK;
}

void mn_merger_release(mn_merger *m) {
    free(m->symbols);
    free(m->heap);
    *m = (mn_merger){0};
}
