/* What tells a web page from other text. It needs no library: a build that cannot read pages still names them. */
#include "document/html.h"

#include "base/checked.h"

#include <string.h>
#include <strings.h>

enum { SNIFFED_BYTES = 4096, HEAD_BYTES = 16384 };

static bool begins_with(const char *text, size_t bytes, const char *word) {
    return bytes >= strlen(word) && !strncasecmp(text, word, strlen(word));
}

/* Past blanks, comments and processing instructions. */
static size_t skip_prologue(const char *text, size_t bytes) {
    size_t i = 0;
    for (;;) {
        while (i < bytes && strchr(" \t\r\n\f", text[i]) && text[i]) i++;
        const char *close = begins_with(text + i, bytes - i, "<!--") ? "-->"
                            : begins_with(text + i, bytes - i, "<?") ? "?>"
                                                                     : NULL;
        const char *end = close ? memmem(text + i, bytes - i, close, strlen(close)) : NULL;
        if (!end) return i;
        i = (size_t)(end - text) + strlen(close);
    }
}

/* The beginning without a byte order mark and, for UTF-16, without the zero bytes. */
static size_t copy_head(const char *text, size_t bytes, char head[HEAD_BYTES]) {
    size_t n = 0, begin = begins_with(text, bytes, "\xef\xbb\xbf") ? 3 : 0;
    if (begins_with(text, bytes, "\xff\xfe") || begins_with(text, bytes, "\xfe\xff")) begin = 2;
    for (size_t i = begin; i < bytes && n < HEAD_BYTES; i++)
        if (text[i]) head[n++] = text[i];
    return n;
}

bool mn_document_looks_like_html(const char *text, size_t bytes) {
    static const char *const openings[] = {"<!doctype html", "<html", "<head", "<body", "<title", "<meta"};
    char head[HEAD_BYTES];
    size_t n_head = copy_head(text, bytes, head), at = skip_prologue(head, n_head);
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        size_t n = strlen(openings[i]);
        if (begins_with(head + at, n_head - at, openings[i]) && at + n < n_head && strchr(" \t\r\n\f/>", head[at + n]))
            return true;
    }
    return false;
}

/* The word after "charset=" or "encoding=" at i, in bytes [i, end). */
static size_t charset_at(const char *data, size_t i, size_t end, char out[64]) {
    size_t n = 0;
    if (begins_with(data + i, end - i, "charset="))
        i += 8;
    else if (begins_with(data + i, end - i, "encoding="))
        i += 9;
    else
        return 0;
    if (i < end && (data[i] == '"' || data[i] == '\'')) i++;
    while (i + n < end && n < 63 && data[i + n] && !strchr("\"' \t\r\n;/>?", data[i + n])) n++;
    memcpy(out, data + i, n);
    out[n] = 0;
    return n;
}

bool mn_document_html_charset(const char *data, size_t bytes, char out[64]) {
    size_t end = MN_MIN(bytes, (size_t)SNIFFED_BYTES);
    for (size_t i = 0; i < end; i++)
        if (charset_at(data, i, end, out) && strncasecmp(out, "utf", 3)) return true;
    return false;
}
