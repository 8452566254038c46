/* Fuzz target: any bytes taken for a model file; if it holds a tokenizer, the same bytes are the text. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tokenizer/tokenizer.h"

/* Ids are in range, and detokenising them works. */
static void check(const mn_tokenizer *t, const uint8_t *data, size_t bytes, bool special) {
    int32_t *ids;
    char *text;
    size_t n, text_bytes;
    mn_error err;
    if (mn_tokenize(t, (const char *)data, bytes, special, special, &ids, &n, &err)) {
        if (!err.text[0]) abort();
        return;
    }
    if (mn_detokenize(t, ids, n, special, &text, &text_bytes, &err)) abort();
    free(ids);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mn_gguf *gguf = NULL;
    mn_tokenizer *t = NULL;
    mn_error err;
    if (mn_gguf_parse("fuzz", data, bytes, &gguf, &err)) return 0;
    if (mn_tokenizer_create(gguf, &t, &err) == MN_OK) {
        check(t, data, bytes, false);
        check(t, data, bytes, true);
    } else if (!err.text[0]) {
        abort();
    }
    mn_tokenizer_destroy(t);
    mn_gguf_close(gguf);
    return 0;
}
