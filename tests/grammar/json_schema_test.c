/* sample/json_schema: texts that a schema takes and does not take, and the sentences for what is not there. */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/strbuf.h"
#include "grammar/automaton.h"
#include "grammar/json_schema.h"

static mn_error err;

static mn_automaton *automaton_of(const char *schema) {
    mn_grammar *g;
    mn_automaton *a;
    bool usable[256];
    memset(usable, true, sizeof usable);
    if (mn_json_schema_parse(schema, strlen(schema), MN_JSON_BLANKS_ONE, &g, &err))
        fail_msg("%s: %s", schema, err.text);
    assert_ok(mn_automaton_create(g, usable, 4 << 20, &a, &err), err);
    mn_grammar_destroy(g);
    return a;
}

static bool takes(mn_automaton *a, const char *text) {
    int32_t at = mn_automaton_start(a);
    for (; *text && at >= 0; text++) at = mn_automaton_step(a, at, (uint8_t)*text);
    return at >= 0 && mn_automaton_accepts(a, at);
}

static const struct {
    const char *schema, *takes[8], *refuses[8];
} schema_cases[] = {
    {"{}",
     {"1", "null", "{\"a\": [1, {}]}", "\"\\u00e9\\n\"", "-0.5e-3"},
     {"", "{", "01", "\"\\u0000\"", "\"\\ud800\"", "tru"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":["
     "\"a\"]}",
     {"{\"a\":1}", "{\"a\": -20, \"b\": \"x\"}", "{ \"a\":1 }"},
     {"{}", "{  \"a\":1}", "{\n\"a\":1}", "{\"b\":\"\",\"a\":1}", "{\"a\":1,}", "{\"a\":1.5}", "{\"a\":1,\"c\":1}"}},
    {"{\"properties\":{\"a\":true,\"b\":true,\"c\":true}}",
     {"{}", "{\"c\":1}", "{\"a\":1,\"c\":1}", "{\"b\":1}"},
     {"{\"c\":1,\"a\":1}", "{,\"a\":1}"}},
    {"{\"properties\":{\"ab\":{\"const\":1},\"a\":{\"const\":2},\"\xc3\xa4\":{\"const\":3}},"
     "\"additionalProperties\":{\"type\":\"null\"}}",
     {"{\"ab\":1,\"abc\":null,\"\":null,\"b\":null}", "{\"x\":null}", "{\"a\":2,\"\xc3\xa5\":null,\"ac\":null}"},
     {"{\"ab\":null}", "{\"x\":null,\"a\":null}", "{\"\xc3\xa4\":null}", "{\"\\u0061\":null}"}},
    {"{\"type\":\"object\",\"required\":[\"q\"],\"additionalProperties\":{\"type\":\"integer\"}}",
     {"{\"q\":1}", "{\"q\":1,\"r\":2}"},
     {"{}", "{\"q\":\"\"}", "{\"q\":1,\"q\":2}"}},
    {"{\"enum\":[\"a\",1,null,{\"x\":[1]}]}", {"\"a\"", "1", "null", "{\"x\":[1]}"}, {"\"b\"", "2", "{}"}},
    {"{\"type\":\"string\",\"enum\":[\"a\",1]}", {"\"a\""}, {"1"}},
    {"{\"type\":[\"integer\",\"null\"]}", {"1", "null"}, {"\"\"", "1.0"}},
    {"{\"type\":\"boolean\",\"nullable\":true}", {"true", "null"}, {"0"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":3}",
     {"[1]", "[1, 2,3]"},
     {"[]", "[1,2,3,4]", "[1,]", "[\"\"]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":{\"type\":"
     "\"null\"},\"minItems\":1}",
     {"[1]", "[1,\"\"]", "[1,\"\",null,null]"},
     {"[]", "[\"\"]", "[1,2]", "[1,\"\",1]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":false}", {"[]", "[1]"}, {"[1,1]"}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"\xc3\xa4\\n\xe2\x82\xac\""},
     {"\"a\"", "\"abcd\"", "\"\xc3\xa4\""}},
    {"{\"type\":\"string\",\"pattern\":\"^[a-c]{2}\\\\d+$\"}",
     {"\"ab1\"", "\"cc123\""},
     {"\"ab\"", "\"ab1x\"", "\"1ab1\""}},
    {"{\"type\":\"string\",\"pattern\":\"b.d|x\"}",
     {"\"abcde\"", "\"x\"", "\"axb\"", "\"b\\\"d\""},
     {"\"bd\"", "\"\"", "\"b\\nd\""}},
    {"{\"pattern\":\"^(?:a|\\\\s)*$\",\"type\":\"string\"}", {"\"\"", "\"aa \"", "\"\\n\\u000b\""}, {"\"b\""}},
    {"{\"type\":\"string\",\"format\":\"date\"}",
     {"\"2024-02-28\"", "\"1999-12-31\""},
     {"\"2024-13-01\"", "\"2024-04-31\"", "\"2024-02-30\""}},
    {"{\"type\":\"string\",\"format\":\"date-time\"}",
     {"\"2024-02-28T23:59:59Z\"", "\"2024-02-28T00:00:00.5+01:00\""},
     {"\"2024-02-28\"", "\"2024-02-28T24:00:00Z\""}},
    {"{\"type\":\"string\",\"format\":\"uuid\"}", {"\"123e4567-e89b-12d3-a456-426614174000\""}, {"\"123\""}},
    {"{\"type\":\"string\",\"format\":\"ipv4\"}", {"\"1.20.255.0\""}, {"\"256.1.1.1\"", "\"1.1.1\"", "\"01.1.1.1\""}},
    {"{\"type\":\"integer\",\"minimum\":-12,\"maximum\":105}",
     {"-12", "-9", "0", "7", "99", "105"},
     {"-13", "106", "-0", "200", "1000", "00"}},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":0}", {"1", "10", "999999"}, {"0", "-1"}},
    {"{\"type\":\"integer\",\"minimum\":0.5,\"maximum\":2.5}", {"1", "2"}, {"0", "3"}},
    {"{\"type\":\"number\",\"minimum\":0,\"maximum\":1}", {"0", "0.5", "1", "1.0"}, {"-0.1", "1.1", "2", "1.01"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":-2,\"exclusiveMaximum\":0}",
     {"-1", "-1.9", "-0.5"},
     {"-2", "0", "-2.0", "0.1", "-0.0"}},
    {"{\"type\":\"number\",\"minimum\":3}", {"3", "3.5", "1000.25"}, {"2.9", "-3"}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}", {"1", "\"\""}, {"null"}},
    {"{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"}},\"required\":[\"k\"]},{\"type\":"
     "\"object\",\"properties\":{\"k\":{\"const\":\"b\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"k\",\"v\"]}]"
     "}",
     {"{\"k\":\"a\"}", "{\"k\":\"b\",\"v\":1}"},
     {"{\"k\":\"b\"}", "{\"k\":\"a\",\"v\":1}"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}},\"anyOf\":[{"
     "\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
     {"{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":1}"},
     {"{}"}},
    {"{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\"}},\"required\":[\"a\"]},{"
     "\"properties\":{\"b\":{\"type\":\"null\"},\"a\":{\"type\":\"integer\"}}}]}",
     {"{\"a\":1}", "{\"a\":1,\"b\":null}"},
     {"{\"a\":1.5}", "{\"b\":null}"}},
    {"{\"$ref\":\"#/$defs/"
     "n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},\"next\":{\"anyOf\":[{"
     "\"$ref\":\"#/$defs/n\"},{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"]}}}",
     {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":{}}"}},
    {"{\"type\":\"object\",\"properties\":{\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}}}",
     {"{}", "{\"kids\":[{},{\"kids\":[]}]}"},
     {"{\"kids\":[1]}"}},
    {"{\"properties\":{\"a~/b\":{\"type\":\"null\"},\"c\":{\"$ref\":\"#/properties/a~0~1b\"}}}",
     {"{\"c\":null}"},
     {"{\"c\":1}"}},
};

