#include "support/support.h"

#include "train/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *write_config(const char *text) {
    const char *path = temp_path("config.ini");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static const char good[] = "# a comment\n"
                           "[model]\nfrom = base.gguf\n"
                           "[train]\nout = a b.gguf ; behind a value\nwindow = 4k\nrate=1e-3\noptimiser = muon\n"
                           "[group taps]\nmatch = *_conv.*\nrate = 0.03\ndecay = 0\n"
                           "[source keys]\npaths = books more\nneedles = key-value\nweight = .4\nvalue = 5\n"
                           "[source prose]\npaths = books\n";

static void test_reads_what_people_write(void **state) {
    (void)state;
    mn_train_config c;
    mn_error err;
    mn_train_config_init(&c);
    assert_ok(mn_train_config_read(&c, write_config(good), &err), err);
    assert_ok(mn_train_config_check(&c, &err), err);
    assert_string_equal(c.from, "base.gguf");
    assert_string_equal(c.out, "a b.gguf");
    assert_int_equal(c.window, 4096);
    assert_true(c.rate == 1e-3 && c.muon_rate == 0.02);
    assert_int_equal(c.optimiser, MN_OPTIMISER_MUON);
    assert_int_equal(c.n_groups, 1);
    assert_string_equal(c.groups[0].name, "taps");
    assert_true(c.groups[0].rate == 0.03 && c.groups[0].decay == 0 && c.groups[0].optimiser == -1);
    assert_int_equal(c.n_sources, 2);
    assert_true(c.sources[0].weight == 0.4 && c.sources[0].role_weights[MN_ROLE_VALUE] == 5);
    assert_true(c.sources[0].role_weights[MN_ROLE_TEXT] == -1 && c.role_weights[MN_ROLE_VALUE] == 3);
    assert_null(c.sources[1].needles);
    mn_train_config_release(&c);
}

/* Written and read again it is the same text, with every key in it. */
static void test_written_reads_back(void **state) {
    (void)state;
    mn_train_config c, d;
    mn_error err;
    mn_strbuf first = MN_STRBUF_INIT, second = MN_STRBUF_INIT;
    mn_train_config_init(&c);
    mn_train_config_init(&d);
    assert_ok(mn_train_config_read(&c, write_config(good), &err), err);
    mn_train_config_write(&c, &first);
    assert_ok(mn_train_config_read(&d, write_config(first.data), &err), err);
    mn_train_config_write(&d, &second);
    assert_string_equal(first.data, second.data);
    assert_non_null(strstr(first.data, "optimiser = muon"));
    mn_strbuf_release(&first);
    mn_strbuf_release(&second);
    mn_train_config_release(&c);
    mn_train_config_release(&d);
}

/* "\\n" is a line end, lists of paths hold blanks in quotes and go on in the next line, and all of it is written back.
 */
