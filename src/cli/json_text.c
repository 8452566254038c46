#include "cli/json_text.h"

#include "base/strbuf.h"

#include <math.h>
#include <string.h>
#include <utf8proc.h>

json_t *mn_json_text(const char *text, size_t bytes) {
    mn_strbuf out = MN_STRBUF_INIT;
    for (size_t at = 0; at < bytes;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(bytes - at), &c);
        mn_strbuf_put(&out, n < 1 ? "\xef\xbf\xbd" : text + at, n < 1 ? 3 : (size_t)n);
        at += n < 1 ? 1 : (size_t)n;
    }
    json_t *value = out.failed ? NULL : json_stringn(out.data, out.bytes);
    mn_strbuf_release(&out);
    return value;
}

json_t *mn_json_name(const char *text) { return mn_json_text(text, strlen(text)); }

json_t *mn_json_real(double x) { return isfinite(x) ? json_real(x) : json_null(); }
