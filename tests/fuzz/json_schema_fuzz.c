/* Fuzz target: any bytes as a JSON schema. The shortest text of one that is taken is JSON. */
#include <jansson.h>

#include "fuzz/fuzz.h"
#include "fuzz/shortest_text.h"
#include "grammar/json_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mn_grammar *g;
    mn_error err = {0};
    if (bytes > 1 << 16) return 0;
    if (mn_json_schema_parse((const char *)data, bytes, MN_JSON_BLANKS_LINES, &g, &err)) {
        if (!err.text[0]) abort();
        return 0;
    }
    mn_strbuf text = MN_STRBUF_INIT;
    bool whole;
    shortest_text(g, data, bytes, 4096, &text, &whole);
    json_t *value = whole ? json_loadb(text.data, text.bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
    if (whole && !value) abort();
    json_decref(value);
    mn_strbuf_release(&text);
    mn_grammar_destroy(g);
    return 0;
}