static void test_escapes_and_lists(void **state) {
    (void)state;
    static const char text[] = "[model]\nask-template = {document}\\nQuestion: {prompt}\\\\n\n"
                               "[source a]\npaths = one \"two three\"\n  four\n";
    static const char *const wanted[] = {"one", "two three", "four"};
    mn_train_config c, d;
    mn_error err;
    mn_strbuf written = MN_STRBUF_INIT;
    char path[MN_PATH_BYTES];
    mn_train_config_init(&c);
    mn_train_config_init(&d);
    assert_ok(mn_train_config_read(&c, write_config(text), &err), err);
    mn_train_config_write(&c, &written);
    assert_ok(mn_train_config_read(&d, write_config(written.data), &err), err);
    assert_string_equal(d.ask_template, "{document}\nQuestion: {prompt}\\n");
    const char *rest = d.sources[0].paths;
    for (int i = 0; i < 3; i++) {
        assert_true(mn_train_next_path(&rest, path, sizeof path));
        assert_string_equal(path, wanted[i]);
    }
    assert_false(mn_train_next_path(&rest, path, sizeof path));
    assert_ok(mn_train_config_set(&d, "source.a.paths=other", &err), err); /* takes the place of all */
    assert_string_equal(d.sources[0].paths, "other");
    assert_int_equal(mn_train_config_set(&d, "name=two\nlines", &err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_train_config_set(&d, "name=a ;b", &err), MN_ERR_ARGUMENT);
    mn_strbuf_release(&written);
    mn_train_config_release(&c);
    mn_train_config_release(&d);
}

/* What may change from run to run, and what may not. */
static void test_the_same_training(void **state) {
    (void)state;
    mn_train_config c;
    mn_error err;
    mn_strbuf text = MN_STRBUF_INIT;
    mn_train_config_init(&c);
    assert_ok(mn_train_config_read(&c, write_config(good), &err), err);
    mn_train_config_write(&c, &text);
    assert_ok(mn_train_config_same(&c, text.data, &err), err);
    assert_ok(mn_train_config_set(&c, "steps=5000", &err), err);
    assert_ok(mn_train_config_set(&c, "train.rate=0.1", &err), err);
    assert_ok(mn_train_config_set(&c, "source.more.paths=x", &err), err);
    assert_ok(mn_train_config_same(&c, text.data, &err), err);
    assert_ok(mn_train_config_same(&c, "[model]\nfrom = base.gguf\n[train]\nwindow = 4096\noptimiser = muon\n", &err),
              err); /* keys that are younger have their defaults */
    static const char *const other[] = {"model.from=other.gguf", "window=8k", "lora.rank=4", "positions.scaling=yarn"};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        mn_train_config d = c;
        assert_ok(mn_train_config_set(&d, other[i], &err), err);
        c.arena = d.arena;
        assert_int_equal(mn_train_config_same(&d, text.data, &err), MN_ERR_ARGUMENT);
        assert_non_null(strstr(err.text, i == 1 ? "window = 8192" : strchr(other[i], '=') + 1));
    }
    mn_strbuf_release(&text);
    mn_train_config_release(&c);
}

static void test_overrides(void **state) {
    (void)state;
    mn_train_config c;
    mn_error err;
    mn_train_config_init(&c);
    assert_ok(mn_train_config_set(&c, "steps=12", &err), err);
    assert_ok(mn_train_config_set(&c, "lora.rank=8", &err), err);
    assert_ok(mn_train_config_set(&c, "source.keys.weight=2", &err), err);
    assert_int_equal(c.steps, 12);
    assert_int_equal(c.lora_rank, 8);
    assert_string_equal(c.sources[0].name, "keys");
    assert_true(c.sources[0].weight == 2);
    assert_int_equal(mn_train_config_set(&c, "stepz=12", &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "\"steps\""));
    assert_int_equal(mn_train_config_set(&c, "steps", &err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_train_config_set(&c, "steps=-1", &err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_train_config_set(&c, "train.rate=fast", &err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_train_config_set(&c, "rate=nan", &err), MN_ERR_ARGUMENT);
    mn_train_config_release(&c);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"[train]\nwindw = 3\n", "line 2: [train] has no key \"windw\"; the nearest is \"window\""},
        {"[trian]\nwindow = 3\n", "there is no section [trian]"},
        {"window = 512\n", "before any [section]"},
        {"[train]\nwindow = 3\n", "wanted a whole number from 8"},
        {"[train]\n\noptimiser = sgd\n", "line 3: train.optimiser is \"sgd\"; wanted one of: adamw muon"},
        {"[source]\npaths = x\n", "needs a name"},
        {"[train x]\nout = y\n", "there is no section"},
        {"[train]\njust words\n", "line 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mn_train_config c;
        mn_error err = {0};
        mn_train_config_init(&c);
        assert_true(mn_train_config_read(&c, write_config(bad[i].text), &err) != MN_OK);
        if (!strstr(err.text, bad[i].word)) fail_msg("\"%s\" instead of \"%s\"", err.text, bad[i].word);
        mn_train_config_release(&c);
    }
    char *longest = calloc(1, 1000);
    memset(longest, 'x', 999);
    mn_train_config c;
    mn_error err;
    mn_train_config_init(&c);
    assert_int_equal(mn_train_config_read(&c, write_config(longest), &err), MN_ERR_LIMIT);
    assert_int_equal(mn_train_config_read(&c, "/nowhere/config.ini", &err), MN_ERR_IO);
    mn_train_config_release(&c);
    free(longest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_people_write),
        cmocka_unit_test(test_written_reads_back),
        cmocka_unit_test(test_escapes_and_lists),
        cmocka_unit_test(test_the_same_training),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
