/* Fuzz target: any bytes taken for a model: its configuration, its weights, and where they run, a step of three tokens.
 * tests/fuzz/model.dict holds the names of keys and tensors. */
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "kernels/kernels.h"
#include "model/backend_cpu.h"
#include "model/forward.h"

/* What a hostile file may ask for is bounded by memory, and a fuzzer has little. */
enum { MAX_LAYERS = 8, MAX_VOCAB = 1 << 12, MAX_STATE_BYTES = 1 << 24 };

static void run_step(const mn_model *m) {
    static const int32_t tokens[] = {0, 1, 2};
    static float logits[MAX_VOCAB];
    const mn_config *c = &m->config;
    mn_arena scratch = MN_ARENA_INIT;
    mn_compute compute = {.kernels = mn_kernels_get(MN_CPU_GENERIC), .scratch = &scratch, .exact = true};
    mn_backend backend = mn_backend_cpu(&compute);
    mn_sequence t;
    mn_error err;
    size_t state_bytes;
    const mn_sequence_params p = {&c->rope, mn_attn_of_model(c), 64, MN_F32, MN_F32};
    if (mn_sequence_state_bytes(c, &p.attn, &state_bytes, &err) || state_bytes > MAX_STATE_BYTES) return;
    if (mn_sequence_init(&t, c, &p, &err)) return;
    const mn_slice slice = {&t, 0, 3};
    const mn_batch batch = {.tokens = tokens,
                            .n_rows = 3,
                            .slices = &slice,
                            .n_slices = 1,
                            .wanted = &(int64_t){2},
                            .n_wanted = 1,
                            .logits = logits};
    mn_forward(&backend, m, &batch, &err);
    mn_sequence_release(&t);
    mn_arena_release(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mn_gguf *gguf;
    mn_model *m = calloc(1, sizeof *m);
    mn_error err;
    if (!m || mn_gguf_parse("fuzz", data, bytes, &gguf, &err) != MN_OK) {
        free(m);
        return 0;
    }
    if (mn_model_bind(gguf, m, &err) != MN_OK) {
        if (!err.text[0]) abort();
    } else {
        bool small = m->config.n_layers <= MAX_LAYERS && m->config.n_vocab >= 3 && m->config.n_vocab <= MAX_VOCAB;
        if (small && !m->config.is_encoder) run_step(m);
        mn_model_close(m);
    }
    free(m);
    return 0;
}
