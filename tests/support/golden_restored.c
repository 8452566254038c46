#include "support/golden.h"

#include "kernels/cpu.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The logits of the last token, of a text that is prefilled at once; or half of it, saved, restored in another session,
 * and the rest. */
void golden_check_restored(const golden *g, const char *name, int level) {
    mn_engine *engine;
    mn_session *s;
    mn_error err;
    int64_t half = g->n_tokens / 2;
    const char *path = temp_path("golden.session");
    const mn_session_params params = {.n_ctx = g->n_tokens, .position.beyond = true};
    size_t bytes = (size_t)g->n_vocab * sizeof(float);
    float *whole = malloc(bytes);
    assert_ok(mn_engine_open(g->model_path, &(mn_engine_params){.n_threads = 2, .exact = true}, &engine, &err), err);
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_ok(mn_session_extend(s, g->tokens, g->n_tokens, NULL, NULL, NULL, NULL, &err), err);
    memcpy(whole, mn_session_logits(s), bytes);
    mn_session_close(s);
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_ok(mn_session_extend(s, g->tokens, half, NULL, NULL, NULL, NULL, &err), err);
    assert_ok(mn_session_save(s, path, &err), err);
    mn_session_close(s);
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    assert_ok(mn_session_restore(s, path, &err), err);
    assert_ok(mn_session_extend(s, g->tokens + half, g->n_tokens - half, NULL, NULL, NULL, NULL, &err), err);
    if (memcmp(whole, mn_session_logits(s), bytes) != 0)
        fail_msg("%s at %s: a restored session goes on with other logits", name,
                 mn_cpu_level_name((mn_cpu_level)level));
    mn_session_close(s);
    mn_engine_close(engine);
    unlink(path);
    free(whole);
}
