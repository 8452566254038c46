/* eval/sample_file, eval/wording: samples come back as they were written, hostile lines end in a sentence, and other
 * words change nothing but the words. */
#include "support/support.h"

#include "eval/sample_file.h"
#include "eval/wording.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *write_text(const char *name, const char *text) {
    const char *path = temp_path(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static mn_saved_sample make_sample(int64_t i) {
    mn_saved_sample x = {.task = mn_task_find("vt"), .length = 4096, .sample = i, .depth = 0.25};
    mn_task_sample_init(&x.s);
    mn_strbuf_printf(&x.s.document, "line \"%d\"\n\ttab \\ and \xc3\xa9", (int)i);
    mn_strbuf_puts(&x.s.question, "what?");
    mn_strbuf_puts(&x.s.prefix, "It is");
    mn_task_add_reference(&x.s, "one");
    mn_task_add_reference(&x.s, "two\nlines");
    return x;
}

static void comes_back_as_written(void **state) {
    (void)state;
    mn_saved_sample *read;
    int64_t n;
    mn_error err;
    const char *path = temp_path("samples.jsonl");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int64_t i = 0; i < 3; i++) {
        mn_saved_sample x = make_sample(i);
        assert_ok(mn_sample_write(f, &x, &err), err);
        mn_task_sample_release(&x.s);
    }
    fclose(f);
    assert_ok(mn_samples_read(path, &read, &n, &err), err);
    assert_int_equal(n, 3);
    for (int64_t i = 0; i < n; i++) {
        mn_saved_sample want = make_sample(i);
        assert_ptr_equal(read[i].task, want.task);
        assert_int_equal(read[i].length, 4096);
        assert_int_equal(read[i].sample, i);
        assert_true(read[i].depth == 0.25);
        assert_string_equal(read[i].s.document.data, want.s.document.data);
        assert_string_equal(read[i].s.question.data, "what?");
        assert_string_equal(read[i].s.prefix.data, "It is");
        assert_int_equal(read[i].s.n_references, 2);
        assert_string_equal(read[i].s.references[1], "two\nlines");
        mn_task_sample_release(&want.s);
    }
    mn_samples_release(read, n);
    unlink(path);
}

static void what_is_no_text_is_not_written(void **state) {
    (void)state;
    mn_saved_sample x = make_sample(0);
    mn_error err;
    FILE *f = fopen("/dev/null", "w");
    mn_strbuf_puts(&x.s.document, "cut \xe7\x9a");
    assert_int_equal(mn_sample_write(f, &x, &err), MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "no UTF-8"));
    fclose(f);
    mn_task_sample_release(&x.s);
}

static void hostile_lines_are_named(void **state) {
    (void)state;
    static const char *const lines[] = {
        "",
        "{",
        "[]",
        "{\"task\": \"none\"}",
        "{\"task\": \"vt\", \"length\": -1}",
        "{\"task\": \"vt\", \"length\": 99, \"sample\": 0}",
        "{\"task\": \"vt\", \"length\": 99, \"sample\": 0, \"document\": \"x\", \"references\": []}",
        "{\"task\": \"vt\", \"length\": 99, \"sample\": 0, \"document\": \"x\", \"references\": [3]}",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        mn_saved_sample *read;
        int64_t n;
        mn_error err;
        assert_int_equal(mn_samples_read(write_text("bad.jsonl", lines[i]), &read, &n, &err), MN_ERR_FORMAT);
        assert_null(read);
    }
    unlink(temp_path("bad.jsonl"));
}

static void other_words(void **state) {
    (void)state;
    mn_wordings w;
    mn_error err;
    mn_task_sample s;
    assert_ok(mn_wordings_read(write_text("words.json",
                                          "[{\"task\": \"vt\", \"prompt\": \"<{context}|{query}>\", \"answer_prefix\": "
                                          "\"{query}:\"}]\n{\"task\": \"fwe\", \"prompt\": \"{context}\"}"),
                               &w, &err),
              err);
    assert_int_equal(w.n, 2);
    assert_null(mn_wordings_find(&w, "cwe"));
    mn_task_sample_init(&s);
    mn_strbuf_puts(&s.document, "our words. {query} text");
    s.context_begin = strlen("our words. ");
    mn_strbuf_puts(&s.query, "{context}");
    mn_task_reword(mn_wordings_find(&w, "vt"), &s);
    assert_string_equal(s.document.data, "<{query} text|{context}>"); /* what is put in is not searched again */
    assert_string_equal(s.prefix.data, "{context}:");
    assert_string_equal(s.question.data, "");
    mn_task_sample_release(&s);
    mn_wordings_release(&w);
    static const char twice[] = "[{\"task\": \"vt\", \"prompt\": \"{context}\"}, "
                                "{\"task\": \"vt\", \"prompt\": \"{context}\"}]";
    static const char *const bad[] = {"", "{}", "[", "{\"task\": \"vt\", \"prompt\": \"none\"}", twice};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mn_wordings_read(write_text("words.json", bad[i]), &w, &err), MN_ERR_FORMAT);
    unlink(temp_path("words.json"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_written),
        cmocka_unit_test(what_is_no_text_is_not_written),
        cmocka_unit_test(hostile_lines_are_named),
        cmocka_unit_test(other_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
