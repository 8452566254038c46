/* HTML into a flow; EPUB's chapters take this way too. */
#ifndef MN_DOCUMENT_HTML_H
#define MN_DOCUMENT_HTML_H

#include "document/flow.h"

/* Whether a text in any encoding begins as an HTML page does. */
bool mn_document_looks_like_html(const char *text, size_t bytes);

/* The first charset but Unicode that a page declares within its first bytes, as it spells it; false = none. */
bool mn_document_html_charset(const char *data, size_t bytes, char out[64]);

/* Appends a page in any encoding. Scripts, styles and what only a browser shows are left out; pictures stand as the
 * text their page gives for them. */
mn_status mn_document_html_into(mn_flow *flow, const char *data, size_t bytes, mn_error *err);

#endif
