#include "model/gguf.h"

#include "model/gguf_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARTS = 99999 };

static mn_status create(const char *path, mn_gguf **out, mn_error *err) {
    mn_gguf *gguf = calloc(1, sizeof *gguf);
    if (gguf) gguf->path = strdup(path);
    if (!gguf || !gguf->path) {
        free(gguf);
        return mn_fail(err, MN_ERR_MEMORY, "%s: no memory to open it.", path);
    }
    *out = gguf;
    return MN_OK;
}

void mn_gguf_close(mn_gguf *gguf) {
    while (gguf) {
        mn_gguf *next = gguf->next;
        mn_arena_release(&gguf->arena);
        mn_mapfile_close(&gguf->map);
        free(gguf->path);
        free(gguf);
        gguf = next;
    }
}

static mn_status open_part(const char *path, mn_gguf **out, mn_error *err) {
    mn_gguf *gguf = NULL;
    MN_TRY(create(path, &gguf, err));
    mn_status status = mn_mapfile_open(path, &gguf->map, err);
    if (status == MN_OK) {
        gguf->data = gguf->map.data;
        gguf->bytes = gguf->map.bytes;
        status = mn_gguf_read_header(gguf, err);
        if (status) mn_fail_in(err, status, path);
    }
    if (status)
        mn_gguf_close(gguf);
    else
        *out = gguf;
    return status;
}

/* A path "PREFIX-00002-of-00003.gguf" taken apart; number and count are 0 when it is no such path. */
typedef struct split_name {
    int prefix_bytes, number, count;
} split_name;

static split_name parse_name(const char *path) {
    static const char shape[] = "-00000-of-00000.gguf";
    size_t bytes = strlen(path), tail_bytes = sizeof shape - 1;
    if (bytes < tail_bytes || bytes > INT32_MAX) return (split_name){0};
    const char *tail = path + bytes - tail_bytes;
    for (size_t i = 0; i < tail_bytes; i++)
        if (shape[i] == '0' ? tail[i] < '0' || tail[i] > '9' : tail[i] != shape[i]) return (split_name){0};
    return (split_name){(int)(bytes - tail_bytes), atoi(tail + 1), atoi(tail + 10)};
}

/* What a part's keys say of its place among the parts; count 0 when they say nothing. */
typedef struct split_keys {
    int64_t number, count, n_tensors; /* number from 0 */
} split_keys;

static mn_status get_split(const mn_gguf *gguf, split_keys *out, mn_error *err) {
    bool found;
    *out = (split_keys){0, 0, -1};
    mn_status status = mn_gguf_get_i64(gguf, "split.no", &out->number, &found, err);
    if (!status) status = mn_gguf_get_i64(gguf, "split.count", &out->count, &found, err);
    if (!status) status = mn_gguf_get_i64(gguf, "split.tensors.count", &out->n_tensors, &found, err);
    if (!status && (out->count < 0 || out->count > MAX_PARTS || out->number < 0))
        status = mn_fail(err, MN_ERR_FORMAT, "says it is part %lld of %lld; 1 to %d are possible.",
                         (long long)out->number + 1, (long long)out->count, MAX_PARTS);
    return status ? mn_fail_in(err, status, gguf->path) : MN_OK;
}

static mn_status open_numbered(const char *path, split_name name, int number, mn_gguf **out, mn_error *err) {
    char *part_path;
    if (asprintf(&part_path, "%.*s-%05d-of-%05d.gguf", name.prefix_bytes, path, number, name.count) < 0)
        return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for the name of part %d.", path, number);
    split_keys keys;
    mn_gguf *part = NULL;
    mn_status status = open_part(part_path, &part, err);
    if (!status) status = get_split(part, &keys, err);
    if (!status && (keys.number != number - 1 || keys.count != name.count))
        status =
            mn_fail(err, MN_ERR_FORMAT, "%s: says inside that it is part %lld of %lld, against its name; rename it.",
                    part_path, (long long)keys.number + 1, (long long)keys.count);
    free(part_path);
    if (status)
        mn_gguf_close(part);
    else
        *out = part;
    return status;
}

