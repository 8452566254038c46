/* Tiny random models, and one that is made once, for targets whose input is not the model. */
#ifndef MN_TESTS_TINY_MODEL_H
#define MN_TESTS_TINY_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/gguf_random.h"

#include <mnemo/session.h>

enum { TINY_LAYERS = 3, TINY_CTX = 64 };

/* Writes a model of this architecture to a new temporary file, which the caller removes. */
static inline void tiny_model_write(const char *arch, char path[32]) {
    const mn_random_model shape = {.arch = arch,
                                   .n_layers = TINY_LAYERS,
                                   .n_embd = 32,
                                   .n_heads = 2,
                                   .n_kv_heads = 1,
                                   .head_dim = 16,
                                   .n_ff = 32,
                                   .n_ctx = TINY_CTX,
                                   .rope_base = 10000,
                                   .seed = 1};
    mn_gguf *vocab;
    mn_random_summary summary;
    mn_error err;
    snprintf(path, 32, "/tmp/mnemo-fuzz-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || mn_gguf_open(MNEMO_SOURCE_DIR "/tests/fuzz/corpus/gguf/vocab", &vocab, &err) ||
        mn_random_model_write(&shape, vocab, path, &(mn_make_params){.type = MN_F32}, &summary, &err))
        abort();
    mn_gguf_close(vocab);
    close(fd);
}

/* An engine of one thread; it lives as long as the program. */
static inline mn_engine *tiny_engine(void) {
    static mn_engine *engine;
    char path[32];
    mn_error err;
    if (engine) return engine;
    tiny_model_write("llama", path);
    if (mn_engine_open(path, &(mn_engine_params){.n_threads = 1}, &engine, &err)) abort();
    unlink(path);
    return engine;
}

#endif
