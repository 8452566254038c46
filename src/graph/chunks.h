/* A document's text in chunks: what is searched, and what an agent reads at a time. */
#ifndef MN_GRAPH_CHUNKS_H
#define MN_GRAPH_CHUNKS_H

#include "base/status.h"

#include <mnemo/document.h>

typedef struct mn_chunk_params {
    size_t max_bytes; /* 0 = 2400 */
    size_t min_bytes; /* short paragraphs are joined up to here; 0 = a quarter of max_bytes */
} mn_chunk_params;

typedef struct mn_chunk {
    size_t begin, end; /* bytes of the text, blanks at the ends left out */
    const char *title; /* of the section that it stands in, else of the document; borrowed; NULL = none */
} mn_chunk;

typedef struct mn_chunks {
    mn_chunk *items;
    size_t n, capacity;
} mn_chunks;

/* Cuts at headings and between paragraphs; a paragraph beyond max_bytes at sentences, a sentence beyond it at a blank.
 * Chunks never overlap, and nothing but blanks lies between them. The caller releases *out. Linear. */
mn_status mn_chunks_cut(const mn_document *document, const mn_chunk_params *params, mn_chunks *out, mn_error *err);
void mn_chunks_release(mn_chunks *chunks);

#endif
