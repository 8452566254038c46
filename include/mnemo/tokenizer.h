/* Text to token ids and back, as the model file says.
 *
 * Threads: a tokenizer never changes; every call may come from any thread, and from several at once.
 */
#ifndef MNEMO_TOKENIZER_H
#define MNEMO_TOKENIZER_H

#include <mnemo/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mn_tokenizer mn_tokenizer;

/* Ids are >= 0; -1 stands for "the model has none". */
typedef struct mn_special_tokens {
    int32_t bos, eos, eot, unknown, padding;
    bool add_bos, add_eos;
} mn_special_tokens;

/* Tokens of the vocabulary; ids are below it. */
int32_t mn_tokenizer_n_vocab(const mn_tokenizer *tokenizer);
/* Borrowed, as long as the tokenizer lives. */
const mn_special_tokens *mn_tokenizer_specials(const mn_tokenizer *tokenizer);
/* Sentences about ids of the file that lie outside its vocabulary and are not needed: index 0 up, NULL behind the last
 * one. Borrowed. */
const char *mn_tokenizer_note(const mn_tokenizer *tokenizer, int index);
/* Whether generation ends at this id: eos, eot and the file's other end markers. */
bool mn_tokenizer_is_end(const mn_tokenizer *tokenizer, int32_t id);

/* Tokenises `bytes` bytes of text into *out (caller frees). Any bytes are accepted: invalid UTF-8 becomes byte tokens
 * where the vocabulary has them.
 * add_special: put BOS/EOS where the model wants them. parse_special: the spellings of control tokens in the text
 * ("<|im_end|>") become those tokens; otherwise they are ordinary text. Linear time. */
mn_status mn_tokenize(const mn_tokenizer *tokenizer, const char *text, size_t bytes, bool add_special,
                      bool parse_special, int32_t **out, size_t *n_tokens, mn_error *err);

/* The bytes of n ids (caller frees *out; NUL-terminated, the NUL not counted). Control tokens are left out unless
 * `special`. Inverse of mn_tokenize byte for byte; a leading space that tokenising added is removed again.
 * An id out of range is an error that names it and its place. */
mn_status mn_detokenize(const mn_tokenizer *tokenizer, const int32_t *ids, size_t n, bool special, char **out,
                        size_t *bytes, mn_error *err);

/* One token's bytes as it appears in the middle of a text, for streaming; borrowed, valid as long as the tokenizer.
 * Control tokens give 0 bytes unless special; an id outside the vocabulary has no text (0 bytes). */
const char *mn_token_piece(const mn_tokenizer *tokenizer, int32_t id, bool special, size_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
