/* From bytes with roles to tokens with roles. */
#include "train/dataset.h"

#include <stdlib.h>
#include <string.h>

static mn_status tokenize(const mn_tokenizer *t, const mn_document_draft *d, int32_t **ids, size_t **token_ends,
                          size_t *n, mn_error *err) {
    const mn_text_range all = {0, d->text.bytes};
    if (d->text.failed) return mn_fail(err, MN_ERR_MEMORY, "no memory for a training document.");
    return mn_tokenize_marked(t, d->text.data, d->text.bytes, d->plain ? d->plain : &all, d->plain ? d->n_plain : 1,
                              ids, token_ends, n, err);
}

/* A token has the role of its last byte. */
static void assign_roles(const mn_document_draft *d, const size_t *token_ends, size_t n, uint8_t *roles) {
    int run = 0;
    for (size_t i = 0; i < n; i++) {
        while (run < d->n_runs - 1 && d->runs[run].end < token_ends[i]) run++;
        roles[i] = (uint8_t)d->runs[run].role;
    }
}

mn_status mn_draft_tokenize(const mn_tokenizer *t, const mn_document_draft *d, bool begins, bool ends, int32_t **ids,
                            uint8_t **roles, size_t *n, mn_error *err) {
    const mn_special_tokens *special = mn_tokenizer_specials(t);
    int32_t *text = NULL;
    size_t *token_ends = NULL;
    size_t n_text = 0, before = begins && !d->plain && special->add_bos && special->bos >= 0;
    size_t behind = ends && !d->plain && special->eos >= 0;
    *ids = NULL;
    *roles = NULL;
    if (d->text.bytes) MN_TRY(tokenize(t, d, &text, &token_ends, &n_text, err));
    *n = before + n_text + behind;
    *ids = malloc((*n + 1) * sizeof **ids);
    *roles = malloc(*n + 1);
    if (!*ids || !*roles) {
        free(text);
        free(token_ends);
        return mn_fail(err, MN_ERR_MEMORY, "no memory for a training document of %zu tokens.", *n);
    }
    if (n_text) {
        memcpy(*ids + before, text, n_text * sizeof *text);
        assign_roles(d, token_ends, n_text, *roles + before);
    }
    free(text);
    free(token_ends);
    if (before) {
        (*ids)[0] = special->bos;
        (*roles)[0] = MN_ROLE_QUESTION; /* given: never a target that counts */
    }
    if (behind) {
        (*ids)[*n - 1] = special->eos;
        (*roles)[*n - 1] = n_text ? (*roles)[*n - 2] : MN_ROLE_TEXT;
    }
    return MN_OK;
}