static const struct {
    const char *schema, *takes[8], *refuses[8];
} further_cases[] = {
    {"{'type':'array','items':{'enum':['a','b',1]},'uniqueItems':true,'minItems':1}",
     {"['b']", "['b','a']", "[1, 'a', 'b']"},
     {"[]", "['a','a']", "['a',1,1]", "['c']"}},
    {"{'type':'array','items':{'type':'integer','minimum':1,'maximum':40},'uniqueItems':true,'maxItems':3}",
     {"[]", "[40]", "[1,2,3]", "[3,17,40]"},
     {"[2,1]", "[1,1]", "[41]", "[1,2,3,4]"}},
    {"{'type':'array','prefixItems':[{'type':'integer'},{'type':'string'}],'items':false,'uniqueItems':true}",
     {"[]", "[1,'']"},
     {"[1,1]"}},
    {"{'type':'integer','multipleOf':7}", {"0", "7", "-14", "700", "1001"}, {"1", "8", "-0", "07"}},
    {"{'type':'integer','multipleOf':1000}", {"0", "1000", "-25000"}, {"100", "1500"}},
    {"{'type':'integer','multipleOf':6,'minimum':10,'maximum':40}", {"12", "18", "36"}, {"6", "42", "20"}},
    {"{'type':'number','multipleOf':0.01}", {"1", "1.5", "-0.25", "3.00"}, {"0.001", "1.005"}},
    {"{'type':'number','multipleOf':0.25,'minimum':-1,'maximum':1.5}",
     {"0.5", "-1", "1.50", "0.75"},
     {"0.3", "1.75", "2"}},
    {"{'type':'number','minimum':0.5,'exclusiveMaximum':2.25}",
     {"0.5", "0.75", "1", "2.2", "2.249999"},
     {"0.4", "2.25", "2.250000", "3", "0"}},
    {"{'type':'number','exclusiveMinimum':0.1}", {"0.100001", "7", "123456.5"}, {"0.1", "0.10", "-1"}},
    {"{'type':'array','contains':{'const':3},'items':{'type':'integer'}}",
     {"[3]", "[1,3]", "[3,2,3]"},
     {"[]", "[1,2]"}},
    {"{'type':'array','contains':{'type':'string'},'minContains':2,'maxContains':3,'items':{'type':['string','null']},"
     "'maxItems':5}",
     {"['','']", "[null,'','',null]", "['','','']"},
     {"['']", "['','','','']", "[null]", "['','',null,null,null,null]"}},
    {"{'type':'object','patternProperties':{'^n':{'type':'integer'},'s$':{'minimum':5}},'additionalProperties':false}",
     {"{}", "{'n':1}", "{'ns':5, 'xs':7}", "{'na':1,'nb':2}"},
     {"{'ns':4}", "{'x':1}", "{'n':''}"}},
    {"{'properties':{'nx':{'maximum':3},'y':{'type':'null'}},'patternProperties':{'^n':{'type':'integer'}},"
     "'additionalProperties':{'type':'string'}}",
     {"{'nx':2}", "{'y':null}", "{'nx':1,'nz':9,'q':''}"},
     {"{'nx':4}", "{'nx':1.5}", "{'q':1}", "{'nz':''}"}},
    {"{'type':'object','propertyNames':{'pattern':'^[a-z]+$','maxLength':3},'additionalProperties':{'type':'integer'}}",
     {"{}", "{'a':1}", "{'abc':1,'x':2}"},
     {"{'':1}", "{'A':1}", "{'abcd':1}"}},
    {"{'properties':{'a':true,'b':true,'c':true},'dependentRequired':{'a':['b'],'b':['c']}}",
     {"{}", "{'c':1}", "{'b':1,'c':1}", "{'a':1,'b':1,'c':1}"},
     {"{'a':1}", "{'a':1,'b':1}", "{'b':1}"}},
    {"{'properties':{'a':true,'b':{'type':'integer'}},'dependentSchemas':{'a':{'required':['b'],'properties':{'b':{"
     "'minimum':5}}}}}",
     {"{}", "{'b':1}", "{'a':1,'b':5}"},
     {"{'a':1}", "{'a':1,'b':4}"}},
    {"{'properties':{'kind':{'enum':['a','b']},'x':{'type':'integer'}},'required':['kind'],'if':{'properties':{'kind':{"
     "'const':'a'}}},'then':{'required':['x']},'else':{'properties':{'x':false}}}",
     {"{'kind':'a','x':1}", "{'kind':'b'}"},
     {"{'kind':'a'}", "{'kind':'b','x':1}", "{}"}},
    {"{'not':{'type':['object','array','string']}}", {"1", "true", "null"}, {"''", "[]", "{}"}},
    {"{'type':'integer','not':{'enum':[3,5]},'minimum':1,'maximum':6}", {"1", "2", "4", "6"}, {"3", "5", "7"}},
    {"{'type':'string','not':{'pattern':'b'}}", {"''", "'aca'", "'\\n'"}, {"'b'", "'abc'"}},
    {"{'type':'string','not':{'enum':['ab','x']}}", {"''", "'a'", "'abc'"}, {"'ab'", "'x'"}},
    {"{'type':'number','not':{'type':'integer'},'minimum':0,'maximum':9}", {"0.5", "8.25"}, {"0", "1.0", "9"}},
    {"{'type':'integer','not':{'multipleOf':3}}", {"1", "-2", "100"}, {"0", "3", "-99"}},
    {"{'type':'object','not':{'required':['a']},'properties':{'a':true,'b':true}}", {"{}", "{'b':1}"}, {"{'a':1}"}},
    {"{'oneOf':[{'type':'integer'},{'type':'number','minimum':2}]}", {"1", "-4", "2.5"}, {"2", "3", "1.5"}},
    {"{'oneOf':[{'type':'string','pattern':'^a'},{'type':'string','maxLength':3}]}",
     {"'abcd'", "'b'"},
     {"'a'", "'bcde'"}},
    {"{'type':'string','pattern':'^[a-z]+$','minLength':2,'maxLength':4}",
     {"'ab'", "'abcd'"},
     {"'a'", "'abcde'", "'AB'"}},
    {"{'type':'string','allOf':[{'pattern':'a'},{'pattern':'b'}],'maxLength':3}", {"'ab'", "'bxa'"}, {"'a'", "'bxxa'"}},
    {"{'type':'string','format':'hostname','maxLength':5}", {"'a.bc'"}, {"'abcdef'"}},
    {"{'type':'object','minProperties':2,'properties':{'a':true,'b':true,'c':true},'maxProperties':2}",
     {"{'a':1,'c':1}", "{'b':1,'c':1}"},
     {"{}", "{'a':1}", "{'a':1,'b':1,'c':1}"}},
    {"{'type':'object','minProperties':1,'maxProperties':2}",
     {"{'x':1}", "{'x':1,'y':2}"},
     {"{}", "{'x':1,'y':2,'z':3}"}},
    {"{'enum':['a','bcd',5,7],'minLength':2,'maximum':6}", {"'bcd'", "5"}, {"'a'", "7"}},
    {"{'$ref':'#/$defs/n','minimum':3,'$defs':{'n':{'type':'integer','maximum':5}}}", {"3", "5"}, {"2", "6"}},
    {"{'type':'integer','anyOf':[{'type':'string'},{'minimum':3}]}", {"3"}, {"2", "''"}},
    {"{'type':'object','properties':{'a':{'type':'integer','minimum':3,'maximum':2},'b':{'type':'null'}}}",
     {"{}", "{'b':null}"},
     {"{'a':3}"}},
    {"{'$defs':{'base':{'type':'object','properties':{'v':{'type':'integer'},'kids':{'type':'array','items':{'$ref':"
     "'#/$defs/base'}}}},'big':{'allOf':[{'$ref':'#/$defs/base'},{'properties':{'v':{'minimum':10},'kids':{'items':{"
     "'$ref':'#/$defs/big'}}}}]}},'$ref':'#/$defs/big'}",
     {"{}", "{'v':10,'kids':[{'v':11,'kids':[]}]}"},
     {"{'v':9}", "{'kids':[{'v':1}]}"}},
    {"{'allOf':[{'properties':{'a':{'type':'integer'}},'additionalProperties':false},{'properties':{'b':{}}}]}",
     {"{}", "{'a':1}"},
     {"{'b':1}"}},
    {"{'not':{'not':{'type':'null'}}}", {"null"}, {"1"}},
    {"{'type':'array','items':{'type':'boolean'},'not':{'contains':{'const':true}}}", {"[]", "[false]"}, {"[true]"}},
    {"{'type':'array','items':{'type':'boolean'},'not':{'items':{'const':true}}}",
     {"[false]", "[true,false]"},
     {"[]", "[true]"}},
};

