/* tokenizer/chat_template: a template in the manner of each model family, marks that user text keeps, errors that name
 * what is wrong, and hostile templates that end. */
#include "support/support.h"

#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "tokenizer/chat_template.h"

typedef struct rendered {
    char *text;
    size_t bytes;
    mn_chat_span *spans;
    size_t n_spans;
} rendered;

static void release(rendered *r) {
    free(r->text);
    free(r->spans);
}

static mn_chat_template *compile(const char *source) {
    mn_chat_template *t;
    mn_error err;
    if (mn_chat_template_create(source, strlen(source), &t, &err)) fail_msg("%s\n%s", source, err.text);
    return t;
}

static mn_status render(const mn_chat_template *t, const mn_chat_message *messages, size_t n,
                        const mn_chat_options *options, rendered *out, mn_error *err) {
    return mn_chat_template_render(t, messages, n, options, &out->text, &out->bytes, &out->spans, &out->n_spans, err);
}

/* A conversation of tests/data/templates/NAME.json, as an API client would send it. */
typedef struct conversation {
    mn_chat_message messages[16];
    size_t n;
    mn_chat_options options;
    json_t *json;
} conversation;

static conversation load(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/tests/data/templates/%s.json", MNEMO_SOURCE_DIR, name);
    conversation c = {
        .json = json_load_file(path, 0, NULL),
        .options = {.bos_token = "<s>", .eos_token = "</s>", .add_generation_prompt = true, .now = 1700000000}};
    assert_non_null(c.json);
    json_t *messages = json_object_get(c.json, "messages");
    for (; c.n < json_array_size(messages); c.n++) {
        json_t *m = json_array_get(messages, c.n);
        c.messages[c.n] = (mn_chat_message){.role = json_string_value(json_object_get(m, "role")),
                                            .content = json_string_value(json_object_get(m, "content")),
                                            .fields_json = json_dumps(m, 0)};
    }
    c.options.tools_json = json_dumps(json_object_get(c.json, "tools"), 0);
    c.options.variables_json = json_dumps(json_object_get(c.json, "variables"), 0);
    return c;
}

static void unload(conversation *c) {
    for (size_t i = 0; i < c->n; i++) free((char *)c->messages[i].fields_json);
    free((char *)c->options.tools_json);
    free((char *)c->options.variables_json);
    json_decref(c->json);
}

static char *read_data(const char *name, const char *ending) {
    char path[256];
    size_t bytes;
    snprintf(path, sizeof path, "%s/tests/data/templates/%s.%s", MNEMO_SOURCE_DIR, name, ending);
    return read_all(path, &bytes);
}

static void check_spans(const rendered *r) {
    size_t at = 0;
    for (size_t i = 0; i < r->n_spans; at = r->spans[i++].end) {
        assert_int_equal(r->spans[i].begin, at);
        assert_true(r->spans[i].end > at);
        if (i) assert_true(r->spans[i].from_message != r->spans[i - 1].from_message);
    }
    assert_int_equal(at, r->bytes);
}

static void renders(const char *family, const char *name) {
    char ending[32];
    snprintf(ending, sizeof ending, "%s.txt", name);
    char *source = read_data(family, "jinja"), *want = read_data(family, ending);
    conversation c = load(name);
    mn_chat_template *t = compile(source);
    rendered r;
    mn_error err;
    if (render(t, c.messages, c.n, &c.options, &r, &err)) fail_msg("%s.%s: %s", family, name, err.text);
    if (strcmp(r.text, want)) fail_msg("%s.%s\nwant:\n%s\ngot:\n%s", family, name, want, r.text);
    check_spans(&r);
    release(&r);
    mn_chat_template_destroy(t);
    unload(&c);
    free(source);
    free(want);
}

static void families(void **state) {
    (void)state;
    setenv("TZ", "UTC", 1);
    static const char *const talk[] = {"chatml",  "command-r", "deepseek-r1", "deepseek2", "gemma2",
                                       "gemma3",  "llama2",    "llama3",      "llama31",   "mistral-nemo",
                                       "mistral", "phi3",      "phi4",        "qwen25",    "qwen3"};
    static const char *const call[] = {"command-r", "deepseek-r1", "llama31", "mistral-nemo", "qwen25", "qwen3"};
    for (size_t i = 0; i < sizeof talk / sizeof *talk; i++) renders(talk[i], "chat");
    for (size_t i = 0; i < sizeof call / sizeof *call; i++) renders(call[i], "tools");
}

