#include "support/roundtrip.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/support.h"

mn_tokenizer *open_vocabulary(const char *name) {
    const char *path = data_path(name);
    mn_tokenizer *t;
    mn_error err;
    if (!path) {
        leave_out("texts through this vocabulary and back", name);
        return NULL;
    }
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
