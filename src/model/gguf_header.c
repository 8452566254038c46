/* From a file's bytes to tables of keys and tensors. Nothing the file says is believed before it is checked. */
#include "model/gguf_file.h"

#include "base/checked.h"
#include "base/human.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_ENTRIES = 1 << 24,       /* keys, or tensors: far above any model, far below what would exhaust memory */
    KEY_LEAST_BYTES = 4 + 4 + 1, /* length, type, one byte of value */
    TENSOR_LEAST_BYTES = 4 + 4 + 4 + 4 + 8, /* length, n_dims, one dimension, type, offset */
    DEFAULT_ALIGNMENT = 32,
    LEAST_ALIGNMENT = 8 /* GGUF's own; kernels read 16-bit floats where they lie */
};

/* Where reading stands, and what is being read, for the message when the file ends there. */
typedef struct cursor {
    const unsigned char *at, *start, *end;
    int version;
    const char *what;
    int64_t index, total;
} cursor;

static size_t left(const cursor *c) { return (size_t)(c->end - c->at); }

static mn_status fail_cut(const cursor *c, size_t wanted, mn_error *err) {
    size_t present = (size_t)(c->end - c->start), used = (size_t)(c->at - c->start);
    if (c->total)
        return mn_fail(err, MN_ERR_FORMAT,
                       "file ends at %zu bytes inside its header: %s %lld of %lld at byte %zu needs %zu more bytes; "
                       "it is cut or damaged, download it again.",
                       present, c->what, (long long)c->index + 1, (long long)c->total, used, wanted);
    return mn_fail(err, MN_ERR_FORMAT, "file ends at %zu bytes inside its header (%s); download it again.", present,
                   c->what);
}

static mn_status take(cursor *c, size_t bytes, const unsigned char **out, mn_error *err) {
    if (bytes > left(c)) return fail_cut(c, bytes, err);
    *out = c->at;
    c->at += bytes;
    return MN_OK;
}

static mn_status take_u32(cursor *c, uint32_t *out, mn_error *err) {
    const unsigned char *p = NULL;
    MN_TRY(take(c, sizeof *out, &p, err));
    memcpy(out, p, sizeof *out);
    return MN_OK;
}

static mn_status take_u64(cursor *c, uint64_t *out, mn_error *err) {
    const unsigned char *p = NULL;
    MN_TRY(take(c, sizeof *out, &p, err));
    memcpy(out, p, sizeof *out);
    return MN_OK;
}

/* Counts, lengths and dimensions: 32 bits in version 1, 64 since. */
static mn_status take_count(cursor *c, uint64_t *out, mn_error *err) {
    if (c->version > 1) return take_u64(c, out, err);
    uint32_t narrow;
    MN_TRY(take_u32(c, &narrow, err));
    *out = narrow;
    return MN_OK;
}

static mn_status take_string(cursor *c, mn_gguf_string *out, mn_error *err) {
    uint64_t bytes;
    const unsigned char *p = NULL;
    MN_TRY(take_count(c, &bytes, err));
    MN_TRY(take(c, bytes, &p, err));
    *out = (mn_gguf_string){(const char *)p, bytes};
    return MN_OK;
}

/* Reads a count of keys or tensors; each takes at least least_bytes of what is left. */
static mn_status take_entries(cursor *c, const char *what, size_t least_bytes, int64_t *out, mn_error *err) {
    uint64_t n;
    MN_TRY(take_count(c, &n, err));
    if (n > MAX_ENTRIES)
        return mn_fail(err, MN_ERR_FORMAT, "header counts %llu %s, more than the %d allowed; the file is damaged.",
                       (unsigned long long)n, what, MAX_ENTRIES);
    if (n > left(c) / least_bytes)
        return mn_fail(err, MN_ERR_FORMAT,
                       "header counts %llu %s, which cannot fit in the %zu bytes present; the file is cut or damaged, "
                       "download it again.",
                       (unsigned long long)n, what, (size_t)(c->end - c->start));
    *out = (int64_t)n;
    return MN_OK;
}

