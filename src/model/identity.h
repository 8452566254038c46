/* What tells one model from another: everything in its file that changes what it computes. */
#ifndef MN_MODEL_IDENTITY_H
#define MN_MODEL_IDENTITY_H

#include "base/pool.h"
#include "model/gguf.h"

/* A 128-bit XXH3 hash. Equal for two files: they compute the same (docs/formats/session.md). It is no proof against
 * somebody who wants two models to look alike. */
typedef struct mn_identity {
    uint64_t low, high;
} mn_identity;

/* Hashes the architecture, every key of it and of the tokenizer, and every tensor: name, type, shape and all bytes.
 * Names and licences (general.*), the chat template and how the file was split are left out. The same at any number of
 * threads. Cost: all weights are read once, at the speed of memory, or of the disk where they are not in memory.
 * MN_ERR_MEMORY. */
mn_status mn_identity_of(const mn_gguf *gguf, mn_pool *pool, mn_identity *out, mn_error *err);

/* The identity of a with b added to it in a way that `how` tells (an adapter and its scale). */
mn_identity mn_identity_join(mn_identity a, mn_identity b, const void *how, size_t how_bytes);

#endif
