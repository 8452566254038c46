/* Texts that a verb reads: files, and standard input. */
#ifndef MN_CLI_TEXTS_H
#define MN_CLI_TEXTS_H

#include "base/strbuf.h"
#include "cli/options.h"

#include <mnemo/tokenizer.h>

/* Appends a document's text to *out ("-": standard input), and says on standard error what it was and what was changed
 * or left out. A file without text is an error. With `raw` plain text and HTML stay as they are, and only an empty file
 * is an error. */
mn_status mn_text_read(const char *path, bool raw, mn_strbuf *out, mn_error *err);

/* Appends the texts of all files, a line end between them. *n_texts: how many there were. Without any file, what is
 * piped into standard input is the text, if anything is: a terminal, /dev/null, an empty pipe are none. has_other:
 * there is something to do without it, so that a pipe into which nothing comes for some seconds is none either. What
 * stands in standard input beside named files is left, and a line on standard error says so. */
mn_status mn_texts_read(const mn_text_list *files, bool raw, bool has_other, bool quiet, mn_strbuf *out, int *n_texts,
                        mn_error *err);

/* Says on standard error when much of a text came out as bytes and parts of characters, because the vocabulary hardly
 * knows its language or script. */
void mn_text_note_fallback(const mn_tokenizer *tokenizer, const int32_t *ids, size_t n);

/* Replaces \n \t \r \\ \" \' \0 to \x.. in a text of the command line by what they stand for, in a copy that lives as
 * long as the program; NULL stays NULL, and also comes when there is no memory. */
const char *mn_text_unescape(const char *text);

#endif
