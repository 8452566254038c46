#include "support/roundtrip.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "support/support.h"

mn_tokenizer *open_vocabulary(const char *path) {
    mn_tokenizer *t;
    mn_error err;
    assert_ok(mn_tokenizer_open(path, &t, &err), err);
    return t;
}

double check_round_trip(const mn_tokenizer *t, const char *name, const char *text, size_t bytes) {
    int32_t *ids;
    char *back;
    size_t n, back_bytes;
    mn_error err;
    double started = mn_clock_seconds();
    assert_ok(mn_tokenize(t, text, bytes, true, false, &ids, &n, &err), err);
    double seconds = mn_clock_seconds() - started;
    assert_ok(mn_detokenize(t, ids, n, false, &back, &back_bytes, &err), err);
    if (back_bytes != bytes || memcmp(back, text, bytes)) fail_msg("%s does not come back", name);
    free(ids);
    free(back);
    return seconds;
}

/* A megabyte of `unit` over and over, then `last`. */
static mn_strbuf repeat(const char *unit, const char *last) {
    mn_strbuf text = MN_STRBUF_INIT;
    while (text.bytes < 1 << 20) mn_strbuf_puts(&text, unit);
    mn_strbuf_puts(&text, last);
    return text;
}

/* Quadratic work on a megabyte would take hours; ten seconds leave room for any machine and sanitizer. */
void check_megabytes(const mn_tokenizer *t, const char *name) {
    static const struct {
        const char *unit, *last;
    } texts[] = {
        {"a", ""},  {" ", ""}, {" ", "x"}, {" ", "中"},       {"🦙", ""},
        {"\n", ""}, {"7", ""}, {"'", ""},  {"<|im_end|", ""},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mn_strbuf text = repeat(texts[i].unit, texts[i].last);
        double seconds = check_round_trip(t, texts[i].unit, text.data, text.bytes);
        if (seconds > 10) fail_msg("%s: a megabyte of \"%s\" took %.1f s", name, texts[i].unit, seconds);
        mn_strbuf_release(&text);
    }
}
