/* What `mnemo info MODEL` says first: a line for each fact that the file states. */
#ifndef MN_CLI_INFO_SUMMARY_H
#define MN_CLI_INFO_SUMMARY_H

#include "base/strbuf.h"
#include "cli/model_facts.h"

enum { INFO_SHOWN_CHARS = 100 };

/* A file's text for a terminal: control characters and bytes that are no UTF-8 become '?', long texts are cut. */
void info_put_safely(mn_strbuf *out, mn_gguf_string text, size_t max_chars);

void info_print_summary(const mn_gguf *gguf, const mn_model_facts *facts);

/* A label, and a value in the second column, folded to the terminal. */
void info_print_fact(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