/* Whatever a template does to `content`, no byte of it may end in a span of the template. */
static void user_text_stays_marked(void **state) {
    (void)state;
    static const char *const ways[] = {
        "<u>{{ c }}</u>",
        "{{ '<u>' + c + '</u>' }}",
        "{{ '<u>' ~ c ~ '</u>' }}",
        "{{ c | trim }}{{ c.strip('<') }}{{ c[1:-1] }}{{ c[::-1] }}{{ c[0] }}{{ c | reverse }}",
        "{{ c | upper }}{{ c | lower }}{{ c.title() }}{{ c | capitalize }}",
        "{{ c | replace('|', '!') }}{{ 'axb' | replace('x', c) }}{{ c.replace('', '-') }}",
        "{{ c | tojson }}{{ [c] }}{{ {'k': c} | tojson(indent=2) }}{{ {c: 1} }}",
        "{{ c.split('|') | join('+') }}{{ c.split() | first }}{{ c | list | join }}{{ c.rsplit('_', 1) | last }}",
        "{{ c | indent(2, true) }}{{ c * 2 }}{{ c | default('q') }}{{ [c, c] | unique | join }}",
        "{% set x %}[{{ c }}]{% endset %}{{ x }}{% filter trim %} {{ c }} {% endfilter %}",
        "{% macro m(t) %}({{ t }}){% endmacro %}{{ m(c) }}{% for ch in c %}{{ ch }}{% endfor %}",
        "{% set ns = namespace(t=c) %}{{ ns.t }}{{ messages | map(attribute='content') | join(',') }}",
        "{{ '%s' % c }}{{ '%-20s.' % c }}{{ '%(c)s' % {'c': c} }}{{ c | format }}{{ '%r' % c }}",
        "{{ '{}'.format(c) }}{{ '{x:>20}'.format(x=c) }}{{ '{!r}'.format(c) }}{{ '{0[2]}'.format(c) }}",
        "{{ c | e }}{{ c | e | safe }}{{ '<u>' | safe + c }}{{ c | forceescape }}{{ {'q': c} | xmlattr }}",
        "{{ c | truncate(5) }}{{ c | wordwrap(3) }}{{ c | center(20) }}{{ c | urlencode }}{{ c.swapcase() }}",
        "{{ c.partition('_') | join }}{{ c.rpartition('_') | last }}{{ c.ljust(20) }}{{ c.zfill(20) }}",
        "{{ c.splitlines(true) | join }}{{ c | batch(2) | map('join') | join }}{{ [c] | groupby(0) | list }}",
        "{{ [c, 'a'] | sort | join }}{{ [c] | max }}{{ [c] | sum(start='') }}{{ dict(x=c) }}{{ c.expandtabs() }}",
        "{% macro v() %}{{ varargs | join }}{{ kwargs }}{% endmacro %}{{ v(c, q=c) }}{{ v(*[c], **{'k': c}) }}",
        "{% with x = c %}{{ x }}{% endwith %}{% set (a, b) = (c, 1) %}{{ a }}{{ namespace(x=c).x }}",
        "{% for ch in [c] %}{{ loop.cycle(c) }}{{ loop.previtem }}{% endfor %}{{ joiner(c)() }}{{ cycler(c).next() }}",
        "{{ c.removeprefix('<') }}{{ 'a' ~ (c if c else '') }}{{ (messages | last).content }}",
        "{{ messages[0].extra.tag }}",
    };
    const mn_chat_message message = {
        .role = "user", .content = "<|IM_end|>", .fields_json = "{\"extra\": {\"tag\": \"<|IM_end|>\"}}"};
    const mn_chat_options options = {0};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char source[512];
        snprintf(source, sizeof source, "{%% set c = messages[0].content %%}%s", ways[i]);
        mn_chat_template *t = compile(source);
        rendered r;
        mn_error err;
        assert_ok(render(t, &message, 1, &options, &r, &err), err);
        check_spans(&r);
        size_t n_marked = 0;
        for (size_t s = 0; s < r.n_spans; s++) {
            size_t n = r.spans[s].end - r.spans[s].begin;
            n_marked += r.spans[s].from_message;
            if (!r.spans[s].from_message && strcspn(r.text + r.spans[s].begin, "_|dDnNmMiI") < n)
                fail_msg("%s: \"%.*s\" is taken for the template's", ways[i], (int)n, r.text + r.spans[s].begin);
        }
        assert_true(n_marked > 0);
        release(&r);
        mn_chat_template_destroy(t);
    }
}

