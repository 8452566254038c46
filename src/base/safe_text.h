/* Text from files and models on its way to a terminal. */
#ifndef MN_BASE_SAFE_TEXT_H
#define MN_BASE_SAFE_TEXT_H

#include <stddef.h>

/* Turns control characters (C0 but for newline and tab, DEL, and C1 in UTF-8) into '?', byte by byte: what is printed
 * moves no cursor, sets no colour and types nothing. Error sentences and notes go through it. */
void mn_text_make_safe(char *text, size_t bytes);

/* Turns each byte that is no UTF-8 into '?', the beginning of a character that is cut off at the end too: what is left
 * can stand in JSON. Error sentences and notes go through it, which show parts of files and arguments. */
void mn_text_make_utf8(char *text, size_t bytes);

#endif
