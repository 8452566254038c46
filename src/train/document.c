#include "train/document.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[MN_ROLE_COUNT] = {
    [MN_ROLE_TEXT] = "text",         [MN_ROLE_NEEDLE] = "needle",     [MN_ROLE_NEEDLE_VALUE] = "needle-value",
    [MN_ROLE_QUESTION] = "question", [MN_ROLE_RESTATED] = "restated", [MN_ROLE_VALUE] = "value",
    [MN_ROLE_PROMPT] = "prompt",
};

const char *mn_role_name(mn_role role) { return names[role]; }

static mn_role_run *new_run(mn_document_draft *d) {
    if (d->n_runs == d->capacity) {
        int capacity = d->capacity ? 2 * d->capacity : 64;
        mn_role_run *grown = reallocarray(d->runs, (size_t)capacity, sizeof *grown);
        if (!grown) {
            d->text.failed = true;
            return NULL;
        }
        d->runs = grown;
        d->capacity = capacity;
    }
    return &d->runs[d->n_runs++];
}

void mn_draft_put(mn_document_draft *d, mn_role role, const char *text, size_t bytes) {
    if (bytes == 0 || d->text.failed) return;
    mn_strbuf_put(&d->text, text, bytes);
    mn_role_run *run = d->n_runs && d->runs[d->n_runs - 1].role == role ? &d->runs[d->n_runs - 1] : new_run(d);
    if (run) *run = (mn_role_run){d->text.bytes, role};
}

void mn_draft_puts(mn_document_draft *d, mn_role role, const char *text) { mn_draft_put(d, role, text, strlen(text)); }

void mn_draft_reset(mn_document_draft *d) {
    mn_strbuf_reset(&d->text);
    d->n_runs = 0;
    free(d->plain);
    d->plain = NULL;
}

void mn_draft_release(mn_document_draft *d) {
    mn_strbuf_release(&d->text);
    free(d->runs);
    free(d->plain);
    *d = (mn_document_draft)MN_DOCUMENT_DRAFT_INIT;
}
