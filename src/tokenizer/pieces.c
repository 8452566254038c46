#include "tokenizer/pieces.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static mn_status no_memory(mn_error *err) {
    return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the vocabulary.");
}

/* The slot of this string, or the free slot where it belongs. */
static mn_piece_slot *probe(const mn_pieces *p, const char *text, size_t bytes, uint32_t hash) {
    for (size_t i = hash & (p->n_slots - 1);; i = (i + 1) & (p->n_slots - 1)) {
        mn_piece_slot *slot = &p->slots[i];
        if (!slot->number_plus_one) return slot;
        if (slot->hash == hash && slot->bytes == bytes && !memcmp(p->text.data + slot->begin, text, bytes)) return slot;
    }
}

static mn_status grow(mn_pieces *p, mn_error *err) {
    mn_pieces grown = *p;
    grown.n_slots = p->n_slots ? 2 * p->n_slots : 64;
    grown.slots = calloc(grown.n_slots, sizeof *grown.slots);
    if (!grown.slots) return no_memory(err);
    for (size_t i = 0; i < p->n_slots; i++) {
        const mn_piece_slot *s = &p->slots[i];
        if (s->number_plus_one) *probe(&grown, p->text.data + s->begin, s->bytes, s->hash) = *s;
    }
    free(p->slots);
    *p = grown;
    return MN_OK;
}

mn_status mn_pieces_number(mn_pieces *p, const char *text, size_t bytes, int32_t *out, mn_error *err) {
    if (bytes > UINT32_MAX || p->n == INT32_MAX - 1)
        return mn_fail(err, MN_ERR_LIMIT, "The vocabulary has more than %d pieces.", p->n);
    if ((size_t)p->n * 2 >= p->n_slots) MN_TRY(grow(p, err));
    uint32_t hash = (uint32_t)XXH3_64bits(text, bytes);
    mn_piece_slot *slot = probe(p, text, bytes, hash);
    if (!slot->number_plus_one) {
        *slot = (mn_piece_slot){p->text.bytes, (uint32_t)bytes, hash, ++p->n};
        mn_strbuf_put(&p->text, text, bytes);
        if (p->text.failed) return no_memory(err);
    }
    *out = slot->number_plus_one - 1;
    return MN_OK;
}

void mn_pieces_release(mn_pieces *p) {
    mn_strbuf_release(&p->text);
    free(p->slots);
    *p = (mn_pieces){.text = MN_STRBUF_INIT};
}
