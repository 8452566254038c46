/* Fitting: a known law is found again, threads change nothing, and bad files and bad runs are refused by name. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mnemo/scaling.h>

static const char *write_text(const char *name, const char *text) {
    const char *path = temp_path(name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    return path;
}

/* Forty runs that follow a law exactly. */
static void make_runs(const mn_scaling_law *law, mn_scaling_run runs[40]) {
    for (int i = 0; i < 40; i++) {
        runs[i].params = 1e7 * pow(3, i % 8);
        runs[i].tokens = 1e9 * pow(5, i / 8);
        runs[i].loss = mn_scaling_loss(law, runs[i].params, runs[i].tokens);
    }
}

static void finds_a_known_law(void **state) {
    (void)state;
    mn_scaling_law law;
    mn_scaling_fit fit;
    mn_error err;
    mn_scaling_run runs[40];
    assert_ok(mn_scaling_law_find("chinchilla", &law, &err), err);
    make_runs(&law, runs);
    assert_ok(mn_scaling_fit_runs(runs, 40, &(mn_scaling_fit_options){0}, &fit, &err), err);
    assert_int_equal(fit.n_bootstrap, 0);
    assert_true(fabs(fit.law.alpha - law.alpha) < 1e-6 && fabs(fit.law.beta - law.beta) < 1e-6);
    assert_true(fabs(fit.law.E - law.E) < 1e-6 && fabs(fit.law.A - law.A) < 1e-2 && fabs(fit.law.B - law.B) < 1e-2);
}

static void threads_change_nothing(void **state) {
    (void)state;
    mn_scaling_law law;
    mn_scaling_fit fits[2];
    mn_error err;
    mn_scaling_run runs[40];
    assert_ok(mn_scaling_law_find("besiroglu", &law, &err), err);
    make_runs(&law, runs);
    for (int i = 0; i < 40; i++) runs[i].loss *= 1 + 0.003 * sin(i * i);
    for (int i = 0; i < 2; i++) {
        mn_scaling_fit_options options = {.n_threads = 1 + 2 * i, .n_bootstrap = 30, .seed = 7};
        assert_ok(mn_scaling_fit_runs(runs, 40, &options, &fits[i], &err), err);
    }
    assert_true(fits[0].objective == fits[1].objective && fits[0].law.A == fits[1].law.A);
    assert_true(fits[0].se.A == fits[1].se.A && fits[0].se.beta == fits[1].se.beta);
    assert_true(fits[0].se.alpha > 0.0005 && fits[0].se.alpha < 0.05);
}

static bool stop_at_once(void *arg, const char *stage, int64_t done, int64_t total) {
    (void)stage;
    ++*(int *)arg;
    return done < 0 || total < 0;
}

static void can_be_stopped(void **state) {
    (void)state;
    mn_scaling_law law;
    mn_scaling_fit fit;
    mn_error err;
    mn_scaling_run runs[40];
    int calls = 0;
    assert_ok(mn_scaling_law_find("chinchilla", &law, &err), err);
    make_runs(&law, runs);
    mn_scaling_fit_options options = {.progress = stop_at_once, .progress_arg = &calls};
    assert_int_equal(mn_scaling_fit_runs(runs, 40, &options, &fit, &err), MN_ERR_CANCELLED);
    assert_int_equal(calls, 1);
}

static void refuses_bad_runs(void **state) {
    (void)state;
    mn_scaling_law law;
    mn_scaling_fit fit;
    mn_error err;
    mn_scaling_run runs[40];
    mn_scaling_fit_options options = {0};
    assert_ok(mn_scaling_law_find("chinchilla", &law, &err), err);
    make_runs(&law, runs);
    assert_int_equal(mn_scaling_fit_runs(runs, 5, &options, &fit, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "5 runs"));
    assert_int_equal(mn_scaling_fit_runs(runs, 8, &options, &fit, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "8 different sizes and 1 different numbers of tokens"));
    runs[3].loss = NAN;
    assert_int_equal(mn_scaling_fit_runs(runs, 40, &options, &fit, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "run 4"));
    make_runs(&law, runs);
    for (int i = 0; i < 40; i++) runs[i].loss = 1 / runs[i].loss;
    assert_int_equal(mn_scaling_fit_runs(runs, 40, &options, &fit, &err), MN_ERR_ARGUMENT);
    options.n_bootstrap = 1;
    assert_int_equal(mn_scaling_fit_runs(runs, 40, &options, &fit, &err), MN_ERR_ARGUMENT);
}