static void spans_are_exact(void **state) {
    (void)state;
    mn_chat_template *t =
        compile("<|{{ messages[0].role }}|>{{ ' ' + messages[0].content | trim + '</s>' }}{{ tools[0].n }}");
    const mn_chat_message message = {.role = "user", .content = "  </s> "};
    const mn_chat_options options = {.tools_json = "[{\"n\": \"f\"}]"};
    rendered r;
    mn_error err;
    assert_ok(render(t, &message, 1, &options, &r, &err), err);
    assert_string_equal(r.text, "<|user|> </s></s>f");
    assert_int_equal(r.n_spans, 4);
    assert_int_equal(r.spans[1].begin, 9);
    assert_int_equal(r.spans[1].end, 13);
    assert_true(r.spans[1].from_message);
    assert_false(r.spans[2].from_message);
    assert_true(r.spans[3].from_message);
    release(&r);
    mn_chat_template_destroy(t);
}

typedef struct failure {
    const char *source;
    mn_status status;
    const char *says; /* part of the sentence */
} failure;

static void broken_templates_do_not_compile(void **state) {
    (void)state;
    static const failure cases[] = {
        {"{% if x %}", MN_ERR_FORMAT, "\"elif\" is missing"},
        {"{% endif %}", MN_ERR_FORMAT, "\"endif\" closes nothing"},
        {"{% endfrob %}", MN_ERR_FORMAT, "\"endfrob\" closes nothing"},
        {"{{ x", MN_ERR_FORMAT, "\"}}\" is missing"},
        {"{# x", MN_ERR_FORMAT, "\"#}\" is missing"},
        {"{% raw %} {{ x }}", MN_ERR_FORMAT, "\"endraw\" is missing"},
        {"{{ 'x }}", MN_ERR_FORMAT, "a string is not closed"},
        {"{{ x ? y }}", MN_ERR_FORMAT, "\"?\""},
        {"{{ }}", MN_ERR_FORMAT, "\"}}\" stands where a value should"},
        {"{{ 1 2 }}", MN_ERR_FORMAT, "\"2\" stands where"},
        {"{{ x[] }}", MN_ERR_FORMAT, "[] has no index"},
        {"{% break %}", MN_ERR_FORMAT, "outside a loop"},
        {"{% for x in y %}{% set z %}{% break %}{% endset %}{% endfor %}", MN_ERR_FORMAT, "outside a loop"},
        {"{{ f(a=1, 2) }}", MN_ERR_FORMAT, "an argument by place follows one by name"},
        {"{% call x %}{% endcall %}", MN_ERR_FORMAT, "\"call\" needs a call"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_chat_template *t = NULL;
        mn_error err = {0};
        mn_status status = mn_chat_template_create(cases[i].source, strlen(cases[i].source), &t, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].says))
            fail_msg("%s: %d \"%s\"", cases[i].source, status, err.text);
    }
}

/* What there is not fails when it is reached, and names itself and its line; where it is not reached it does no harm.
 */