static mn_status check_magic(const unsigned char *data, size_t bytes, mn_error *err) {
    if (bytes == 0) return mn_fail(err, MN_ERR_FORMAT, "file is empty; download it again.");
    if (bytes >= 4 && !memcmp(data, "GGUF", 4)) return MN_OK;
    mn_gguf_shown first = mn_gguf_show((mn_gguf_string){(const char *)data, MN_MIN(bytes, (size_t)4)});
    const char *guess = "name a model file that ends in .gguf.";
    if (data[0] == '<') guess = "it looks like a web page - was the download interrupted?";
    if (bytes >= 4 && !memcmp(data, "vers", 4)) guess = "it looks like a Git LFS pointer - run git lfs pull.";
    return mn_fail(err, MN_ERR_FORMAT, "not a GGUF file (first bytes \"%s\"); %s", first.text, guess);
}

static mn_status take_version(cursor *c, mn_error *err) {
    uint32_t version;
    MN_TRY(take_u32(c, &version, err));
    if (version && !(version & 0xffffff))
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "big-endian GGUF (version %u); only little-endian files are read, convert it first.",
                       version >> 24);
    if (version < 1 || version > 3)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "GGUF version %u; versions 1 to 3 are read.", version);
    c->version = (int)version;
    return MN_OK;
}

static mn_status take_array(cursor *c, mn_gguf_kv *kv, mn_error *err) {
    uint32_t item_type;
    size_t bytes;
    const unsigned char *p = NULL;
    MN_TRY(take_u32(c, &item_type, err));
    MN_TRY(take_count(c, &kv->n_items, err));
    kv->item_type = item_type < MN_GGUF_TYPE_COUNT ? (mn_gguf_type)item_type : MN_GGUF_ARRAY;
    kv->data = c->at;
    if (item_type == MN_GGUF_STRING) {
        mn_gguf_string item;
        for (uint64_t i = 0; i < kv->n_items; i++) MN_TRY(take_string(c, &item, err));
        return MN_OK;
    }
    if (mn_gguf_type_bytes(item_type) == 0)
        return mn_fail(err, MN_ERR_FORMAT, "key \"%s\" is an array of %s; only numbers and strings can be items.",
                       mn_gguf_show(kv->key).text, mn_gguf_type_name(item_type));
    if (!mn_mul_size(kv->n_items, mn_gguf_type_bytes(item_type), &bytes)) return fail_cut(c, SIZE_MAX, err);
    return take(c, bytes, &p, err);
}

static mn_status take_kv(cursor *c, mn_gguf_kv *kv, mn_error *err) {
    uint32_t type;
    mn_gguf_string text;
    const unsigned char *p = NULL;
    MN_TRY(take_string(c, &kv->key, err));
    MN_TRY(take_u32(c, &type, err));
    if (type >= MN_GGUF_TYPE_COUNT)
        return mn_fail(err, MN_ERR_FORMAT,
                       "key \"%s\" has the unknown value type %u (known: 0 to %d); the file is damaged.",
                       mn_gguf_show(kv->key).text, type, MN_GGUF_TYPE_COUNT - 1);
    kv->type = (mn_gguf_type)type;
    kv->length_bytes = c->version > 1 ? 8 : 4;
    kv->data = c->at;
    if (type == MN_GGUF_ARRAY)
        MN_TRY(take_array(c, kv, err));
    else if (type == MN_GGUF_STRING)
        MN_TRY(take_string(c, &text, err));
    else
        MN_TRY(take(c, mn_gguf_type_bytes(type), &p, err));
    kv->bytes = (size_t)(c->at - kv->data);
    return MN_OK;
}

static mn_status take_keys(mn_gguf *gguf, cursor *c, mn_error *err) {
    gguf->kvs = mn_arena_zalloc(&gguf->arena, (size_t)gguf->n_kv, sizeof *gguf->kvs);
    gguf->was_read = mn_arena_zalloc(&gguf->arena, (size_t)gguf->n_kv, sizeof *gguf->was_read);
    if (!gguf->kvs || !gguf->was_read)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld keys.", (long long)gguf->n_kv);
    c->what = "key";
    c->total = gguf->n_kv;
    for (c->index = 0; c->index < gguf->n_kv; c->index++) MN_TRY(take_kv(c, &gguf->kvs[c->index], err));
    return mn_gguf_index_keys(&gguf->key_index, &gguf->arena, gguf->kvs, gguf->n_kv, err);
}

