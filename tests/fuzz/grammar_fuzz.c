/* Fuzz target: any bytes as a grammar in GBNF. */
#include "fuzz/fuzz.h"
#include "fuzz/shortest_text.h"
#include "grammar/gbnf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mn_grammar *g;
    mn_error err = {0};
    if (bytes > 1 << 16) return 0;
    if (mn_gbnf_parse((const char *)data, bytes, &g, &err)) {
        if (!err.text[0]) abort();
        return 0;
    }
    mn_strbuf text = MN_STRBUF_INIT;
    bool whole;
    shortest_text(g, data, bytes, 4096, &text, &whole);
    mn_strbuf_release(&text);
    mn_grammar_destroy(g);
    return 0;
}
