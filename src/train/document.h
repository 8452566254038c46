/* A training document: text, and what each stretch of it is for. What a stretch is for decides how much its tokens
 * weigh in the loss, and whether a compressive memory should write them.
 */
#ifndef MN_TRAIN_DOCUMENT_H
#define MN_TRAIN_DOCUMENT_H

#include "base/strbuf.h"

#include <stdint.h>

typedef enum mn_role {
    MN_ROLE_TEXT,         /* ordinary text: a haystack */
    MN_ROLE_NEEDLE,       /* a sentence that states a fact */
    MN_ROLE_NEEDLE_VALUE, /* the value in it, which nothing before it predicts: what a memory has to write */
    MN_ROLE_QUESTION,     /* given, not to be learnt */
    MN_ROLE_RESTATED,     /* the answer's repetition of the key */
    MN_ROLE_VALUE,        /* the value in the answer */
    MN_ROLE_PROMPT,       /* a conversation's turns that are not the model's */
    MN_ROLE_COUNT
} mn_role;

/* Bytes [end of the run before, end) of the text. */
typedef struct mn_role_run {
    size_t end;
    mn_role role;
} mn_role_run;

typedef struct mn_document_draft {
    mn_strbuf text;
    mn_role_run *runs;
    int n_runs, capacity;
    /* A rendered conversation: spellings of control tokens are control tokens outside the plain ranges, and BOS and end
     * of text are the template's business. NULL: all of it is plain text. */
    struct mn_text_range *plain;
    size_t n_plain;
} mn_document_draft;

#define MN_DOCUMENT_DRAFT_INIT                                                                                         \
    { .text = MN_STRBUF_INIT }

/* Appends bytes of one role. A failure of memory sets text.failed. */
void mn_draft_put(mn_document_draft *d, mn_role role, const char *text, size_t bytes);
void mn_draft_puts(mn_document_draft *d, mn_role role, const char *text);
/* Empties it, keeping the memory. */
void mn_draft_reset(mn_document_draft *d);
void mn_draft_release(mn_document_draft *d);

/* "text", "needle", "needle-value", ... as configuration files spell them. */
const char *mn_role_name(mn_role role);

#endif
