/* Fuzz target: any bytes as the head of a model file, all the way to a step. The weights behind the head are made here
 * (so that inputs stay small, and any head that asks for no more than there is finds some): the engine opens or says
 * why not, a session over it prefills and decodes or says why not.
 */
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"

#include <mnemo/session.h>

enum { MAX_HEAD_BYTES = 1 << 15, WEIGHT_BYTES = 2 << 20, N_CTX = 24, N_PREFILL = 7, N_DECODE = 3 };

/* Small numbers in f32, above 0 as factors of frequencies must be; in other types whatever these bytes mean. */
static const float *weights(void) {
    static float data[WEIGHT_BYTES / sizeof(float)];
    mn_random rng;
    if (data[0] != 0) return data;
    mn_random_seed(&rng, 1, 1);
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) data[i] = (float)(mn_random_double(&rng) * 0.1 + 1e-3);
    return data;
}

static void must_say(mn_status status, const mn_error *err) {
    if (status != MN_OK && !err->text[0]) abort();
}

static void run(mn_session *s, int32_t n_vocab) {
    mn_error err = {0};
    int32_t tokens[N_PREFILL + N_DECODE];
    for (int i = 0; i < N_PREFILL + N_DECODE; i++) tokens[i] = i % n_vocab;
    mn_status status = mn_session_sync(s, tokens, N_PREFILL, NULL, NULL, NULL, &err);
    for (int i = N_PREFILL; i < N_PREFILL + N_DECODE && status == MN_OK; i++)
        status = mn_session_extend(s, tokens + i, 1, NULL, NULL, NULL, NULL, &err);
    must_say(status, &err);
    if (status == MN_OK && !mn_session_logits(s)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char zeros[32];
    static memory_file file = {-1, ""};
    mn_engine *engine = NULL;
    mn_session *session = NULL;
    mn_error err = {0};
    if (bytes > MAX_HEAD_BYTES) return 0;
    if (file.fd < 0) file = memory_file_new();
    memory_file_set(&file, data, bytes);
    memory_file_append(&file, zeros, -bytes % sizeof zeros); /* to where weights begin */
    memory_file_append(&file, weights(), WEIGHT_BYTES);
    mn_engine_params params = {.n_threads = 1, .exact = bytes % 2};
    mn_status status = mn_engine_open(file.path, &params, &engine, &err);
    if (status == MN_OK) {
        mn_session_params p = {.n_ctx = N_CTX, .n_batch = 4, .position.beyond = true};
        status = mn_session_open(engine, &p, &session, &err);
        if (status == MN_OK) run(session, mn_engine_info(engine).n_vocab);
    }
    must_say(status, &err);
    mn_session_close(session);
    mn_engine_close(engine);
    return 0;
}