static mn_status take_tensor_name(mn_gguf *gguf, cursor *c, mn_tensor *t, mn_error *err) {
    mn_gguf_string name;
    MN_TRY(take_string(c, &name, err));
    if (name.bytes == 0 || memchr(name.data, 0, name.bytes))
        return mn_fail(err, MN_ERR_FORMAT,
                       "tensor %lld of %lld has the name \"%s\"; a name needs characters and no NUL.",
                       (long long)c->index + 1, (long long)c->total, mn_gguf_show(name).text);
    char *copy = mn_arena_alloc(&gguf->arena, name.bytes + 1, 1);
    if (!copy) return mn_fail(err, MN_ERR_MEMORY, "no memory for a tensor name of %zu bytes.", name.bytes);
    memcpy(copy, name.data, name.bytes);
    copy[name.bytes] = 0;
    t->name = copy;
    return MN_OK;
}

static mn_gguf_shown show_name(const mn_tensor *t) { return mn_gguf_show((mn_gguf_string){t->name, strlen(t->name)}); }

static mn_status take_shape(cursor *c, mn_tensor *t, mn_error *err) {
    uint32_t n_dims;
    MN_TRY(take_u32(c, &n_dims, err));
    if (n_dims < 1 || n_dims > MN_MAX_DIMS)
        return mn_fail(err, MN_ERR_FORMAT, "tensor \"%s\" has %u dimensions; 1 to %d are possible.", show_name(t).text,
                       n_dims, MN_MAX_DIMS);
    t->n_dims = (int)n_dims;
    for (int i = 0; i < MN_MAX_DIMS; i++) {
        uint64_t n = 1;
        if (i < t->n_dims) MN_TRY(take_count(c, &n, err));
        if (n < 1 || n > INT64_MAX)
            return mn_fail(err, MN_ERR_FORMAT, "tensor \"%s\" has %llu elements in dimension %d; the file is damaged.",
                           show_name(t).text, (unsigned long long)n, i);
        t->ne[i] = (int64_t)n;
    }
    return MN_OK;
}

/* Names every type that is known, for the message about one that is not. */
static mn_status fail_type(const mn_tensor *t, uint32_t type, mn_error *err) {
    char known[256] = "";
    for (int i = 0; i < MN_DTYPE_COUNT; i++) {
        size_t used = strlen(known);
        if (mn_dtype_get(i)) snprintf(known + used, sizeof known - used, " %s", mn_dtype_get(i)->name);
    }
    return mn_fail(err, MN_ERR_UNSUPPORTED, "tensor \"%s\" has the type number %u, which is not known here; known:%s.",
                   show_name(t).text, type, known);
}

static mn_status take_type(cursor *c, mn_tensor *t, mn_error *err) {
    uint32_t type;
    MN_TRY(take_u32(c, &type, err));
    const mn_dtype_info *info = type < MN_DTYPE_COUNT ? mn_dtype_get((int)type) : NULL;
    if (!info) return fail_type(t, type, err);
    t->type = (mn_dtype)type;
    if (t->ne[0] % info->block_elems)
        return mn_fail(err, MN_ERR_FORMAT,
                       "tensor \"%s\" has rows of %lld elements, which are no whole blocks of %d (%s).",
                       show_name(t).text, (long long)t->ne[0], info->block_elems, info->name);
    size_t bytes = mn_dtype_row_bytes(t->type, t->ne[0]);
    bool fits = bytes > 0;
    for (int i = 1; i < MN_MAX_DIMS; i++) fits = fits && mn_mul_size(bytes, (size_t)t->ne[i], &bytes);
    if (!fits || bytes > INT64_MAX)
        return mn_fail(err, MN_ERR_FORMAT, "tensor \"%s\" of %lld x %lld x %lld x %lld elements has no possible size.",
                       show_name(t).text, (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2],
                       (long long)t->ne[3]);
    t->bytes = bytes;
    return MN_OK;
}

/* offsets[i] waits until the header's end is known. */
static mn_status take_tensors(mn_gguf *gguf, cursor *c, uint64_t **offsets, mn_error *err) {
    gguf->tensors = mn_arena_zalloc(&gguf->arena, (size_t)gguf->n_tensors, sizeof *gguf->tensors);
    *offsets = mn_arena_alloc(&gguf->arena, (size_t)gguf->n_tensors, sizeof **offsets);
    if (!gguf->tensors || !*offsets)
        return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld tensors.", (long long)gguf->n_tensors);
    c->what = "tensor";
    c->total = gguf->n_tensors;
    for (c->index = 0; c->index < gguf->n_tensors; c->index++) {
        mn_tensor *t = &gguf->tensors[c->index];
        MN_TRY(take_tensor_name(gguf, c, t, err));
        MN_TRY(take_shape(c, t, err));
        MN_TRY(take_type(c, t, err));
        MN_TRY(take_u64(c, &(*offsets)[c->index], err));
    }
    return mn_gguf_index_tensors(&gguf->tensor_index, &gguf->arena, gguf->tensors, gguf->n_tensors, err);
}

