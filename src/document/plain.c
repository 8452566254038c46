/* Text that stays as it is: plain, or Markdown with its headings found. */
#include "document/encoding.h"

#include "base/checked.h"

#include <string.h>

enum { MAX_INDENT = 3, MAX_LEVEL = 6 };

mn_status mn_document_plain(mn_reading *r, mn_error *err) {
    return mn_document_decode(r, r->data, r->bytes, NULL, &r->text, err);
}

static size_t run(const char *p, size_t n, char c) {
    size_t k = 0;
    while (k < n && p[k] == c) k++;
    return k;
}

/* A line of a fence of code: three or more of ` or ~. Returns which, 0 = none. */
static char fence_of(const char *line, size_t n) {
    if (run(line, n, '`') >= 3) return '`';
    return run(line, n, '~') >= 3 ? '~' : 0;
}

/* CommonMark 4.2: one to six #, a blank, the title, and perhaps # again. */
static void take_heading(mn_reading *r, size_t begin, const char *line, size_t n) {
    size_t level = run(line, n, '#');
    if (level == 0 || level > MAX_LEVEL || (level < n && line[level] != ' ' && line[level] != '\t')) return;
    const char *title = line + level;
    size_t bytes = n - level, closing = bytes;
    while (bytes > 0 && (title[bytes - 1] == ' ' || title[bytes - 1] == '\t')) bytes--;
    for (closing = bytes; closing > 0 && title[closing - 1] == '#'; closing--) {
    }
    if (closing > 0 && (title[closing - 1] == ' ' || title[closing - 1] == '\t')) bytes = closing;
    mn_reading_section(r, (int)level, begin, title, bytes);
    if (level == 1) mn_reading_title(r, title, bytes);
}

mn_status mn_document_markdown(mn_reading *r, mn_error *err) {
    char fence = 0;
    MN_TRY(mn_document_plain(r, err));
    for (size_t i = 0; i < r->text.bytes;) {
        const char *line = r->text.data + i, *end = memchr(line, '\n', r->text.bytes - i);
        size_t n = end ? (size_t)(end - line) : r->text.bytes - i, indent = run(line, n, ' ');
        char mark = indent <= MAX_INDENT ? fence_of(line + indent, n - indent) : 0;
        if (mark && (!fence || mark == fence))
            fence = fence ? 0 : mark;
        else if (!fence && indent <= MAX_INDENT)
            take_heading(r, i, line + indent, n - indent);
        i += n + 1;
    }
    return MN_OK;
}
