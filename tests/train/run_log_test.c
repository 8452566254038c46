#include "support/support.h"

#include "train/run_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static mn_run_line line_of(int64_t step) {
    return (mn_run_line){.step = step,
                         .n_tokens = step * 4096,
                         .loss = 5.0 / (double)step,
                         .gates = 2.0 / (double)step,
                         .validation = step % 10 ? NAN : 5.1 / (double)step,
                         .rate = 1,
                         .norm = NAN,
                         .seconds = (double)step,
                         .tokens_per_s = 1000,
                         .peak_share = NAN};
}

static void test_taken_up_where_it_stopped(void **state) {
    (void)state;
    char folder[512], path[600];
    size_t bytes;
    mn_run_log log;
    mn_error err;
    snprintf(folder, sizeof folder, "%s.run", temp_path("log"));
    snprintf(path, sizeof path, "%s/log.jsonl", folder);
    assert_ok(mn_run_log_open(folder, 0, &log, &err), err);
    for (int64_t step = 1; step <= 30; step++) {
        mn_run_line line = line_of(step);
        assert_ok(mn_run_log_add(&log, &line, &err), err);
    }
    mn_run_log_close(&log);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    fputs("{\"step\": 31, \"lo", f); /* killed while writing */
    fclose(f);
    assert_ok(mn_run_log_open(folder, 20, &log, &err), err);
    assert_int_equal(log.n_lines, 20);
    assert_true(log.lines[9].loss == 0.5 && log.lines[9].validation == 0.51 && isnan(log.lines[8].validation));
    for (int64_t step = 21; step <= 25; step++) {
        mn_run_line line = line_of(step);
        assert_ok(mn_run_log_add(&log, &line, &err), err);
    }
    assert_ok(mn_run_log_draw(&log, &err), err);
    mn_run_log_close(&log);
    char *text = read_all(path, &bytes);
    int n = 0;
    for (size_t i = 0; i < bytes; i++) n += text[i] == '\n';
    assert_int_equal(n, 25);
    assert_null(strstr(text, "nan"));
    free(text);
    snprintf(path, sizeof path, "%s/loss.svg", folder);
    text = read_all(path, &bytes);
    assert_non_null(strstr(text, "validation"));
    free(text);
    assert_int_equal(mn_run_log_open("/nowhere/run", 0, &log, &err), MN_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_taken_up_where_it_stopped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
