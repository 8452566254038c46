/* Expressions and statements as Jinja 3.1.6 on Python 3.11 renders them, set up as Hugging Face sets it up: every
 * filter, test and method on values of every kind. tests/data/jinja/golden.json holds [template, rendering] pairs, and
 * templates that fail. */
#include "support/support.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/chat_template.h"

static json_t *load(void) {
    json_error_t error;
    json_t *golden = json_load_file(MNEMO_SOURCE_DIR "/tests/data/jinja/golden.json", 0, &error);
    if (!golden) fail_msg("golden.json, line %d: %s", error.line, error.text);
    return golden;
}

static mn_status render(const char *source, const char *variables, char **text, mn_error *err) {
    mn_chat_template *t = NULL;
    mn_chat_span *spans = NULL;
    size_t bytes, n_spans;
    const mn_chat_options options = {.variables_json = variables, .now = 1};
    mn_status status = mn_chat_template_create(source, strlen(source), &t, err);
    *text = NULL;
    if (status == MN_OK) status = mn_chat_template_render(t, NULL, 0, &options, text, &bytes, &spans, &n_spans, err);
    mn_chat_template_destroy(t);
    free(spans);
    return status;
}

static void renders_like_jinja(void **state) {
    (void)state;
    json_t *golden = load(), *cases = json_object_get(golden, "cases");
    char *variables = json_dumps(json_object_get(golden, "variables"), 0), *text;
    size_t n_wrong = 0;
    assert_true(json_array_size(cases) > 1500);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const char *source = json_string_value(json_array_get(json_array_get(cases, i), 0));
        const char *want = json_string_value(json_array_get(json_array_get(cases, i), 1));
        mn_error err;
        mn_status status = render(source, variables, &text, &err);
        if (status != MN_OK || strcmp(text, want)) {
            print_message("%s\nwant: %s\ngot:  %s\n", source, want, status ? err.text : text);
            n_wrong++;
        }
        free(text);
    }
    assert_int_equal(n_wrong, 0);
    free(variables);
    json_decref(golden);
}

static void fails_where_jinja_fails(void **state) {
    (void)state;
    json_t *golden = load(), *errors = json_object_get(golden, "errors");
    char *variables = json_dumps(json_object_get(golden, "variables"), 0), *text;
    for (size_t i = 0; i < json_array_size(errors); i++) {
        mn_error err = {0};
        const char *source = json_string_value(json_array_get(errors, i));
        if (render(source, variables, &text, &err) == MN_OK) fail_msg("%s: \"%s\"", source, text);
        assert_true(err.text[0]);
    }
    free(variables);
    json_decref(golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_like_jinja),
        cmocka_unit_test(fails_where_jinja_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
