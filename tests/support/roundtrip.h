/* Text to ids and back. */
#ifndef MN_TESTS_ROUNDTRIP_H
#define MN_TESTS_ROUNDTRIP_H

#include "tokenizer/tokenizer.h"

/* The vocabulary of a model file; fails the test when it does not open. */
mn_tokenizer *open_vocabulary(const char *path);
/* Fails unless text comes back from its ids byte for byte. Returns the seconds that tokenising took. */
double check_round_trip(const mn_tokenizer *tokenizer, const char *name, const char *text, size_t bytes);
/* Megabytes of one thing over and over come back, each in seconds. */
void check_megabytes(const mn_tokenizer *tokenizer, const char *name);

#endif
