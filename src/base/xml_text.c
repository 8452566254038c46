#include "base/xml_text.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

static void put_char(mn_strbuf *out, const char *text, utf8proc_ssize_t bytes, utf8proc_int32_t code) {
    bool is_space = code == '\t' || code == '\n' || code == '\r';
    if (bytes < 1 || (code < 0x20 && !is_space) || code == 0x7f || code == 0xfffe || code == 0xffff)
        mn_strbuf_putc(out, '?');
    else if (is_space)
        mn_strbuf_putc(out, ' ');
    else if (code == '<')
        mn_strbuf_puts(out, "&lt;");
    else if (code == '>')
        mn_strbuf_puts(out, "&gt;");
    else if (code == '&')
        mn_strbuf_puts(out, "&amp;");
    else
        mn_strbuf_put(out, text, (size_t)bytes);
}

size_t mn_xml_text_put(mn_strbuf *out, const char *text, size_t max_bytes) {
    size_t whole = strlen(text), chars = 0;
    for (size_t at = 0; at < whole; chars++) {
        utf8proc_int32_t code;
        utf8proc_ssize_t bytes =
            utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(whole - at), &code);
        size_t step = bytes < 1 ? 1 : (size_t)bytes;
        if (step > max_bytes - at) {
            mn_strbuf_puts(out, "\xe2\x80\xa6");
            return chars + 1;
        }
        put_char(out, text + at, bytes, code);
        at += step;
    }
    return chars;
}