/* Schemas and texts are written with ' for ". */
static char *quoted(const char *text) {
    char *out = strdup(text);
    for (char *at = out; (at = strchr(at, '\''));) *at = '"';
    return out;
}

static void further_keywords_take_what_they_say(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof further_cases / sizeof *further_cases; i++) {
        char *schema = quoted(further_cases[i].schema);
        mn_automaton *a = automaton_of(schema);
        for (int list = 0; list < 2; list++)
            for (int k = 0; k < 8; k++) {
                const char *given = list ? further_cases[i].refuses[k] : further_cases[i].takes[k];
                char *text = given ? quoted(given) : NULL;
                if (text && takes(a, text) != !list)
                    fail_msg("%s %s %s", schema, list ? "takes" : "does not take", text);
                free(text);
            }
        mn_automaton_destroy(a);
        free(schema);
    }
}

static void schemas_take_what_they_say(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof schema_cases / sizeof *schema_cases; i++) {
        mn_automaton *a = automaton_of(schema_cases[i].schema);
        for (int k = 0; k < 8 && schema_cases[i].takes[k]; k++)
            if (!takes(a, schema_cases[i].takes[k]))
                fail_msg("%s does not take %s", schema_cases[i].schema, schema_cases[i].takes[k]);
        for (int k = 0; k < 8 && schema_cases[i].refuses[k]; k++)
            if (takes(a, schema_cases[i].refuses[k]))
                fail_msg("%s takes %s", schema_cases[i].schema, schema_cases[i].refuses[k]);
        mn_automaton_destroy(a);
    }
}