static void unknown_constructs_fail_when_reached(void **state) {
    (void)state;
    static const failure cases[] = {
        {"{% include 'x' %}", MN_ERR_UNSUPPORTED, "there is no statement \"include\""},
        {"{% frob a, b=1 %}{% if x %}{% frob %}{{ 1 }}{% endfrob %}{% endif %}{% endfrob %}", MN_ERR_UNSUPPORTED,
         "there is no statement \"frob\""},
        {"{{ x | frobnicate }}", MN_ERR_UNSUPPORTED, "there is no filter \"frobnicate\""},
        {"{{ x | frob.nicate(1) }}", MN_ERR_UNSUPPORTED, "there is no filter \"frob.nicate\""},
        {"{{ x is prime }}", MN_ERR_UNSUPPORTED, "there is no test \"prime\""},
        {"{{ lipsum(3) }}", MN_ERR_UNSUPPORTED, "there is no function \"lipsum\""},
        {"{{ [].append(1) }}", MN_ERR_UNSUPPORTED, "there is no method \"append\""},
        {"{% set _ = {}.update({}) %}", MN_ERR_UNSUPPORTED, "there is no method \"update\""},
        {"{% filter nope %}{% endfilter %}", MN_ERR_UNSUPPORTED, "\"nope\""},
        {"{{ ['a'] | map('nope') | list }}", MN_ERR_UNSUPPORTED, "there is no filter \"nope\""},
        {"{{ ['a'] | select('nope') | list }}", MN_ERR_UNSUPPORTED, "there is no test \"nope\""},
        {"{% autoescape true %}{% endautoescape %}", MN_ERR_UNSUPPORTED, "\"autoescape\""},
        {"{{ 99999999999999999999 }}", MN_ERR_LIMIT, "does not fit in 64 bits"},
    };
    const mn_chat_options options = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char source[512];
        rendered r;
        mn_error err = {0};
        snprintf(source, sizeof source, "\n{%% if true %%}%s{%% endif %%}", cases[i].source);
        mn_chat_template *t = compile(source);
        mn_status status = render(t, NULL, 0, &options, &r, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].says) || !strstr(err.text, "line 2: "))
            fail_msg("%s: %d \"%s\"", source, status, err.text);
        mn_chat_template_destroy(t);
        snprintf(source, sizeof source, "{%% if false %%}%s{%% else %%}fine{%% endif %%}", cases[i].source);
        t = compile(source);
        assert_ok(render(t, NULL, 0, &options, &r, &err), err);
        assert_string_equal(r.text, "fine");
        release(&r);
        mn_chat_template_destroy(t);
    }
}

/* Content that a message does not have is undefined; content that is null is none. */
static void absent_content_is_undefined(void **state) {
    (void)state;
    mn_chat_template *t = compile("{% for m in messages %}{{ m.content is defined }} {{ m.content is none }} "
                                  "{{ m.content }}|{% endfor %}");
    const mn_chat_message messages[] = {{.role = "assistant"},
                                        {.role = "assistant", .fields_json = "{\"content\": null}"},
                                        {.role = "assistant", .content = ""}};
    const mn_chat_options options = {0};
    rendered r;
    mn_error err;
    assert_ok(render(t, messages, 3, &options, &r, &err), err);
    assert_string_equal(r.text, "False False |True True None|True False |");
    release(&r);
    mn_chat_template_destroy(t);
}

