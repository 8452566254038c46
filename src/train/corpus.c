#include "train/corpus.h"

#include "base/checked.h"
#include "base/random.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILES = 1 << 20, MAX_DEPTH = 16, MIN_PIECE_BYTES = 64 };

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static bool is_blank(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (!strchr(" \t\r\n", text[i]) || text[i] == 0) return false;
    return true;
}

/* Lists the lines that hold something: offsets NULL only counts them. */
static int64_t list_lines(const mn_mapfile *map, uint64_t *offsets) {
    const char *text = (const char *)map->data;
    int64_t n = 0;
    for (size_t at = 0; at < map->bytes;) {
        const char *end = memchr(text + at, '\n', map->bytes - at);
        size_t next = end ? (size_t)(end - text) + 1 : map->bytes;
        if (!is_blank(text + at, next - at)) {
            if (offsets) offsets[n] = at;
            n++;
        }
        at = next;
    }
    return n;
}

static mn_status index_lines(mn_corpus_file *f, mn_error *err) {
    f->n_pieces = list_lines(&f->map, NULL);
    f->lines = malloc(((size_t)f->n_pieces + 1) * sizeof *f->lines);
    if (!f->lines) return mn_fail(err, MN_ERR_MEMORY, "no memory for the lines of %s.", f->path);
    list_lines(&f->map, f->lines);
    mn_mapping_was_read(&f->map, 0, f->map.bytes);
    f->lines[f->n_pieces] = f->map.bytes;
    return MN_OK;
}

static mn_status add_file(mn_corpus *c, const char *path, mn_error *err) {
    if (c->n_files == MAX_FILES)
        return mn_fail(err, MN_ERR_LIMIT, "a corpus holds at most %d files; join small ones into JSONL.", MAX_FILES);
    if ((c->n_files & (c->n_files - 1)) == 0) {
        mn_corpus_file *grown = reallocarray(c->files, c->n_files ? 2 * (size_t)c->n_files : 1, sizeof *grown);
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "no memory for %d files.", c->n_files);
        c->files = grown;
    }
    mn_corpus_file *f = &c->files[c->n_files];
    *f = (mn_corpus_file){.path = strdup(path), .is_jsonl = ends_with(path, ".jsonl"), .first_piece = c->n_pieces};
    if (!f->path) return mn_fail(err, MN_ERR_MEMORY, "no memory for the name of a file.");
    c->n_files++;
    MN_TRY(mn_mapfile_open(path, &f->map, err));
    if (f->is_jsonl)
        MN_TRY(index_lines(f, err));
    else
        f->n_pieces = (int64_t)((f->map.bytes + c->piece_bytes - 1) / c->piece_bytes);
    c->n_pieces += f->n_pieces;
    c->total_bytes += f->map.bytes;
    return MN_OK;
}

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* strcmp, not the locale's order: the same on every machine. */
static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static mn_status add_path(mn_corpus *c, const char *path, int depth, mn_error *err) {
    struct stat info;
    if (stat(path, &info)) return mn_fail(err, MN_ERR_IO, "%s: %s.", path, strerror(errno));
    if (!S_ISDIR(info.st_mode)) return add_file(c, path, err);
    if (depth == MAX_DEPTH) return mn_fail(err, MN_ERR_LIMIT, "%s lies more than %d folders deep.", path, MAX_DEPTH);
    struct dirent **entries;
    int n = scandir(path, &entries, is_visible, by_bytes);
    if (n < 0) return mn_fail(err, MN_ERR_IO, "%s: %s.", path, strerror(errno));
    mn_status status = MN_OK;
    for (int i = 0; i < n; i++) {
        char *name = NULL;
        if (status == MN_OK && asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0)
            status = mn_fail(err, MN_ERR_MEMORY, "no memory for the name of a file.");
        if (status == MN_OK) status = add_path(c, name, depth + 1, err);
        free(name);
        free(entries[i]);
    }
    free(entries);
    return status;
}

uint32_t mn_corpus_draw(int64_t piece) {
    enum { STREAM = 4 };
    mn_random rng;
    mn_random_seed(&rng, (uint64_t)piece, STREAM);
    return mn_random_below(&rng, MN_CORPUS_DRAWS);
}

static void find_least(mn_corpus *c) {
    uint32_t lowest = MN_CORPUS_DRAWS, lowest_file = MN_CORPUS_DRAWS;
    for (int64_t i = 0; i < c->n_pieces && lowest > 0; i++) {
        uint32_t draw = mn_corpus_draw(i);
        if (draw < lowest) lowest = draw, c->least_piece = i;
    }
    for (int i = 0; i < c->n_files; i++) {
        uint32_t draw = mn_corpus_draw(c->files[i].first_piece);
        if (c->files[i].n_pieces && draw < lowest_file) lowest_file = draw, c->least_file = c->files[i].first_piece;
    }
}

