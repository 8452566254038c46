/* Texts between the tags of HTML and SVG. */
#ifndef MN_BASE_XML_TEXT_H
#define MN_BASE_XML_TEXT_H

#include "base/strbuf.h"

#include <stddef.h>

/* Appends text with what XML reserves escaped, white space as a space, and what XML forbids as '?'. A text of more than
 * max_bytes is cut before the character that does not fit, and ends with an ellipsis. Returns the characters put. */
size_t mn_xml_text_put(mn_strbuf *out, const char *text, size_t max_bytes);

#endif
