/* Experts on disk: from a file that is not in memory a token fetches the experts that it chooses, and no others. */
#include "base/file.h"
#include "convert/upcycle.h"
#include "session/session.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { N_EXPERTS = 8, N_USED = 2, N_STACKS = 3 };

static char path[600];

static int make_model(void **state) {
    (void)state;
    mn_model model;
    mn_error err;
    mn_upcycle_wish wish = {.n_experts = N_EXPERTS, .n_used = N_USED, .noise = 0.1, .seed = 3, .type = MN_DTYPE_COUNT};
    snprintf(path, sizeof path, "%s", temp_path("cold.gguf"));
    assert_ok(mn_model_open(data_path("models/default.gguf"), &model, &err), err);
    assert_ok(mn_upcycle_write(&model, &wish, path, &err), err);
    mn_model_close(&model);
    return 0;
}

static mn_engine *open_engine(bool on_disk) {
    mn_engine *engine;
    mn_error err;
    mn_engine_params params = {.n_threads = 2, .exact = true, .experts_on_disk = on_disk};
    assert_ok(mn_engine_open(path, &params, &engine, &err), err);
    return engine;
}

static const mn_tensor *stack(const mn_engine *engine, int layer, int i) {
    const mn_layer *l = &engine->model.weights.layers[layer];
    return i == 0 ? &l->expert_gate : i == 1 ? &l->expert_up : &l->expert_down;
}

/* Bytes of experts that stay in memory all the same; *all: of how many. */
static size_t drop(const mn_engine *engine, size_t *all) {
    size_t stay = 0;
    *all = 0;
    for (int layer = 0; layer < engine->model.config.n_layers; layer++)
        for (int i = 0; i < N_STACKS; i++) {
            const mn_tensor *t = stack(engine, layer, i);
            *all += t->bytes;
            stay += mn_mapping_drop(t->data, t->bytes);
        }
    return stay;
}

/* Of the pages that hold nothing but this matrix, how many are in memory; *all: how many there are. */
static int pages_in_memory(mn_tensor m, int *all) {
    unsigned char in_memory[4096];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)m.data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)m.data + m.bytes) / page * page;
    int n = 0;
    *all = (int)((end - begin) / page);
    assert_true(*all > 8 && *all <= (int)sizeof in_memory);
    assert_int_equal(mincore((void *)begin, end - begin, in_memory), 0);
    for (int i = 0; i < *all; i++) n += in_memory[i] & 1;
    return n;
}

/* The logits behind one token. */
static float *run_token(mn_engine *engine, mn_session **session, mn_error *err) {
    int32_t token = 300;
    size_t bytes = (size_t)mn_engine_info(engine).n_vocab * sizeof(float);
    float *logits = malloc(bytes);
    assert_non_null(logits);
    assert_ok(mn_session_open(engine, &(mn_session_params){.n_ctx = 16}, session, err), *err);
    size_t all;
    drop(engine, &all);
    assert_ok(mn_session_extend(*session, &token, 1, NULL, NULL, NULL, NULL, err), *err);
    memcpy(logits, mn_session_logits(*session), bytes);
    return logits;
}

static void only_the_chosen_are_fetched(void **state) {
    (void)state;
    mn_engine *engine = open_engine(true);
    mn_session *s;
    mn_error err;
    float *logits = run_token(engine, &s, &err);
    for (int layer = 0; layer < engine->model.config.n_layers; layer++)
        for (int e = 0; e < N_EXPERTS; e++)
            for (int i = 0; i < N_STACKS; i++) {
                int all, n = pages_in_memory(mn_tensor_matrix(stack(engine, layer, i), e), &all);
                bool chosen = mn_session_expert_visits(s, layer)[e] > 0;
                if (n != (chosen ? all : 0))
                    fail_msg("layer %d, expert %d, %s: %d of %d pages", layer, e, chosen ? "chosen" : "left", n, all);
            }
    free(logits);
    mn_session_close(s);
    mn_engine_close(engine);
}

static void the_answer_is_the_same(void **state) {
    (void)state;
    mn_error err;
    float *logits[2];
    size_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        mn_engine *engine = open_engine(i);
        mn_session *s;
        logits[i] = run_token(engine, &s, &err);
        bytes = (size_t)mn_engine_info(engine).n_vocab * sizeof(float);
        mn_session_close(s);
        mn_engine_close(engine);
    }
    assert_memory_equal(logits[0], logits[1], bytes);
    free(logits[0]);
    free(logits[1]);
}

static bool can_be_dropped(void) {
    size_t all;
    mn_engine *engine = open_engine(false);
    size_t stay = drop(engine, &all);
    mn_engine_close(engine);
    return stay < all / 50;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_the_chosen_are_fetched),
                                       cmocka_unit_test(the_answer_is_the_same)};
    make_model(NULL);
    if (!can_be_dropped()) {
        puts("the folder for temporary files lies on no disk, so nothing can be read from one");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
