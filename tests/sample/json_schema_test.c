/* sample/json_schema: texts that a schema takes and does not take, and the sentences for what is not there. */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#include "sample/automaton.h"
#include "sample/json_schema.h"

static mn_error err;

static mn_automaton *automaton_of(const char *schema) {
    mn_grammar *g;
    mn_automaton *a;
    bool usable[256];
    memset(usable, true, sizeof usable);
    if (mn_json_schema_parse(schema, strlen(schema), &g, &err)) fail_msg("%s: %s", schema, err.text);
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
     {"{\"a\":1}", "{\"a\": -20, \"b\": \"x\"}", "{\n  \"a\": 1,\n  \"b\": \"\"\n}"},
     {"{}", "{\"b\":\"\",\"a\":1}", "{\"a\":1,}", "{\"a\":1.5}", "{\"a\":1,\"c\":1}"}},
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
        {"{\"properties\":{\"a\":{\"items\":{\"not\":{}}}}}",
         "the schema at #/properties/a/items: the keyword \"not\" is not supported"},
        {"{\"if\":{}}", "\"if\""},
        {"{\"type\":\"array\",\"uniqueItems\":true}", "\"uniqueItems\""},
        {"{\"type\":\"array\",\"contains\":{}}", "\"contains\""},
        {"{\"type\":\"object\",\"patternProperties\":{}}", "\"patternProperties\""},
        {"{\"type\":\"object\",\"minProperties\":2}", "\"minProperties\""},
        {"{\"type\":\"integer\",\"multipleOf\":7}", "\"multipleOf\""},
        {"{\"type\":\"number\",\"minimum\":0.5}", "\"minimum\""},
        {"{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", "no number lies between"},
        {"{\"type\":\"string\",\"format\":\"regex\"}", "\"format\" is not supported: regex"},
        {"{\"type\":\"string\",\"pattern\":\"(?=a)\"}", "\"pattern\" cannot be followed: look-around"},
        {"{\"type\":\"string\",\"pattern\":\"(a\"}", "a group is not closed"},
        {"{\"type\":\"string\",\"pattern\":\"a)\"}", "a bracket is closed"},
        {"{\"type\":\"string\",\"pattern\":\"^a|b$\"}", "put a group around"},
        {"{\"type\":\"string\",\"pattern\":\"a\",\"minLength\":3}", "\"pattern\" is not supported"},
        {"{\"type\":\"string\",\"minLength\":-1}", "\"minLength\" is no whole number"},
        {"{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", "\"maxLength\" is below"},
        {"{\"type\":\"string\",\"minLength\":1e300}", "\"minLength\" is above"},
        {"{\"type\":\"text\"}", "\"text\" is no type"},
        {"{\"type\":3}", "\"type\" is no name"},
        {"{\"enum\":[]}", "no value of"},
        {"{\"type\":\"object\",\"required\":[\"a\"],\"additionalProperties\":false}", "\"a\" is required"},
        {"{\"$ref\":\"#/$defs/x\"}", "leads nowhere"},
        {"{\"$ref\":\"other.json\"}", "begin with #"},
        {"{\"$ref\":\"#\"}", "calls itself"},
        {"{\"allOf\":[{\"$ref\":\"#\"}]}", "calls itself"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "never ends"},
        {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "\"oneOf\" is not supported"},
        {"{\"allOf\":[{\"pattern\":\"a\",\"type\":\"string\"},{\"pattern\":\"b\"}]}", "\"pattern\""},
        {"{\"allOf\":[{\"properties\":{\"a\":{}},\"additionalProperties\":false},{\"properties\":{\"b\":{}}}]}",
         "\"additionalProperties\""},
        {"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":500000},\"maxItems\":500000}",
         "larger than"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_grammar *g = NULL;
        err.text[0] = 0;
        mn_status status = mn_json_schema_parse(cases[i].schema, strlen(cases[i].schema), &g, &err);
        if (status == MN_OK || !strstr(err.text, cases[i].says)) fail_msg("%s: \"%s\"", cases[i].schema, err.text);
        mn_grammar_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemas_take_what_they_say),
        cmocka_unit_test(what_is_not_there_is_named_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
