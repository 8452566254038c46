/* Training data: documents of a weighted mixture of sources, as tokens, packed into windows.
 *
 * Every document is a function of the seed and of its number, so the exact position in the data is a few counters,
 * which a checkpoint keeps. A text longer than what is left of a window goes on in the next one; needle documents are
 * made to fit.
 */
#ifndef MN_TRAIN_DATASET_H
#define MN_TRAIN_DATASET_H

#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"
#include "train/needles.h"

enum { MN_MAX_SOURCES = 32 };

typedef struct mn_source {
    const char *name; /* for messages; borrowed */
    double weight;    /* share of the documents, over the sum of all weights */
    bool is_needles;
    mn_corpus corpus;                  /* texts, or haystacks; closed by mn_dataset_close */
    mn_needle_params needles;          /* corpus is set to the one above */
    float role_weights[MN_ROLE_COUNT]; /* of a token in the loss, by what it is for */
} mn_source;

/* Where in the data a training is. Plain memory: saved and restored as it is. */
typedef struct mn_dataset_cursor {
    int64_t n_documents; /* begun so far */
    int64_t n_of_source[MN_MAX_SOURCES];
    int64_t offset; /* tokens of the last one that earlier windows hold */
    int64_t source; /* that it came from; -1: it is finished */
} mn_dataset_cursor;

typedef struct mn_dataset {
    mn_source sources[MN_MAX_SOURCES];
    int n_sources;
    const mn_tokenizer *tokenizer;         /* borrowed */
    const mn_chat_template *chat_template; /* for JSONL `messages`; NULL: these lines are an error */
    uint64_t seed;
    int64_t n_ctx;           /* tokens of a window */
    double validation_share; /* of the pieces of texts, by a hash of their number; never drawn for training */
    bool holds_out_files;    /* of whole files instead */
    bool validation;         /* draws from that share instead, and needles of another seed */
} mn_dataset;

/* One window: what the trainer reads. The caller gives arrays of n_ctx. */
typedef struct mn_train_window {
    int32_t *tokens;   /* [n_ctx] */
    int32_t *targets;  /* [n_ctx] the token that follows in the document */
    float *weights;    /* [n_ctx] of the target in the loss; 0: not learnt (padding, a document's last token) */
    uint8_t *roles;    /* [n_ctx] mn_role of the token itself */
    int32_t *document; /* [n_ctx] index in the window of the first token of the token's document */
    int64_t n_tokens;  /* that are not padding */
} mn_train_window;

/* Checks the sources: weights, needle parameters, and that there is at least one token of text. */
mn_status mn_dataset_check(const mn_dataset *dataset, mn_error *err);
/* Fills the next window and moves the cursor, which begins as {0, .source = -1}. The same cursor gives the same window
 * on any machine. Errors: broken JSON, with file and line; no memory. */
mn_status mn_dataset_next(const mn_dataset *dataset, mn_dataset_cursor *cursor, mn_train_window *window, mn_error *err);
void mn_dataset_close(mn_dataset *dataset);

/* Tokens of a draft with the role of each: the role of its last byte. begins: put BOS in front where the model wants
 * it; ends: put the end of text behind, where there is one. *ids and *roles are freed by the caller. */
mn_status mn_draft_tokenize(const mn_tokenizer *tokenizer, const mn_document_draft *draft, bool begins, bool ends,
                            int32_t **ids, uint8_t **roles, size_t *n, mn_error *err);

#endif
