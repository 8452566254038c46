/* mnemo info --rope. */
#ifndef MN_CLI_INFO_ROPE_H
#define MN_CLI_INFO_ROPE_H

#include "model/gguf.h"

typedef struct mn_info_rope_args {
    int64_t n_ctx;   /* the window asked for; 0 = the model's, or 4 times the trained one where that is no longer */
    const char *svg; /* NULL = no picture */
    bool json;
} mn_info_rope_args;

/* Prints the wavelength of each pair of dimensions under each scheme of the RoPE family. */
mn_status mn_info_rope(const mn_gguf *gguf, const mn_info_rope_args *args, mn_error *err);

#endif
