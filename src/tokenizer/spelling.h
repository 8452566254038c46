/* How files spell pieces, and how that is undone. */
#ifndef MN_TOKENIZER_SPELLING_H
#define MN_TOKENIZER_SPELLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SentencePiece's U+2581 for a space: out, of at least `bytes` bytes, gets the text with spaces. Returns its bytes. */
size_t mn_spelling_unescape(const char *text, size_t bytes, char *out);

/* Byte-level BPE (GPT-2, bytes_to_unicode): printable Latin-1 bytes stand for themselves, the other 68 are U+0100 and
 * up in order. False when the text has a character outside the alphabet: then it is no byte-level spelling. */
bool mn_spelling_decode_bytes(const char *text, size_t bytes, char *out, size_t *out_bytes);

/* A literal of bytes in Python, as RWKV's files spell tokens: \t, \n, \r, \xHH, and behind any other backslash the
 * character itself. out has at least `bytes` bytes; returns how many there are. */
size_t mn_spelling_unescape_bytes(const char *text, size_t bytes, char *out);

/* The byte of SentencePiece's "<0x0A>", or -1. */
int mn_spelling_hex_byte(const char *text, size_t bytes);

#endif
