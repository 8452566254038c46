/* Growable byte string. data is never NULL and always NUL-terminated; it may hold NULs inside.
 *
 * A failed growth (memory, or max_bytes) sets `failed` and drops the text from then on, so that callers may append
 * freely and look once at the end.
 */
#ifndef MN_BASE_STRBUF_H
#define MN_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mn_strbuf {
    char *data;
    size_t bytes, capacity;
    size_t max_bytes; /* 0 = none but memory */
    bool failed;
} mn_strbuf;

extern char mn_strbuf_empty[1];
#define MN_STRBUF_INIT                                                                                                 \
    { .data = mn_strbuf_empty }

/* Append. */
void mn_strbuf_put(mn_strbuf *buf, const void *data, size_t bytes);
void mn_strbuf_puts(mn_strbuf *buf, const char *text);
void mn_strbuf_putc(mn_strbuf *buf, char c);
void mn_strbuf_printf(mn_strbuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends a template in which each mark ("{prompt}") is replaced where it stands; what is put in is not searched again.
 */
typedef struct mn_mark {
    const char *mark, *text;
    size_t bytes; /* of text */
} mn_mark;
void mn_strbuf_fill(mn_strbuf *buf, const char *template, const mn_mark *marks, size_t n_marks);
/* Empties it, keeping the memory. */
void mn_strbuf_reset(mn_strbuf *buf);
void mn_strbuf_release(mn_strbuf *buf);
/* Hands data to the caller, who frees it, and starts anew. NULL when it had failed. */
char *mn_strbuf_detach(mn_strbuf *buf, size_t *bytes);

#endif
