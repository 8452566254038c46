/* An error as the command line shows it: the library's sentence, and the flags that would help. */
#ifndef MN_CLI_REMEDY_H
#define MN_CLI_REMEDY_H

#include <mnemo/status.h>

typedef char mn_sentence[1024];

/* Fills buf with "SENTENCE Use -c 4096, or leave out --attn." and returns it; without remedies with the sentence. */
const char *mn_cli_sentence(mn_sentence buf, const mn_error *err);

#endif