static void reads_runs(void **state) {
    (void)state;
    const char *path =
        write_text("runs.csv", "\xEF\xBB\xBFname,loss,\"params\",tokens\r\n\r\na,2.5,1e9, 2e10 \r\nb,2,7e9,1e12");
    mn_scaling_run *runs;
    size_t n;
    mn_error err;
    assert_ok(mn_scaling_runs_read(path, &runs, &n, &err), err);
    unlink(path);
    assert_int_equal(n, 2);
    assert_true(runs[0].params == 1e9 && runs[0].tokens == 2e10 && runs[0].loss == 2.5);
    assert_true(runs[1].params == 7e9 && runs[1].tokens == 1e12 && runs[1].loss == 2);
    free(runs);
}

static void names_bad_lines(void **state) {
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {{"", "is empty"},
                 {"params,tokens\n1,2\n", ":1: has no column \"loss\""},
                 {"params,tokens,loss\n1e9,1e10,2\n1e9,1e10\n", ":3: has 2 fields"},
                 {"params,tokens,loss\n\n1e9,1e10,2,5\n", ":3: has 4 fields"},
                 {"params,tokens,loss\n1e9,many,2\n", ":2: tokens is \"many\""},
                 {"params,tokens,loss\n1e9,1e10,\n", ":2: loss is \"\""},
                 {"params,tokens,loss\n1e9,1e10,2x\n", ":2: loss is \"2x\""},
                 {"params,tokens,loss\n1e9,1e10,nan\n", ":2: loss is nan"},
                 {"params,tokens,loss\n1e9,1e10,inf\n", ":2: loss is inf"},
                 {"params,tokens,loss\n-1e9,1e10,2\n", ":2: params is -1e9"},
                 {"params,tokens,loss\n1e19,1e10,2\n", ":2: params is 1e19"},
                 {"params,tokens,loss\n1e9,1e999,2\n", ":2: tokens is 1e999"},
                 {"params,tokens,loss\n1e9,0,2\n", ":2: tokens is 0"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_scaling_run *runs;
        size_t n;
        mn_error err;
        const char *path = write_text("bad.csv", cases[i].text);
        assert_int_equal(mn_scaling_runs_read(path, &runs, &n, &err), MN_ERR_FORMAT);
        unlink(path);
        assert_null(runs);
        if (!strstr(err.text, cases[i].wanted)) fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].wanted);
    }
}

static void law_files(void **state) {
    (void)state;
    mn_scaling_law law;
    mn_error err;
    mn_scaling_fit fit = {.objective = 0.001, .n_runs = 240, .n_bootstrap = 10};
    assert_ok(mn_scaling_law_find("besiroglu", &fit.law, &err), err);
    fit.se = fit.law;
    char *text = mn_scaling_fit_json(&fit);
    const char *path = write_text("law.json", text);
    free(text);
    assert_ok(mn_scaling_law_find(path, &law, &err), err);
    unlink(path);
    assert_true(law.E == fit.law.E && law.A == fit.law.A && law.B == fit.law.B && law.gamma == 1);
    assert_true(law.alpha == fit.law.alpha && law.beta == fit.law.beta);
    static const char *const bad[][2] = {{"{", "is not JSON"},
                                         {"[]", "no number \"E\""},
                                         {"{\"E\":1.7,\"A\":-4,\"B\":4,\"alpha\":0.3,\"beta\":0.3}", "A is -4"},
                                         {"{\"E\":1.7,\"A\":4,\"B\":4,\"alpha\":0.3,\"beta\":1e99}", "beta is 1e+99"}};
    for (int i = 0; i < 4; i++) {
        path = write_text("law.json", bad[i][0]);
        assert_int_equal(mn_scaling_law_find(path, &law, &err), MN_ERR_FORMAT);
        unlink(path);
        if (!strstr(err.text, bad[i][1])) fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_a_known_law), cmocka_unit_test(threads_change_nothing),
                                       cmocka_unit_test(can_be_stopped),    cmocka_unit_test(refuses_bad_runs),
                                       cmocka_unit_test(reads_runs),        cmocka_unit_test(names_bad_lines),
                                       cmocka_unit_test(law_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