static void what_is_not_there_is_named_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *schema, *says;
    } cases[] = {
        {"{", "line 1"},
        {"3", "the schema at #: it is no object"},
        {"false", "accepts nothing"},
        {"{\"properties\":{\"a\":{\"items\":{\"unevaluatedItems\":{}}}}}",
         "the schema at #/properties/a/items: the keyword \"unevaluatedItems\" is not supported: write prefixItems"},
        {"{\"type\":\"array\",\"uniqueItems\":true}",
         "\"uniqueItems\" is not supported: of items that may be anything"},
        {"{\"type\":\"array\",\"allOf\":[{\"contains\":{\"type\":\"null\"}},{\"contains\":{\"const\":1}}]}",
         "\"contains\" is not supported: parts that"},
        {"{\"type\":\"object\",\"minProperties\":2}", "\"minProperties\" is not supported: it is above"},
        {"{\"type\":\"integer\",\"multipleOf\":100003}", "\"multipleOf\" is not supported: its remainders"},
        {"{\"type\":\"integer\",\"multipleOf\":0}", "\"multipleOf\" is not above 0"},
        {"{\"not\":{\"uniqueItems\":true}}", "\"not\" is not supported: what \"uniqueItems\" refuses"},
        {"{\"type\":\"string\",\"not\":{\"format\":\"date\"}}", "what \"format\" refuses"},
        {"{\"not\":{}}", "\"not\" asks for and what stands beside it exclude each other"},
        {"{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", "no number lies between"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}},\"required\":"
         "[\"a\"]}",
         "the schema at #/properties/a: no number lies"},
        {"{\"type\":\"number\",\"minimum\":0.12345678901234567}", "\"minimum\" is not supported: it has more than 15"},
        {"{\"type\":\"string\",\"format\":\"regex\"}", "\"format\" is not supported: it is none of date"},
        {"{\"type\":\"string\",\"pattern\":\"(?=a)\"}", "\"pattern\" cannot be followed: look-around"},
        {"{\"type\":\"string\",\"pattern\":\"(a\"}", "a group is not closed"},
        {"{\"type\":\"string\",\"pattern\":\"a)\"}", "a bracket is closed"},
        {"{\"type\":\"string\",\"pattern\":\"^a|b$\"}", "put a group around"},
        {"{\"type\":\"string\",\"minLength\":-1}", "\"minLength\" is no whole number"},
        {"{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", "\"maxLength\" is below"},
        {"{\"type\":\"string\",\"minLength\":1e300}", "\"minLength\" is above"},
        {"{\"type\":\"text\"}", "\"text\" is no type"},
        {"{\"type\":3}", "\"type\" is no name"},
        {"{\"enum\":[]}", "no value of"},
        {"{\"type\":\"integer\",\"enum\":[\"a\"]}", "is accepted by what stands beside it"},
        {"{\"type\":\"object\",\"required\":[\"a\"],\"additionalProperties\":false}", "\"a\" is required"},
        {"{\"$ref\":\"#/$defs/x\"}", "leads nowhere"},
        {"{\"$ref\":\"other.json\"}", "begin with #"},
        {"{\"$ref\":\"#\"}", "calls itself"},
        {"{\"allOf\":[{\"$ref\":\"#\"}]}", "calls itself"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "never ends"},
        {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"integer\"}]}", "exclude each other"},
        {"{\"type\":\"string\",\"allOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"^b\"}]}", "never ends"},
        {"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":500000},\"maxItems\":500000}",
         "larger than"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_grammar *g = NULL;
        err.text[0] = 0;
        mn_status status = mn_json_schema_parse(cases[i].schema, strlen(cases[i].schema), MN_JSON_BLANKS_ONE, &g, &err);
        if (status == MN_OK || !strstr(err.text, cases[i].says)) fail_msg("%s: \"%s\"", cases[i].schema, err.text);
        mn_grammar_destroy(g);
    }
}

