/* From the encodings that texts are kept in to UTF-8. */
#ifndef MN_DOCUMENT_ENCODING_H
#define MN_DOCUMENT_ENCODING_H

#include "document/reading.h"

/* Appends a text in any encoding to *out: UTF-8, LF line ends (unless verbatim), no byte order mark, no zero bytes
 * (they become blanks).
 *
 * A byte order mark decides; else what is valid UTF-8 is UTF-8; else the charset that the file declares (NULL = none;
 * one that is not known here counts as none); else UTF-8 with mistakes, UTF-16 or UTF-32 without a mark, or
 * Windows-1252, as the bytes suggest. Notes say what was converted and how many bytes stood for no character (they
 * become U+FFFD). MN_ERR_UNSUPPORTED: the bytes are no text, or text in an encoding that cannot be told from them.
 * *out says itself when it is full. */
mn_status mn_document_decode(mn_reading *r, const char *data, size_t bytes, const char *charset, mn_strbuf *out,
                             mn_error *err);

#endif
