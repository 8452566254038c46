/* Text to ids and back. */
#ifndef MN_TESTS_ROUNDTRIP_H
#define MN_TESTS_ROUNDTRIP_H

#include "tokenizer/tokenizer.h"

/* The vocabulary of a model in the test data, or NULL with a line about what was left out. */
mn_tokenizer *open_vocabulary(const char *name);
/* Fails unless text comes back from its ids byte for byte. Returns the seconds that tokenising took. */
double check_round_trip(const mn_tokenizer *tokenizer, const char *name, const char *text, size_t bytes);

#endif