/* What is too large is refused in time linear in it: a schema comes with each request. */
static void long_patterns_are_refused_at_once(void **state) {
    (void)state;
    enum { BYTES = 4 << 20, MOST_SECONDS = 8 };
    static const char *const parts[] = {"a", "(b{90000}){90000}", "[c-d]*"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        mn_strbuf schema = MN_STRBUF_INIT;
        mn_grammar *g = NULL;
        clock_t begun = clock();
        mn_strbuf_puts(&schema, "{\"type\":\"string\",\"pattern\":\"^");
        while (schema.bytes < BYTES) mn_strbuf_puts(&schema, parts[i]);
        mn_strbuf_puts(&schema, "$\"}");
        assert_int_not_equal(mn_json_schema_parse(schema.data, schema.bytes, MN_JSON_BLANKS_ONE, &g, &err), MN_OK);
        assert_non_null(strstr(err.text, "larger than"));
        assert_in_range((clock() - begun) / CLOCKS_PER_SEC, 0, MOST_SECONDS);
        mn_grammar_destroy(g);
        mn_strbuf_release(&schema);
    }
}

static void blanks_are_bounded(void **state) {
    (void)state;
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{}}}}";
    static const struct {
        const char *text;
        bool taken[3];
    } cases[] = {
        {"{\"a\":[1,2]}", {true, true, true}},
        {"{ \"a\": [ 1, 2 ] }", {true, false, true}},
        {"{\n  \"a\": [\n    1,\n    2\n  ]\n}", {false, false, true}},
        {"{\"a\":  [1]}", {false, false, false}},
        {"{\n\n\"a\":[1]}", {false, false, false}},
        {"{\n                     \"a\":[1]}", {false, false, false}},
    };
    for (int blanks = 0; blanks < 3; blanks++) {
        mn_grammar *g;
        mn_automaton *a;
        bool usable[256];
        memset(usable, true, sizeof usable);
        assert_ok(mn_json_schema_parse(schema, strlen(schema), (mn_json_blanks)blanks, &g, &err), err);
        assert_ok(mn_automaton_create(g, usable, 4 << 20, &a, &err), err);
        mn_grammar_destroy(g);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            if (takes(a, cases[i].text) != cases[i].taken[blanks]) fail_msg("%d: %s", blanks, cases[i].text);
        mn_automaton_destroy(a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemas_take_what_they_say),
        cmocka_unit_test(further_keywords_take_what_they_say),
        cmocka_unit_test(long_patterns_are_refused_at_once),
        cmocka_unit_test(blanks_are_bounded),
        cmocka_unit_test(what_is_not_there_is_named_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
