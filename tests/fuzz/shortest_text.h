/* What the fuzz targets of grammars check of one that was taken: its shortest text ends, and any bytes may follow. */
#ifndef MN_TESTS_FUZZ_SHORTEST_TEXT_H
#define MN_TESTS_FUZZ_SHORTEST_TEXT_H

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "grammar/automaton.h"

/* The shortest text of the grammar, cut at max_bytes; *whole where it was not cut. Aborts where it is none. */
static inline void shortest_text(const mn_grammar *g, const uint8_t *data, size_t bytes, size_t max_bytes,
                                 mn_strbuf *out, bool *whole) {
    bool usable[256];
    mn_automaton *a;
    mn_error err = {0};
    memset(usable, true, sizeof usable);
    *whole = false;
    if (mn_automaton_create(g, usable, 1 << 20, &a, &err)) abort();
    int32_t at = mn_automaton_start(a);
    if (at == MN_AUTOMATON_DEAD) abort();
    for (int32_t symbol; at >= 0 && out->bytes < max_bytes && (symbol = mn_automaton_shortest(a, at)) >= 0;) {
        int32_t distance = mn_automaton_distance(a, at);
        at = mn_automaton_step(a, at, (uint32_t)symbol);
        if (at == MN_AUTOMATON_DEAD || (at >= 0 && mn_automaton_distance(a, at) != distance - 1)) abort();
        mn_strbuf_putc(out, (char)symbol);
    }
    if (at >= 0 && mn_automaton_distance(a, at) == 0) {
        if (!mn_automaton_accepts(a, at)) abort();
        *whole = true;
    }
    at = mn_automaton_start(a);
    for (size_t i = 0; i < bytes && at >= 0; i++) {
        at = mn_automaton_step(a, at, data[i]);
        if (at >= 0 && i % 16 == 15) at = mn_automaton_forget(a, at);
    }
    mn_automaton_destroy(a);
}

#endif
