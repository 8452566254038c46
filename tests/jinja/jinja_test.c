/* Jinja, construct by construct. What is expected was rendered by Jinja 3.1.6 set up as Hugging Face sets it
 * up (trim_blocks, lstrip_blocks, loop controls, plain tojson). */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/chat_template.h"

static const char variables[] =
    "{\"s\": \" Héllo World \", \"l\": [3, 1, 2], \"d\": {\"b\": 1, \"a\": [true, null, 1.5]}, \"u\": \"x\\\"y\\nz\", "
    "\"n\": 7,"
    " \"people\": [{\"name\": \"Bo\", \"age\": 3}, {\"name\": \"al\", \"age\": 5}, {\"age\": 1}]}";

typedef struct sample {
    const char *source, *rendered;
} sample;

static const sample samples[] = {
    {"a{# c #}b", "ab"},
    {"a {#- c -#} b", "ab"},
    {"  {% if true %}\n x\n  {% endif %}\ny", " x\ny"},
    {"{{ 1 }}\n{% if true %}\nx{% endif %}\n", "1\nx"},
    {"  {%+ if true %}x{% endif +%}\ny", "  x\ny"},
    {"x  {%- if true -%}  y  {%- endif -%}  z", "xyz"},
    {"{{- 1 -}}  2", "12"},
    {"{{ 1 }}\n", "1"},
    {"{{ \"{{ }}\" }}{{ '%}' }}", "{{ }}%}"},
    {"{{ {'a': {'b': 1}}['a']['b'] }}", "1"},
    {"{{ 'a\\tb\\x41\\u00e9\\\\q\\'' }}", "a\tbAé\\q'"},
    {"{{ 'a' 'b' \"c\" }}", "abc"},
    {"{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 7 "
     "/ 2 }} {{ 2 ** -1 }}",
     "3 9 3 -4 2 1024 3.5 0.5"},
    {"{{ 1.5 + 1 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 100.0 }} {{ 3.0 // 2 }} {{ -5.5 % 2 }} {{ "
     "123456.75 }}",
     "2.5 1e+16 1e-05 0.30000000000000004 100.0 1.0 0.5 123456.75"},
    {"{{ 'a' ~ 1 ~ none ~ true }} {{ 'ab' * 3 }} {{ [1] * 2 }} {{ [1] + [2] }}", "a1NoneTrue ababab [1, 1] [1, 2]"},
    {"{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1,2] < [1,3] "
     "}} {{ 1 != 2 }} {{ 2 >= 2 }} {{ 2 <= 1 }}",
     "True False True True True True True True False"},
    {"{{ 'a' in 'cat' }} {{ 1 in [1] }} {{ 'b' in d }} {{ 'x' not in d }} {{ not 'x' in d }} {{ 3 in (1, "
     "2) }} {{ 1 in nothing }}",
     "True True True True True False False"},
    {"{{ 1 and 0 }} {{ 0 or 'x' }} {{ not 1 }} {{ not nothing }} {{ 1 or nothing.x }}", "0 x False True 1"},
    {"{{ 'y' if n > 3 else 'z' }} {{ 'y' if n > 30 }} {{ 1 if 0 else 2 if 0 else 3 }}", "y  3"},
    {"{{ l[0] }} {{ l[-1] }} {{ l[1:] }} {{ l[::-1] }} {{ l[:-1] }} {{ l[::2] }} {{ l[5:] }} {{ l[-2:] "
     "}} {{ l[2:0:-1] }} {{ l[9] }}|",
     "3 2 [1, 2] [2, 1, 3] [3, 1] [3, 2] [] [1, 2] [2, 1] |"},
    {"{{ s[1:3] }} {{ s[::-1] }} {{ s[2] }} {{ s[-2] }} {{ s[99] }}|{{ 'abc'[1:] }} {{ 'abc'[::2] }} {{ "
     "'héé'[1:2] }}",
     "Hé  dlroW olléH  é d |bc ac é"},
    {"{{ d.b }} {{ d['a'][2] }} {{ d.a[0] }} {{ d.zzz }}| {{ d.get('b') }} {{ d.get('q') }} {{ d.get('q', "
     "5) }}",
     "1 1.5 True | 1 None 5"},
    {"{{ d }} {{ l }} {{ [none, true, 'it\\'s', \"q\\\"\", 1.0, 'a\\nb'] }} {{ {} }} {{ [] }}",
     "{'b': 1, 'a': [True, None, 1.5]} [3, 1, 2] [None, True, \"it's\", 'q\"', 1.0, 'a\\nb'] {} []"},
    {"{{ s|trim }} {{ s.strip() }} {{ s.lstrip() }}| {{ s.rstrip() }} {{ 'xxaxx'.strip('x') }} {{ 'xxaxx'|trim('x') "
     "}} {{ 'xya'.lstrip('yx') }}",
     "Héllo World Héllo World Héllo World |  Héllo World a a a"},
    {"{{ s|upper }} {{ s.lower() }} {{ 'hello wORLD it\\'s a-b'|title }} {{ 'hello wORLD it\\'s a-b'.title() "
     "}} {{ 'hELLO'|capitalize }} {{ 'hELLO'.capitalize() }}",
     " HÉLLO WORLD   héllo world  Hello World It's A-B Hello World It'S A-B Hello Hello"},
    {"{{ s|length }} {{ l|length }} {{ d|length }} {{ nothing|length }} {{ 'abc'|count }}", "13 3 2 0 3"},
    {"{{ l|join }} {{ l|join(', ') }} {{ people|join('/', attribute='age') }} {{ ['a', 1]|join('-') }} "
     "{{ ', '.join(['a', 'b']) }}",
     "312 3, 1, 2 3/5/1 a-1 a, b"},
    {"{{ nothing|default('d') }} {{ ''|default('d') }}| {{ ''|default('d', true) }} {{ none|d('x') }} "
     "{{ false|default('z', boolean=true) }}",
     "d | d None z"},
    {"{{ d|tojson }} {{ u|tojson }} {{ 'é<>&\\''|tojson }} {{ 'é😀'|tojson(ensure_ascii=true) }} {{ "
     "d|tojson(indent=2) }} {{ []|tojson(indent=2) }} {{ {'b':1,'a':{}}|tojson(sort_keys=true) }} {{ "
     "{'a':1}|tojson(separators=(',', "
     "':')) }}",
     "{\"b\": 1, \"a\": [true, null, 1.5]} \"x\\\"y\\nz\" \"é<>&'\" \"\\u00e9\\ud83d\\ude00\" {\n  \"b\": "
     "1,\n  \"a\": [\n    true,\n    null,\n    1.5\n  ]\n} [] {\"a\": {}, \"b\": 1} {\"a\":1}"},
    {"{{ l|first }} {{ l|last }} {{ 'abc'|first }} {{ 'abc'|last }} {{ []|first }}| {{ 'abc'|list }} {{ "
     "d|list }}",
     "3 2 a c | ['a', 'b', 'c'] ['b', 'a']"},
    {"{{ people|map(attribute='age')|list }} {{ ['a', 'b']|map('upper')|join }} {{ people|map(attribute='name', "
     "default='?')|list }} {{ [' a ']|map('trim')|list }} {{ [['a']]|map('join', '-')|list }}",
     "[3, 5, 1] AB ['Bo', 'al', '?'] ['a'] ['a']"},
    {"{{ people|selectattr('name')|list|length }} {{ people|selectattr('age', 'gt', 2)|map(attribute='age')|list "
     "}} {{ people|rejectattr('name', 'defined')|list }} {{ [1, 0, 2]|select|list }} {{ [1, 2, 3, "
     "4]|select('even')|list "
     "}} {{ [1, 2, 3]|reject('equalto', 2)|list }} {{ people|selectattr('name', '==', 'Bo')|list }} {{ "
     "['a','b']|select('in', ['a'])|list }}",
     "2 [3, 5] [{'age': 1}] [1, 2] [2, 4] [1, 3] [{'name': 'Bo', 'age': 3}] ['a']"},
    {"{{ 'aXbX'|replace('X', '--') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'ab'|replace('', '-') }} {{ "
     "'aaa'|replace('a', 'b', 1) }}",
     "a--b-- bba -a-b- baa"},
    {"{{ 12|string + 'a' }} {{ '42'|int + 1 }} {{ 'x'|int }} {{ 'x'|int(9) }} {{ ' 3.7 '|float }} {{ 3.99|int "
     "}} {{ -3|abs }} {{ '3.5'|int }}",
     "12a 43 0 9 3.7 3 3 3"},
    {"{{ [1, 2, 1, 'a', 'A']|unique|list }} {{ l|reverse|list }} {{ 'abc'|reverse }} {{ l|sort }} {{ ['b', "
     "'A', 'c']|sort }} {{ l|sort(reverse=true) }} {{ people|sort(attribute='age')|map(attribute='age')|list "
     "}}",
     "[1, 2, 'a'] [2, 1, 3] cba [1, 2, 3] ['A', 'b', 'c'] [3, 2, 1] [1, 3, 5]"},
    {"{{ 'a\\nb\\n\\nc\\n'|indent }}| {{ 'a\\nb'|indent(2, true) }} {{ 'a\\n\\nb'|indent(1, blank=true) "
     "}} {{ 'a\\nb'|indent('>>') }} {{ '{'|indent(4, first=true) }}",
     "a\n    b\n\n    c\n|   a\n  b a\n \n b a\n>>b     {"},
    {"{{ 'a,b,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', "
     "1) }} {{ 'a b  c '.split(none, 1) }} {{ 'a\\nb\\n'.splitlines() }} {{ ''.split(',') }} {{ ''.split() "
     "}}",
     "['a', 'b', 'c'] ['a', 'b'] ['a', 'b,c'] ['a,b', 'c'] ['a', 'b  c '] ['a', 'b'] [''] []"},
    {"{{ 'abc'.startswith('a') }} {{ 'abc'.endswith(('x', 'bc')) }} {{ 'abc'.find('c') }} {{ 'abc'.find('z') "
     "}} {{ 'banana'.count('an') }} {{ '12'.isdigit() }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') "
     "}}",
     "True True 2 -1 2 True bc ab"},
    {"{{ n is defined }} {{ nothing is defined }} {{ nothing is undefined }} {{ none is none }} {{ n is "
     "not none }} {{ s is string }} {{ d is mapping }} {{ l is iterable }} {{ l is sequence }} {{ s is "
     "sequence }} {{ n is number }} {{ true is number }} {{ 1.0 is float }} {{ n is integer }} {{ true "
     "is integer }} {{ true is boolean }} {{ 1 is true }} {{ true is true }} {{ false is false }} {{ nothing "
     "is iterable }} {{ nothing is sequence }} {{ n is iterable }}",
     "True False True True True True True True True True True True True True False True False True True "
     "True True False"},
    {"{{ 3 is odd }} {{ 3 is even }} {{ 9 is divisibleby 3 }} {{ 1 is in [1] }} {{ 1 is not in [1] }} "
     "{{ 1 is equalto 1 }} {{ 1 is eq(1) }} {{ 2 is gt 1 }} {{ 1 is ne 1 }} {{ 2 is lessthan(3) }} {{ "
     "range is callable }} {{ n is defined and n == 7 }} {{ 'a' if n is defined else 'b' }}",
     "True False True True False True True True False True True True a"},
    {"{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ "
     "loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }} {% endfor %}",
     "10TrueFalse3321 21FalseFalse32132 32FalseTrue3101 "},
    {"{% for x in l if x > 1 %}{{ x }}/{{ loop.length }} {% else %}none{% endfor %}{% for x in [] %}a{% "
     "else %}empty{% endfor %}",
     "3/2 2/2 empty"},
    {"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for "
     "c in 'aé' %}{{ c }}.{% endfor %}{% for (a, b) in [(1, 2)] %}{{ a + b }}{% endfor %}",
     "b=1;a=[True, None, 1.5];baa.é.3"},
    {"{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif "
     "%}{% endfor %}",
     "32"},
    {"{% set x = 1 %}{% for y in l %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}", "2221"},
    {"{% set ns = namespace(x=1, y='a') %}{% for y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x "
     "}}{{ ns.y }}{{ ns.z }}",
     "7a"},
    {"{% if false %}a{% elif none %}b{% elif 1 %}c{% else %}d{% endif %}{% if true %}{% set q = 5 %}{% "
     "endif %}{{ q }}",
     "c5"},
    {"{% set a, b = 1, 'z' %}{{ b }}{{ a }}{% set x %}\n block {{ n }}\n{% endset %}[{{ x }}]{% set x "
     "| trim | upper %} q {% endset %}{{ x }}",
     "z1[ block 7\n]Q"},
    {"{% macro m(a, b='B', c=none) %}{{ a }}{{ b }}{{ c }}.{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(b=3, "
     "a=4) }}{{ m() }}{{ m('x', c=9) }}",
     "1BNone.12None.43None.BNone.xB9."},
    {"{% macro f(x) %}{% if x > 0 %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(3) }}{% set y = "
     "f(2) %}{{ y|length }}",
     "3212"},
    {"{% macro w(t) %}<{{ t }}>{{ caller(t) }}</{{ t }}>{% endmacro %}{% call(z) w('b') %}in {{ z }}{% "
     "endcall %}",
     "<b>in b</b>"},
    {"{% filter upper %}abc {{ n }}{% endfilter %}{% filter replace('a', 'b') %}aaa{% endfilter %}", "ABC 7bbb"},
    {"{% generation %}gen{{ n }}{% endgeneration %}", "gen7"},
    {"{{ range(3)|list }} {{ range(1, 4)|list }} {{ range(5, 0, -2)|list }} {{ dict(a=1)|tojson }} {% "
     "for i in range(2) %}{{ i }}{% endfor %}",
     "[0, 1, 2] [1, 2, 3] [5, 3, 1] {\"a\": 1} 01"},
    {"{%- set m = 'x' -%}\n   {{ m }}   \n{%- if m == 'x' %}\n\n  ok\n{%- endif %}", "x\n  ok"},
    {"{{ messages[0]['content'] }}{{ messages[0].role }}{{ messages|length }}", "hiuser1"},
    {"{% if messages[0]['role'] == 'system' %}{% set sys = messages[0]['content'] %}{% set rest = messages[1:] "
     "%}{% else %}{% set rest = messages %}{% endif %}{{ rest|length }}",
     "1"},
    {"{{ True }} {{ None }} {{ False }} {{ true and None }}", "True None False None"},
    {"{{ 10 // 3 * 3 + 10 % 3 }} {{ 2 * -3 }} {{ +n }} {{ 5 - -2 }}", "10 -6 7 7"},
    {"{{ namespace is defined }} {{ strftime_now is defined }} {{ foo is defined }}", "True True False"},
    {"{{ (l|length > 2) and true }} {{ l | length > 5 }}", "True False"},
    {"line1\r\nline2{% if 1 %}\r\n{% endif %}\r\nx", "line1\nline2x"},
    {"{{ 'x' if false }}|{{ none }}|{{ nothing }}|", "|None||"},
    {"{{ [1, [2, {'k': 'v'}]] == [1, [2, {'k': 'v'}]] }} {{ {'a': 1} == {'a': 1.0} }} {{ none == nothing "
     "}}",
     "True True False"},
    {"{{ 'ÀÉ'.lower() }} {{ 'straße'|upper|length > 0 }} {{ '\\u3000a\\u00a0'|trim }}", "àé True a"},
    {"{{ people[0].name }}{{ people[0]['name'] }}{{ people|map(attribute='name')|first }}", "BoBoBo"},
    {"{% for m in people %}{% if loop.previtem and loop.previtem.name == 'Bo' %}after{% endif %}{% if "
     "not loop.last and loop.nextitem.age == 1 %}before{% endif %}{% endfor %}",
     "afterbefore"},
};

static void renders_like_jinja(void **state) {
    (void)state;
    const mn_chat_message message = {.role = "user", .content = "hi"};
    const mn_chat_options options = {.add_generation_prompt = true, .variables_json = variables, .now = 1};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        mn_chat_template *t;
        mn_chat_span *spans;
        char *text;
        size_t bytes, n_spans;
        mn_error err;
        if (mn_chat_template_create(samples[i].source, strlen(samples[i].source), &t, &err))
            fail_msg("%s\n%s", samples[i].source, err.text);
        if (mn_chat_template_render(t, &message, 1, &options, &text, &bytes, &spans, &n_spans, &err))
            fail_msg("%s\n%s", samples[i].source, err.text);
        if (strcmp(text, samples[i].rendered))
            fail_msg("%s\nwant: %s\ngot:  %s", samples[i].source, samples[i].rendered, text);
        free(text);
        free(spans);
        mn_chat_template_destroy(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(renders_like_jinja)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
