/* Which kind of document bytes are. */
#ifndef MN_DOCUMENT_KIND_H
#define MN_DOCUMENT_KIND_H

#include "document/reading.h"

typedef struct mn_document_kind {
    const char *name;
    mn_document_format *read; /* NULL = this build cannot, for want of `needs` */
    const char *needs;
    bool is_plain; /* its bytes are its text */
} mn_document_kind;

/* By what the bytes begin with, then, between kinds of plain text, by the name's ending. MN_ERR_UNSUPPORTED: a kind
 * that nothing here reads, with the program that would help. */
mn_status mn_document_find_kind(const mn_reading *r, const mn_document_kind **out, mn_error *err);

#endif
