/* The memory plan against what the operating system counts. */
#include "support/support.h"

#include "attention/flash.h"
#include "session/memory_plan.h"
#include "bench/depth.h"

#include <malloc.h>
#include <unistd.h>

enum { FEW = MN_FLASH_MIN_ROWS - 1 };

/* Bytes of this process in memory. */
static double resident_bytes(void) {
    long total, resident;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &total, &resident), 2);
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void a_full_window_takes_what_was_planned(void **state) {
    (void)state;
    const mn_window windows[] = {{65536, 512, MN_F32, MN_F32, 0, NULL},
                                 {131072, 512, MN_F16, MN_F16, 0, NULL},
                                 {262144, 512, MN_Q8_0, MN_Q8_0, 0, NULL}};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        const mn_window *w = &windows[i];
        mn_engine *engine;
        mn_session *session;
        mn_memory_plan plan;
        mn_error err;
        const char *type = mn_dtype_get(w->k_type)->name;
        mn_session_params params = {
            .n_ctx = w->n_ctx, .n_batch = w->n_batch, .type_k = type, .type_v = type, .position.beyond = true};
        const int32_t few[FEW] = {0};
        malloc_trim(0); /* what the window before has left would be counted as there already */
        double before = resident_bytes();
        assert_ok(
            mn_engine_open(MNEMO_SOURCE_DIR "/models/default.gguf", &(mn_engine_params){.n_threads = 2}, &engine, &err),
            err);
        assert_ok(mn_memory_plan_make(engine, w, &plan, &err), err);
        assert_ok(mn_session_open(engine, &params, &session, &err), err);
        assert_ok(mn_session_tile(session, w->n_ctx - FEW, &err), err);
        assert_ok(mn_session_extend(session, few, FEW, NULL, NULL, NULL, NULL, &err), err); /* the most scratch */
        double share = (resident_bytes() - before) / (double)plan.total_bytes;
        printf("%lld %s: planned %.1f MiB, resident %.4f of it\n", (long long)w->n_ctx, type,
               (double)plan.total_bytes / 0x1p20, share);
        assert_true(share > 0.98 && share < 1.02);
        mn_session_close(session);
        mn_engine_close(engine);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_full_window_takes_what_was_planned)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