static void failing_templates_say_why(void **state) {
    (void)state;
    static const failure cases[] = {
        {"{{ raise_exception('Take turns!') }}", MN_ERR_ARGUMENT, "Take turns!"},
        {"\n{{ a.b.c }}", MN_ERR_ARGUMENT, "line 2: \"a\" is undefined, so it has no \"b\""},
        {"{{ 'x' + y }}", MN_ERR_ARGUMENT, "\"y\" is undefined and cannot be used with \"+\""},
        {"{{ 'x' + 1 }}", MN_ERR_ARGUMENT, "\"+\" does not work on a string and a number"},
        {"{{ 1 < 'x' }}", MN_ERR_ARGUMENT, "have no order"},
        {"{{ 1 // 0 }}", MN_ERR_ARGUMENT, "division by zero"},
        {"{% for x in 3 %}{% endfor %}", MN_ERR_ARGUMENT, "a number cannot be iterated over"},
        {"{% set x = 1 %}{% set x.y = 2 %}", MN_ERR_ARGUMENT, "not a namespace"},
        {"{% for a, b in [[1]] %}{% endfor %}", MN_ERR_ARGUMENT, "1 values cannot be given to 2 names"},
        {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", MN_ERR_ARGUMENT, "takes 1 arguments, not 2"},
        {"{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}", MN_ERR_ARGUMENT, "is given \"a\" twice"},
        {"{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", MN_ERR_ARGUMENT, "takes no argument \"b\""},
        {"{{ dict(**{'a': 1}, **{'a': 2}) }}", MN_ERR_ARGUMENT, "\"a\" is given twice"},
        {"{{ dict(**[1]) }}", MN_ERR_ARGUMENT, "what ** unpacks is a list"},
        {"{{ 'a' | replace('a') }}", MN_ERR_ARGUMENT, "replace needs its argument \"new\""},
        {"{{ '%d' % 'x' }}", MN_ERR_ARGUMENT, "needs a number, not a string"},
        {"{{ '%s' % () }}", MN_ERR_ARGUMENT, "fewer values than places"},
        {"{{ '{x}'.format(y=1) }}", MN_ERR_ARGUMENT, "there is no argument \"x\""},
        {"{{ '{'.format() }}", MN_ERR_ARGUMENT, "a single brace"},
        {"{{ 'a'.index('b') }}", MN_ERR_ARGUMENT, "not there"},
        {"{{ x | int }}", MN_ERR_ARGUMENT, "int needs a number, not an undefined"},
        {"{{ [1] | map('upper') | length }}", MN_ERR_ARGUMENT, "without |list, has no length"},
        {"{% for x in [1] %}{{ loop([2]) }}{% endfor %}", MN_ERR_ARGUMENT, "not marked \"recursive\""},
        {"{{ 'a' | trim(x=1) }}", MN_ERR_UNSUPPORTED, "trim takes no argument \"x\""},
        {"{{ nothing | tojson }}", MN_ERR_ARGUMENT, "JSON has no undefined"},
        {"{{ 9223372036854775807 + 1 }}", MN_ERR_LIMIT, "64 bits"},
    };
    const mn_chat_options options = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_chat_template *t = compile(cases[i].source);
        rendered r;
        mn_error err = {0};
        mn_status status = render(t, NULL, 0, &options, &r, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].says))
            fail_msg("%s: %d \"%s\"", cases[i].source, status, err.text);
        mn_chat_template_destroy(t);
    }
    const mn_chat_options broken = {.tools_json = "[1,"};
    mn_chat_template *t = compile("x");
    rendered r;
    mn_error err;
    assert_int_equal(render(t, NULL, 0, &broken, &r, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "the tools are not JSON"));
    mn_chat_template_destroy(t);
}

/* What a caller hands over may be large, and raises the budget as messages do. */
static void variables_count_for_the_budget(void **state) {
    (void)state;
    enum { N = 2000000 };
    mn_strbuf json = MN_STRBUF_INIT;
    mn_strbuf_puts(&json, "{\"numbers\": [0");
    for (int i = 1; i < N; i++) mn_strbuf_puts(&json, ",0");
    mn_strbuf_puts(&json, "]}");
    mn_chat_template *t = compile("{{ numbers | length }}");
    rendered r;
    mn_error err;
    assert_ok(render(t, NULL, 0, &(mn_chat_options){.variables_json = json.data}, &r, &err), err);
    assert_string_equal(r.text, "2000000");
    release(&r);
    mn_chat_template_destroy(t);
    mn_strbuf_release(&json);
}

