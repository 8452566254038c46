/* Reading documents from memory in tests. */
#ifndef MN_TESTS_DOCUMENT_H
#define MN_TESTS_DOCUMENT_H

#include "support/support.h"

#include <mnemo/document.h>

/* Reads or fails the test. The caller releases it. */
mn_document read_document(const char *name, const void *data, size_t bytes);
/* Fails unless the bytes are read to exactly this text. */
void assert_document(const char *name, const void *data, size_t bytes, const char *text);
/* Fails unless reading fails with this status and a sentence that holds `part`. */
void assert_refused(const char *name, const void *data, size_t bytes, mn_status status, const char *part);
/* Fails unless one of the notes holds `part`; NULL: unless there are none. */
void assert_note(const mn_document *document, const char *part);

#endif
