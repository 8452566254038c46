#include "base/strbuf.h"

#include "base/checked.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char mn_strbuf_empty[1];

static bool grow(mn_strbuf *buf, size_t more) {
    size_t need;
    if (buf->failed || !mn_add_size(buf->bytes, more, &need) || need == SIZE_MAX) return !(buf->failed = true);
    if (buf->max_bytes && need > buf->max_bytes) return !(buf->failed = true);
    if (need < buf->capacity) return true;
    size_t capacity = MN_MAX(need + 1, buf->capacity > SIZE_MAX / 2 ? need + 1 : buf->capacity * 2);
    capacity = MN_MAX(capacity, (size_t)64);
    char *data = realloc(buf->capacity ? buf->data : NULL, capacity);
    if (!data) return !(buf->failed = true);
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void mn_strbuf_put(mn_strbuf *buf, const void *data, size_t bytes) {
    if (bytes == 0 || !grow(buf, bytes)) return;
    memcpy(buf->data + buf->bytes, data, bytes);
    buf->bytes += bytes;
    buf->data[buf->bytes] = 0;
}

void mn_strbuf_puts(mn_strbuf *buf, const char *text) { mn_strbuf_put(buf, text, strlen(text)); }

void mn_strbuf_putc(mn_strbuf *buf, char c) { mn_strbuf_put(buf, &c, 1); }

void mn_strbuf_printf(mn_strbuf *buf, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n >= 0 && grow(buf, (size_t)n)) {
        vsnprintf(buf->data + buf->bytes, (size_t)n + 1, format, again);
        buf->bytes += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void mn_strbuf_reset(mn_strbuf *buf) {
    buf->bytes = 0;
    buf->failed = false;
    if (buf->capacity) buf->data[0] = 0;
}

void mn_strbuf_release(mn_strbuf *buf) {
    if (buf->capacity) free(buf->data);
    *buf = (mn_strbuf){.data = mn_strbuf_empty, .max_bytes = buf->max_bytes};
}

char *mn_strbuf_detach(mn_strbuf *buf, size_t *bytes) {
    char *data = buf->failed ? NULL : buf->capacity ? buf->data : strdup("");
    if (bytes) *bytes = data ? buf->bytes : 0;
    if (data && buf->capacity) buf->capacity = 0;
    mn_strbuf_release(buf);
    return data;
}

void mn_strbuf_fill(mn_strbuf *buf, const char *template, const mn_mark *marks, size_t n_marks) {
    for (const char *p = template; *p;) {
        size_t i = 0;
        while (i < n_marks && strncmp(p, marks[i].mark, strlen(marks[i].mark))) i++;
        if (i < n_marks) {
            mn_strbuf_put(buf, marks[i].text, marks[i].bytes);
            p += strlen(marks[i].mark);
        } else {
            mn_strbuf_putc(buf, *p++);
        }
    }
}
