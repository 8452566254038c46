/* A corpus: text files and JSONL files, mapped, cut into pieces that can be asked for in any order.
 *
 * Nothing is read before it is asked for, and what was asked for a while ago no longer takes memory. A text file (.txt,
 * .md or any other name) is one document, cut into pieces of about `piece_bytes` at line ends (or, in a longer line,
 * between words); each line of a .jsonl file is a document and a piece. Folders are walked, names sorted, so that the
 * same files give the same pieces on any machine.
 */
#ifndef MN_TRAIN_CORPUS_H
#define MN_TRAIN_CORPUS_H

#include "base/file.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct mn_corpus_file {
    char *path;
    mn_mapfile map;
    bool is_jsonl;
    int64_t first_piece, n_pieces;
    uint64_t *lines; /* of a .jsonl file: offsets of its non-empty lines, [n_pieces + 1] */
} mn_corpus_file;

enum { MN_CORPUS_RECENT = 8 };
/* The pieces that were asked for last, each + 1; 0: none yet. What lies around others is given back. */
typedef struct mn_corpus_recent {
    _Atomic int64_t pieces[MN_CORPUS_RECENT];
    _Atomic uint32_t n_asked;
} mn_corpus_recent;

typedef struct mn_corpus {
    mn_corpus_file *files;
    int n_files;
    int64_t n_pieces;
    int64_t least_piece; /* of the least mn_corpus_draw: what is held out where nothing else is */
    int64_t least_file;  /* the same of the files that hold something, each by its first piece, which this is */
    size_t piece_bytes, total_bytes;
    mn_corpus_recent *recent;
} mn_corpus;

enum { MN_CORPUS_DRAWS = 1 << 20 };
/* A number from 0 to MN_CORPUS_DRAWS - 1 for a piece, the same for ever: pieces below a share of them are held out. */
uint32_t mn_corpus_draw(int64_t piece);
/* The first piece of the file that a piece is of. */
int64_t mn_corpus_first_of_file(const mn_corpus *corpus, int64_t piece);

/* Where a piece lies. */
typedef struct mn_corpus_piece {
    const char *text; /* borrowed from the mapping, not NUL-terminated; of a .jsonl file the line */
    size_t bytes;
    int file;
    bool is_jsonl;
    bool begins_document; /* else it continues the piece before */
} mn_corpus_piece;

/* Opens all files below `paths`. piece_bytes >= 64. Errors: a path that is not there, nothing to read in all of them,
 * more than 2^20 files. The caller closes it. Any number of threads may ask for pieces. */
mn_status mn_corpus_open(const char *const *paths, int n_paths, size_t piece_bytes, mn_corpus *out, mn_error *err);
void mn_corpus_close(mn_corpus *corpus);

/* Piece `index` of [0, n_pieces). */
mn_corpus_piece mn_corpus_at(const mn_corpus *corpus, int64_t index);

#endif