static void hostile_templates_end(void **state) {
    (void)state;
    static const char *const sources[] = {
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in range(99999999999) %}{% endfor %}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% "
        "endfor %}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{{ 'x' * 99999999999 }}",
        "{{ [1] * 99999999999 }}",
        "{{ ('ab' * 9999) | replace('', 'y' * 999999) }}",
        "{% set ns = namespace(x=[]) %}{% for a in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[]) %}{% for a in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x == [ns.x] "
        "}}",
        "{% set ns = namespace(x=[]) %}{% for a in range(9999) %}{% set ns.x = {'a': ns.x} %}{% endfor %}{{ ns.x | "
        "tojson }}",
        "{{ ('a\\n' * 9999999) | indent('y' * 9999) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ 'x'.ljust(99999999999) }}",
        "{{ 'x' | center(99999999999) }}",
        "{{ 'x'.zfill(99999999999) }}",
        "{{ '%99999999d' % 1 }}",
        "{{ '{:99999999}'.format(1) }}",
        "{{ 1 | tojson(indent=99999999999) }}",
        "{{ 'x' | indent(99999999999) }}",
        "{{ '\\t' * 9999 | expandtabs(99999999) if false else ('\\t' * 9999).expandtabs(99999999) }}",
        "{{ ('a' * 999999).rfind('a' * 499999 + 'b') }}{{ ('a' * 999999).rfind('b' + 'a' * 499999) }}"
        "{% for a in range(99999) %}{{ ('a' * 999999).rfind('ab' * 9999) }}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for a in range(99) %}{% set ns.x = ns.x | e ~ '&' ~ ns.x | forceescape %}"
        "{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|sort "
        "}}",
        "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}"
        "{{ g() }}",
        "{% for a in range(9999) %}{{ ('a b c d e f g h i j' * 999) | wordwrap(1) }}{% endfor %}",
        "{% set a = 'a' * 200000 %}{% set b = 'a' * 100000 ~ 'b' %}{% for i in range(99999) %}{{ b in a }}{% endfor %}",
        "{% set l = range(3000) | list %}{{ ([l] * 3000) | sum(start=[]) | length }}",
        "{% set l = range(99999) | list %}{% for i in range(9999) %}{{ l | unique | list | length }}{% endfor %}",
        "{% set ns = namespace(d={}) %}{% for i in range(99999) %}{% set ns.d = dict(ns.d, **{i | string: 1}) %}"
        "{% endfor %}",
        "{% set a = 'a' * 9999999 %}{% for i in range(999999) %}{% if a == a ~ '' %}{% endif %}{% endfor %}",
    };
    const mn_chat_options options = {0};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        mn_chat_template *t = compile(sources[i]);
        rendered r;
        mn_error err;
        if (render(t, NULL, 0, &options, &r, &err) != MN_ERR_LIMIT) fail_msg("%s: %s", sources[i], err.text);
        mn_chat_template_destroy(t);
    }
    static const char *const nesting[] = {"(", "[", "-", "not ", "{{", "{% if 1 %}", "{% for a in b %}", "a[", "a if "};
    for (size_t i = 0; i < sizeof nesting / sizeof *nesting; i++) {
        char source[20000] = "{{ ";
        bool is_tag = nesting[i][0] == '{';
        for (size_t n = is_tag ? 0 : 3; n + 32 < sizeof source; n += strlen(nesting[i])) strcpy(source + n, nesting[i]);
        mn_chat_template *t = NULL;
        mn_error err;
        assert_int_not_equal(mn_chat_template_create(source, strlen(source), &t, &err), MN_OK);
    }
}

/* Tries both conversations, with tools, as they are and without their first message: some templates refuse a system
 * message, and some arguments that are not strings. */
static bool renders_something(const mn_chat_template *t, const conversation *two, mn_error *err) {
    for (int i = 0; i < 4; i++) {
        size_t skipped = i % 2;
        rendered r;
        const conversation *c = &two[i / 2];
        if (render(t, c->messages + skipped, c->n - skipped, &two[0].options, &r, err) != MN_OK) continue;
        check_spans(&r);
        release(&r);
        return true;
    }
    return false;
}

static bool template_file_works(const char *path, const conversation *two) {
    size_t bytes;
    char *source = read_all(path, &bytes);
    mn_chat_template *t = NULL;
    mn_error err;
    bool works = mn_chat_template_create(source, bytes, &t, &err) == MN_OK && renders_something(t, two, &err);
    if (!works) print_message("%s: %s\n", path, err.text);
    mn_chat_template_destroy(t);
    free(source);
    return works;
}

/* Every *.jinja of the directory that MNEMO_TEMPLATES names, else of ours, renders one of our conversations. */
static void templates_of_a_directory(void **state) {
    (void)state;
    const char *named = getenv("MNEMO_TEMPLATES"),
               *directory = named ? named : MNEMO_SOURCE_DIR "/tests/data/templates";
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    conversation two[] = {load("tools"), load("chat")};
    int n_files = 0, n_working = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[1024];
        if (!strstr(entry->d_name, ".jinja")) continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        n_files++;
        n_working += template_file_works(path, two);
    }
    closedir(dir);
    for (int i = 0; i < 2; i++) unload(&two[i]);
    print_message("%d of %d templates work\n", n_working, n_files);
    assert_true(n_files > 0);
    assert_int_equal(n_working, n_files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families),
        cmocka_unit_test(user_text_stays_marked),
        cmocka_unit_test(spans_are_exact),
        cmocka_unit_test(broken_templates_do_not_compile),
        cmocka_unit_test(unknown_constructs_fail_when_reached),
        cmocka_unit_test(absent_content_is_undefined),
        cmocka_unit_test(failing_templates_say_why),
        cmocka_unit_test(variables_count_for_the_budget),
        cmocka_unit_test(hostile_templates_end),
        cmocka_unit_test(templates_of_a_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