static mn_status get_alignment(const mn_gguf *gguf, size_t *out, mn_error *err) {
    int64_t alignment = DEFAULT_ALIGNMENT;
    bool found;
    MN_TRY(mn_gguf_get_i64(gguf, "general.alignment", &alignment, &found, err));
    if (alignment < LEAST_ALIGNMENT || alignment > UINT32_MAX || (alignment & (alignment - 1)))
        return mn_fail(err, MN_ERR_FORMAT, "general.alignment is %lld; it must be a power of two from %d up.",
                       (long long)alignment, LEAST_ALIGNMENT);
    *out = (size_t)alignment;
    return MN_OK;
}

static mn_status fail_outside(const mn_gguf *gguf, const mn_tensor *t, size_t needed, mn_error *err) {
    mn_human present_text, needed_text;
    return mn_fail(err, MN_ERR_FORMAT, "file ends at %s but tensor %s needs bytes up to %s; download it again.",
                   mn_human_bytes(present_text, gguf->bytes), show_name(t).text, mn_human_bytes(needed_text, needed));
}

static int by_place(const void *a, const void *b) {
    const mn_tensor *left_tensor = *(const mn_tensor *const *)a, *right_tensor = *(const mn_tensor *const *)b;
    return (left_tensor->data > right_tensor->data) - (left_tensor->data < right_tensor->data);
}

static mn_status check_overlap(mn_gguf *gguf, mn_error *err) {
    size_t n = (size_t)gguf->n_tensors;
    const mn_tensor **order = mn_arena_alloc(&gguf->arena, n, sizeof *order);
    if (!order) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu tensors.", n);
    for (size_t i = 0; i < n; i++) order[i] = &gguf->tensors[i];
    qsort(order, n, sizeof *order, by_place);
    for (size_t i = 1; i < n; i++)
        if ((const char *)order[i - 1]->data + order[i - 1]->bytes > (const char *)order[i]->data)
            return mn_fail(err, MN_ERR_FORMAT, "tensors \"%s\" and \"%s\" lie over one another; the file is damaged.",
                           show_name(order[i - 1]).text, show_name(order[i]).text);
    return MN_OK;
}

/* Turns offsets into pointers. The data section starts at the first aligned byte after the header. */
static mn_status place_tensors(mn_gguf *gguf, const cursor *c, const uint64_t *offsets, mn_error *err) {
    size_t alignment = DEFAULT_ALIGNMENT, start;
    MN_TRY(get_alignment(gguf, &alignment, err));
    if (!mn_align_size((size_t)(c->at - c->start), alignment, &start))
        return mn_fail(err, MN_ERR_FORMAT, "general.alignment is %zu, past any file.", alignment);
    for (int64_t i = 0; i < gguf->n_tensors; i++) {
        mn_tensor *t = &gguf->tensors[i];
        size_t begin = 0, end = 0;
        if (offsets[i] % alignment)
            return mn_fail(err, MN_ERR_FORMAT,
                           "tensor \"%s\" starts at offset %llu, which is no multiple of the alignment %zu.",
                           show_name(t).text, (unsigned long long)offsets[i], alignment);
        if (!mn_add_size(start, offsets[i], &begin) || !mn_add_size(begin, t->bytes, &end)) end = SIZE_MAX;
        if (end > gguf->bytes) return fail_outside(gguf, t, end, err);
        t->data = gguf->data + begin;
    }
    return check_overlap(gguf, err);
}

mn_status mn_gguf_read_header(mn_gguf *gguf, mn_error *err) {
    MN_TRY(check_magic(gguf->data, gguf->bytes, err));
    cursor c = {.at = gguf->data + 4, .start = gguf->data, .end = gguf->data + gguf->bytes, .what = "its counts"};
    uint64_t *offsets;
    MN_TRY(take_version(&c, err));
    gguf->version = c.version;
    MN_TRY(take_entries(&c, "tensors", TENSOR_LEAST_BYTES, &gguf->n_tensors, err));
    MN_TRY(take_entries(&c, "keys", KEY_LEAST_BYTES, &gguf->n_kv, err));
    MN_TRY(take_keys(gguf, &c, err));
    MN_TRY(take_tensors(gguf, &c, &offsets, err));
    return place_tensors(gguf, &c, offsets, err);
}
