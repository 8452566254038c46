/* A child program: what it says arrives whole, and it never outlives its time or its welcome. */
#include "support/support.h"

#include "base/clock.h"
#include "document/child.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static mn_child_result run(const char *script, const void *data, size_t bytes, int max_seconds, mn_strbuf *out) {
    char *argv[] = {"sh", "-c", (char *)script, NULL};
    mn_child_result result;
    mn_error err;
    assert_ok(mn_child_run(argv, data, bytes, max_seconds, out, &result, &err), err);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* none is left */
    return result;
}

static void input_and_output_arrive_whole(void **state) {
    (void)state;
    enum { BYTES = 3000000 };
    mn_strbuf out = MN_STRBUF_INIT;
    char *data = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++) data[i] = (char)(i * 2654435761u >> 24);
    mn_child_result result = run("echo some\x01words >&2; cat; exit 7", data, BYTES, 20, &out);
    assert_int_equal(result.exit_code, 7);
    assert_string_equal(result.message, "some words ");
    assert_int_equal(out.bytes, BYTES);
    assert_memory_equal(out.data, data, BYTES);
    mn_strbuf_release(&out);
    free(data);
}

static void late_ones_are_killed(void **state) {
    (void)state;
    static const char *const scripts[] = {"exec sleep 60", "exec sleep 60 >&- 2>&-", "while :; do :; done"};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        mn_strbuf out = MN_STRBUF_INIT;
        double began = mn_clock_seconds();
        mn_child_result result = run(scripts[i], "x", 1, 1, &out);
        assert_true(result.is_late || result.exit_code == 128 + SIGXCPU || result.exit_code == 128 + SIGKILL);
        assert_true(mn_clock_seconds() - began < 10);
        mn_strbuf_release(&out);
    }
}

static void chatty_ones_are_killed(void **state) {
    (void)state;
    mn_strbuf out = MN_STRBUF_INIT;
    out.max_bytes = 100000;
    mn_child_result result = run("exec yes", "", 0, 20, &out);
    assert_true(result.is_too_long);
    mn_strbuf_release(&out);
}

static void signals_of_the_caller_do_not_matter(void **state) {
    (void)state;
    mn_strbuf out = MN_STRBUF_INIT;
    signal(SIGPIPE, SIG_IGN);
    mn_child_result result = run("kill -PIPE $$; echo alive", "", 0, 20, &out);
    assert_int_equal(result.exit_code, 128 + SIGPIPE);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGCHLD, SIG_IGN);
    result = run("echo alive", "", 0, 20, &out);
    assert_string_equal(out.data, "alive\n");
    signal(SIGCHLD, SIG_DFL);
    mn_strbuf_release(&out);
}

static void missing_ones_are_told(void **state) {
    (void)state;
    char *argv[] = {"mnemo-no-such-program", NULL};
    mn_strbuf out = MN_STRBUF_INIT;
    mn_child_result result;
    mn_error err;
    assert_ok(mn_child_run(argv, "", 0, 5, &out, &result, &err), err);
    assert_true(result.is_missing);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_and_output_arrive_whole), cmocka_unit_test(late_ones_are_killed),
        cmocka_unit_test(chatty_ones_are_killed),        cmocka_unit_test(signals_of_the_caller_do_not_matter),
        cmocka_unit_test(missing_ones_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
