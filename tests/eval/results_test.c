/* eval/results: a run goes on where its results stop, and never in a file of something else or with other options. */
#include "support/support.h"

#include "eval/results.h"

#include <stdlib.h>
#include <string.h>

static const char first[] =
    "{\"task\":\"needle\",\"setting\":\"\",\"length\":256,\"sample\":0,\"depth\":-1,\"score\":1}\n";

static const char *write_bytes(const char *name, const char *text, size_t bytes) {
    const char *path = temp_path(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fwrite(text, 1, bytes, f);
    fclose(f);
    return path;
}

static void assert_holds(const char *path, const char *text, size_t bytes) {
    char got[4096];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(got, 1, sizeof got, f);
    fclose(f);
    assert_int_equal(n, bytes);
    assert_memory_equal(got, text, bytes);
}

static void a_file_of_something_else_stays_as_it_is(void **state) {
    (void)state;
    static const char *const texts[] = {
        "# Notes\n",
        "a line without an end",
        "{\"task\":\"needle\"}\n",
        "{\"task\":\"needle\",\"length\":256,\"sample\":0,\"score\":7}\n",
        "{\"task\":\"needle\",\"length\":1e300,\"sample\":0,\"score\":1}\n",
        "{\"task\":\"needle\",\"length\":256,\"sample\":0,\"score\":1,\"prompt_tokens\":-1e99}\n",
        "{\"task\":\"needle\",\"length\":\nmore\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char all[512];
        mn_results r;
        mn_error err;
        size_t bytes = (size_t)snprintf(all, sizeof all, "%s%s", first, texts[i]);
        const char *path = write_bytes("notes.txt", all, bytes);
        assert_int_equal(mn_results_open(path, NULL, &r, &err), MN_ERR_FORMAT);
        assert_non_null(strstr(err.text, "line 2 is no result"));
        assert_holds(path, all, bytes);
        assert_int_equal(mn_results_read(path, &r, &err), MN_ERR_FORMAT);
        assert_holds(path, all, bytes);
    }
}

/* A crash may cut the last line, or leave zeros in its place. */
static void a_cut_result_is_dropped(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } cut[] = {{"{\"ta", 4}, {"{\"task\":\"needle\",\"sett", 22}, {"\0\0\0\0", 4}, {"", 0}};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        char all[512];
        mn_results r;
        mn_error err;
        memcpy(all, first, sizeof first - 1);
        memcpy(all + sizeof first - 1, cut[i].text, cut[i].bytes);
        const char *path = write_bytes("cut.jsonl", all, sizeof first - 1 + cut[i].bytes);
        assert_ok(mn_results_read(path, &r, &err), err);
        assert_int_equal(r.n, 1);
        mn_results_close(&r);
        assert_holds(path, all, sizeof first - 1 + cut[i].bytes);
        assert_ok(mn_results_open(path, NULL, &r, &err), err);
        assert_int_equal(r.n, 1);
        mn_results_close(&r);
        assert_holds(path, first, sizeof first - 1);
    }
    const char *path = write_bytes("open.jsonl", first, sizeof first - 2); /* its last line has no end */
    mn_results r;
    mn_error err;
    assert_ok(mn_results_open(path, NULL, &r, &err), err);
    assert_int_equal(r.n, 1);
    mn_results_close(&r);
    assert_holds(path, first, sizeof first - 1);
}

static void other_origins_are_refused(void **state) {
    (void)state;
    const char *path = temp_path("origin.jsonl");
    mn_results r;
    mn_error err;
    const mn_result one = {.task = "needle", .length = 256, .depth = -1, .score = 0.5};
    assert_ok(mn_results_open(path, "model=a seed=1", &r, &err), err);
    assert_ok(mn_results_add(&r, &one, NULL, NULL, &err), err);
    mn_results_close(&r);
    assert_int_equal(mn_results_open(path, "model=a seed=2", &r, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "made with \"model=a seed=1\" and not with \"model=a seed=2\""));
    assert_ok(mn_results_open(path, "model=a seed=1", &r, &err), err);
    assert_int_equal(r.n, 1);
    assert_true(r.items[0].score == 0.5);
    mn_results_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_something_else_stays_as_it_is),
        cmocka_unit_test(a_cut_result_is_dropped),
        cmocka_unit_test(other_origins_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