mn_status mn_corpus_open(const char *const *paths, int n_paths, size_t piece_bytes, mn_corpus *out, mn_error *err) {
    *out = (mn_corpus){.piece_bytes = piece_bytes};
    if (piece_bytes < MIN_PIECE_BYTES)
        return mn_fail(err, MN_ERR_ARGUMENT, "pieces of %zu bytes are too short; use %d or more.", piece_bytes,
                       MIN_PIECE_BYTES);
    mn_status status = MN_OK;
    out->recent = calloc(1, sizeof *out->recent);
    if (!out->recent) return mn_fail(err, MN_ERR_MEMORY, "no memory for a corpus.");
    for (int i = 0; i < n_paths && status == MN_OK; i++) status = add_path(out, paths[i], 0, err);
    if (status == MN_OK && out->n_pieces == 0)
        status = mn_fail(err, MN_ERR_ARGUMENT, "there is no text in %s%s.", n_paths ? paths[0] : "no files",
                         n_paths > 1 ? " and the others" : "");
    if (status == MN_OK) find_least(out);
    if (status != MN_OK) mn_corpus_close(out);
    return status;
}

void mn_corpus_close(mn_corpus *c) {
    for (int i = 0; i < c->n_files; i++) {
        mn_mapfile_close(&c->files[i].map);
        free(c->files[i].path);
        free(c->files[i].lines);
    }
    free(c->files);
    free(c->recent);
    *c = (mn_corpus){0};
}

/* Where a text may be cut at or behind `at`: behind a line's end, else behind a blank, else between two characters;
 * never more than one piece further on, so that no piece is empty because its neighbour took all of it. */
static size_t cut_behind(const mn_mapfile *map, size_t at, size_t piece_bytes) {
    const char *text = (const char *)map->data;
    if (at == 0 || at >= map->bytes) return MN_MIN(at, map->bytes);
    size_t limit = MN_MIN(map->bytes - at, piece_bytes / 2);
    const char *end = memchr(text + at, '\n', limit);
    if (!end) end = memchr(text + at, ' ', limit);
    if (end) return (size_t)(end - text) + 1;
    while (at < map->bytes && ((unsigned char)text[at] & 0xc0) == 0x80) at++;
    return at;
}

static const mn_corpus_file *file_of(const mn_corpus *c, int64_t index) {
    int low = 0, high = c->n_files - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (c->files[middle].first_piece <= index)
            low = middle;
        else
            high = middle - 1;
    }
    return &c->files[low]; /* not an empty file: one that follows it begins with the same piece */
}

static mn_corpus_piece locate(const mn_corpus *c, int64_t index) {
    const mn_corpus_file *f = file_of(c, index);
    size_t i = (size_t)(index - f->first_piece), begin, end;
    if (f->is_jsonl) {
        begin = f->lines[i];
        const char *line = (const char *)f->map.data + begin, *stop = memchr(line, '\n', f->map.bytes - begin);
        end = stop ? (size_t)(stop - (const char *)f->map.data) : f->map.bytes;
    } else {
        begin = cut_behind(&f->map, i * c->piece_bytes, c->piece_bytes);
        end = cut_behind(&f->map, (i + 1) * c->piece_bytes, c->piece_bytes);
    }
    return (mn_corpus_piece){.text = (const char *)f->map.data + begin,
                             .bytes = end - begin,
                             .file = (int)(f - c->files),
                             .is_jsonl = f->is_jsonl,
                             .begins_document = f->is_jsonl || i == 0};
}

/* Keeps this piece's pages, and gives those of the one that was asked for longest ago back. */
static void remember(const mn_corpus *c, int64_t index) {
    uint32_t slot = atomic_fetch_add(&c->recent->n_asked, 1) % MN_CORPUS_RECENT;
    int64_t old = atomic_exchange(&c->recent->pieces[slot], index + 1) - 1;
    if (old < 0 || old == index) return;
    mn_corpus_piece p = locate(c, old);
    const mn_mapfile *map = &c->files[p.file].map;
    if (map->bytes) mn_mapping_was_read(map, (size_t)(p.text - (const char *)map->data), p.bytes);
}

mn_corpus_piece mn_corpus_at(const mn_corpus *c, int64_t index) {
    remember(c, index);
    return locate(c, index);
}

int64_t mn_corpus_first_of_file(const mn_corpus *c, int64_t piece) { return file_of(c, piece)->first_piece; }