/* Gives the first part the tensors of all: its keys are the model's keys. */
static mn_status merge_parts(mn_gguf *first, mn_error *err) {
    int64_t n_tensors = 0;
    for (const mn_gguf *part = first; part; part = part->next) n_tensors += part->n_tensors;
    split_keys keys;
    MN_TRY(get_split(first, &keys, err));
    if (keys.n_tensors >= 0 && keys.n_tensors != n_tensors)
        return mn_fail(err, MN_ERR_FORMAT,
                       "%s: its parts hold %lld tensors but split.tensors.count is %lld; download them again.",
                       first->path, (long long)n_tensors, (long long)keys.n_tensors);
    mn_tensor *all = mn_arena_alloc(&first->arena, (size_t)n_tensors + 1, sizeof *all);
    if (!all) return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for %lld tensors.", first->path, (long long)n_tensors);
    mn_tensor *at = all;
    for (const mn_gguf *part = first; part; at += part->n_tensors, part = part->next)
        memcpy(at, part->tensors, (size_t)part->n_tensors * sizeof *at);
    first->tensors = all;
    first->n_tensors = n_tensors;
    mn_status status = mn_gguf_index_tensors(&first->tensor_index, &first->arena, all, n_tensors, err);
    return status ? mn_fail_in(err, status, first->path) : MN_OK;
}

static mn_status open_split(const char *path, split_name name, mn_gguf **out, mn_error *err) {
    mn_gguf *first = NULL, **link = &first;
    mn_status status = MN_OK;
    for (int number = 1; number <= name.count && !status; number++) {
        status = open_numbered(path, name, number, link, err);
        if (!status) link = &(*link)->next;
    }
    if (!status) status = merge_parts(first, err);
    if (status)
        mn_gguf_close(first);
    else
        *out = first;
    return status;
}

/* A file that stands alone must not call itself one part of several. */
static mn_status refuse_lone_part(const mn_gguf *gguf, mn_error *err) {
    split_keys keys;
    MN_TRY(get_split(gguf, &keys, err));
    if (keys.count <= 1) return MN_OK;
    return mn_fail(err, MN_ERR_FORMAT,
                   "%s: is part %lld of %lld of a split model, but is not named so; name it NAME-%05lld-of-%05lld.gguf "
                   "beside the other parts.",
                   gguf->path, (long long)keys.number + 1, (long long)keys.count, (long long)keys.number + 1,
                   (long long)keys.count);
}

mn_status mn_gguf_open(const char *path, mn_gguf **out, mn_error *err) {
    split_name name = parse_name(path);
    if (name.number >= 1 && name.number <= name.count) return open_split(path, name, out, err);
    mn_gguf *gguf = NULL;
    MN_TRY(open_part(path, &gguf, err));
    mn_status status = refuse_lone_part(gguf, err);
    if (status)
        mn_gguf_close(gguf);
    else
        *out = gguf;
    return status;
}

mn_status mn_gguf_parse(const char *name, const void *data, size_t bytes, mn_gguf **out, mn_error *err) {
    mn_gguf *gguf = NULL;
    MN_TRY(create(name, &gguf, err));
    gguf->data = data;
    gguf->bytes = bytes;
    mn_status status = mn_gguf_read_header(gguf, err);
    if (status)
        mn_fail_in(err, status, name);
    else
        status = refuse_lone_part(gguf, err);
    if (status)
        mn_gguf_close(gguf);
    else
        *out = gguf;
    return status;
}

const void *mn_gguf_resident(const mn_gguf *gguf, size_t max_bytes, size_t *bytes) {
    *bytes = gguf->map.data ? mn_mapfile_resident_bytes(&gguf->map, max_bytes) : 0;
    return gguf->map.data;
}

const char *mn_gguf_path(const mn_gguf *gguf) { return gguf->path; }
int mn_gguf_version(const mn_gguf *gguf) { return gguf->version; }

size_t mn_gguf_file_bytes(const mn_gguf *gguf) {
    size_t bytes = 0;
    for (; gguf; gguf = gguf->next) bytes += gguf->bytes;
    return bytes;
}

int64_t mn_gguf_n_kv(const mn_gguf *gguf) { return gguf->n_kv; }
const mn_gguf_kv *mn_gguf_kv_at(const mn_gguf *gguf, int64_t i) { return &gguf->kvs[i]; }

const mn_gguf_kv *mn_gguf_find(const mn_gguf *gguf, const char *key) {
    int64_t i = mn_gguf_index_find(&gguf->key_index, key);
    return i < 0 ? NULL : &gguf->kvs[i];
}

bool mn_gguf_was_read(const mn_gguf *gguf, int64_t i) { return gguf->was_read[i]; }

int64_t mn_gguf_n_tensors(const mn_gguf *gguf) { return gguf->n_tensors; }
const mn_tensor *mn_gguf_tensor_at(const mn_gguf *gguf, int64_t i) { return &gguf->tensors[i]; }

const mn_tensor *mn_gguf_tensor(const mn_gguf *gguf, const char *name) {
    int64_t i = mn_gguf_index_find(&gguf->tensor_index, name);
    return i < 0 ? NULL : &gguf->tensors[i];
}
