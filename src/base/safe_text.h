/* Text from files and models on its way to a terminal. */
#ifndef MN_BASE_SAFE_TEXT_H
#define MN_BASE_SAFE_TEXT_H

#include <stddef.h>

/* Turns control characters (C0 but for newline and tab, DEL, and C1 in UTF-8) into '?', byte by byte: what is printed
 * moves no cursor, sets no colour and types nothing. Error sentences and notes go through it. */
void mn_text_make_safe(char *text, size_t bytes);

#endif
