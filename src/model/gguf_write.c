/* Writing GGUF version 3: keys and tensor headers gathered first, tensor data streamed. */
#include "model/gguf_file.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

enum { VERSION = 3, ALIGNMENT = 32 };

struct mn_gguf_writer {
    mn_gguf_kv *kvs;
    mn_tensor *tensors;
    int64_t n_kv, n_tensors;
    mn_arena arena; /* names and values */
    mn_error error; /* of the first put that failed; status MN_OK = none */
};

mn_status mn_gguf_writer_create(mn_gguf_writer **out, mn_error *err) {
    *out = calloc(1, sizeof **out);
    return *out ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a GGUF writer.");
}

void mn_gguf_writer_destroy(mn_gguf_writer *writer) {
    if (!writer) return;
    free(writer->kvs);
    free(writer->tensors);
    mn_arena_release(&writer->arena);
    free(writer);
}

mn_status mn_gguf_writer_view(const mn_gguf_writer *writer, mn_gguf **out, mn_error *err) {
    if (writer->error.status) {
        *err = writer->error;
        return err->status;
    }
    mn_gguf *g = calloc(1, sizeof *g);
    if (!g) return mn_fail(err, MN_ERR_MEMORY, "no memory for a view of a GGUF writer.");
    g->version = VERSION;
    g->path = strdup("the new model");
    g->n_kv = writer->n_kv;
    g->n_tensors = writer->n_tensors;
    g->kvs = writer->kvs;
    g->tensors = writer->tensors;
    g->was_read = mn_arena_zalloc(&g->arena, (size_t)g->n_kv + 1, sizeof *g->was_read);
    mn_status status =
        g->path && g->was_read ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for %lld keys.", (long long)g->n_kv);
    if (status == MN_OK) status = mn_gguf_index_keys(&g->key_index, &g->arena, g->kvs, g->n_kv, err);
    if (status == MN_OK) status = mn_gguf_index_tensors(&g->tensor_index, &g->arena, g->tensors, g->n_tensors, err);
    if (status == MN_OK)
        *out = g;
    else
        mn_gguf_close(g);
    return status;
}

/* Makes room for one more item behind n; the array doubles at powers of two. NULL after a failure. */
static void *grow(mn_gguf_writer *writer, void *items, int64_t n, size_t item_bytes) {
    if (writer->error.status) return NULL;
    if (n & (n - 1) || n == 1) return items;
    void *grown = reallocarray(items, n ? 2 * (size_t)n : 2, item_bytes);
    if (!grown) mn_fail(&writer->error, MN_ERR_MEMORY, "no memory for more than %lld keys or tensors.", (long long)n);
    return grown;
}

/* A copy that is NUL-terminated too. */
static void *keep(mn_gguf_writer *writer, const void *data, size_t bytes) {
    char *copy = bytes < SIZE_MAX ? mn_arena_alloc(&writer->arena, bytes + 1, 1) : NULL;
    if (!copy) {
        mn_fail(&writer->error, MN_ERR_MEMORY, "no memory for a value of %zu bytes.", bytes);
        return NULL;
    }
    memcpy(copy, data, bytes);
    copy[bytes] = 0;
    return copy;
}

/* Keys that describe how another file was laid out. */
static bool is_layout(mn_gguf_string key) {
    static const char *const names[] = {"general.alignment", "split.no", "split.count", "split.tensors.count"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == key.bytes && !memcmp(names[i], key.data, key.bytes)) return true;
    return false;
}

void mn_gguf_put_kv(mn_gguf_writer *writer, const mn_gguf_kv *kv) {
    if (is_layout(kv->key)) return;
    mn_gguf_kv *kvs = grow(writer, writer->kvs, writer->n_kv, sizeof *kvs);
    if (!kvs) return;
    writer->kvs = kvs;
    mn_gguf_kv *copy = &kvs[writer->n_kv++];
    *copy = *kv;
    copy->key.data = keep(writer, kv->key.data, kv->key.bytes);
    copy->data = keep(writer, kv->data, kv->bytes);
}

static void put_value(mn_gguf_writer *writer, const char *key, mn_gguf_type type, const void *data, size_t bytes) {
    mn_gguf_put_kv(
        writer,
        &(mn_gguf_kv){
            .key = {key, strlen(key)}, .type = type, .data = data, .bytes = bytes, .length_bytes = sizeof(uint64_t)});
}

void mn_gguf_put_u32(mn_gguf_writer *writer, const char *key, uint32_t value) {
    put_value(writer, key, MN_GGUF_U32, &value, sizeof value);
}

void mn_gguf_put_f32(mn_gguf_writer *writer, const char *key, float value) {
    put_value(writer, key, MN_GGUF_F32, &value, sizeof value);
}

void mn_gguf_put_bool(mn_gguf_writer *writer, const char *key, bool value) {
    uint8_t byte = value;
    put_value(writer, key, MN_GGUF_BOOL, &byte, sizeof byte);
}

void mn_gguf_put_i32s(mn_gguf_writer *writer, const char *key, const int32_t *items, int64_t n) {
    mn_gguf_put_kv(writer, &(mn_gguf_kv){.key = {key, strlen(key)},
                                         .type = MN_GGUF_ARRAY,
                                         .item_type = MN_GGUF_I32,
                                         .n_items = (uint64_t)n,
                                         .data = (const unsigned char *)items,
                                         .bytes = (size_t)n * sizeof *items,
                                         .length_bytes = sizeof(uint64_t)});
}

void mn_gguf_put_string(mn_gguf_writer *writer, const char *key, const char *value) {
    uint64_t bytes = strlen(value);
    unsigned char *encoded = malloc(sizeof bytes + bytes);
    if (!encoded) {
        mn_fail(&writer->error, MN_ERR_MEMORY, "no memory for the value of key \"%s\".", key);
        return;
    }
    memcpy(encoded, &bytes, sizeof bytes);
    memcpy(encoded + sizeof bytes, value, bytes);
    put_value(writer, key, MN_GGUF_STRING, encoded, sizeof bytes + bytes);
    free(encoded);
}

void mn_gguf_put_tensor(mn_gguf_writer *writer, const mn_tensor *t) {
    mn_tensor *tensors = grow(writer, writer->tensors, writer->n_tensors, sizeof *tensors);
    if (!tensors) return;
    writer->tensors = tensors;
    mn_tensor *copy = &tensors[writer->n_tensors++];
    *copy = *t;
    copy->name = keep(writer, t->name, strlen(t->name));
    copy->bytes = mn_dtype_row_bytes(t->type, t->ne[0]);
    bool fits = copy->bytes > 0;
    for (int i = 1; i < MN_MAX_DIMS; i++) {
        if (i >= t->n_dims) copy->ne[i] = 1;
        fits = fits && copy->ne[i] > 0 && mn_mul_size(copy->bytes, (size_t)copy->ne[i], &copy->bytes);
    }
    if (!fits && !writer->error.status)
        mn_fail(&writer->error, MN_ERR_ARGUMENT,
                "tensor %s cannot be written: rows of %lld elements are no whole blocks, or "
                "its size is zero or too large.",
                t->name, (long long)t->ne[0]);
}

static void write_u32(mn_writer *file, uint32_t value) { mn_writer_put(file, &value, sizeof value); }
static void write_u64(mn_writer *file, uint64_t value) { mn_writer_put(file, &value, sizeof value); }

static void write_string(mn_writer *file, mn_gguf_string string) {
    write_u64(file, string.bytes);
    mn_writer_put(file, string.data, string.bytes);
}

static void write_kv(mn_writer *file, const mn_gguf_kv *kv) {
    bool array = kv->type == MN_GGUF_ARRAY;
    write_string(file, kv->key);
    write_u32(file, kv->type);
    if (array) write_u32(file, kv->item_type);
    if (array) write_u64(file, kv->n_items);
    if ((array ? kv->item_type : kv->type) != MN_GGUF_STRING || kv->length_bytes == sizeof(uint64_t)) {
        mn_writer_put(file, kv->data, kv->bytes);
        return;
    }
    const unsigned char *at = kv->data;
    for (uint64_t i = 0; i < (array ? kv->n_items : 1); i++)
        write_string(file, mn_gguf_next_string(&at, kv->length_bytes));
}

static void write_header(const mn_gguf_writer *writer, mn_writer *file) {
    mn_writer_put(file, "GGUF", 4);
    write_u32(file, VERSION);
    write_u64(file, (uint64_t)writer->n_tensors);
    write_u64(file, (uint64_t)writer->n_kv);
    for (int64_t i = 0; i < writer->n_kv; i++) write_kv(file, &writer->kvs[i]);
    uint64_t offset = 0;
    for (int64_t i = 0; i < writer->n_tensors; i++) {
        const mn_tensor *t = &writer->tensors[i];
        write_string(file, (mn_gguf_string){t->name, strlen(t->name)});
        write_u32(file, (uint32_t)t->n_dims);
        for (int d = 0; d < t->n_dims; d++) write_u64(file, (uint64_t)t->ne[d]);
        write_u32(file, t->type);
        write_u64(file, offset);
        offset += (t->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    mn_writer_pad(file, ALIGNMENT);
}

/* Room for the largest tensor that fill makes; NULL, without an error, when there is none. */
static mn_status alloc_buffer(const mn_gguf_writer *writer, void **out, mn_error *err) {
    size_t bytes = 0;
    for (int64_t i = 0; i < writer->n_tensors; i++)
        if (!writer->tensors[i].data) bytes = MN_MAX(bytes, writer->tensors[i].bytes);
    *out = bytes ? malloc(bytes) : NULL;
    return *out || !bytes ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a tensor of %zu bytes.", bytes);
}

/* Stops at the first write that fails: the rest of the model would be made for nothing. */
static mn_status write_data(const mn_gguf_writer *writer, mn_writer *file, void *buffer, mn_gguf_fill *fill, void *arg,
                            mn_error *err) {
    for (int64_t i = 0; i < writer->n_tensors && !file->error; i++) {
        const mn_tensor *t = &writer->tensors[i];
        if (!t->data) MN_TRY(fill(arg, t, buffer, err));
        mn_writer_put(file, t->data ? t->data : buffer, t->bytes);
        mn_writer_pad(file, ALIGNMENT);
    }
    return MN_OK;
}

static mn_status check_puts(mn_gguf_writer *writer, mn_error *err) {
    mn_gguf_index index;
    if (writer->error.status) return mn_fail(err, writer->error.status, "%s", writer->error.text);
    MN_TRY(mn_gguf_index_keys(&index, &writer->arena, writer->kvs, writer->n_kv, err));
    return mn_gguf_index_tensors(&index, &writer->arena, writer->tensors, writer->n_tensors, err);
}

mn_status mn_gguf_write(mn_gguf_writer *writer, const char *path, mn_gguf_fill *fill, void *arg, mn_error *err) {
    mn_writer file;
    void *buffer = NULL;
    MN_TRY(check_puts(writer, err));
    MN_TRY(alloc_buffer(writer, &buffer, err));
    mn_status status = mn_writer_open(path, &file, err);
    if (!status) {
        write_header(writer, &file);
        status = write_data(writer, &file, buffer, fill, arg, err);
        if (status)
            mn_writer_abort(&file);
        else
            status = mn_writer_commit(&file, err);
    }
    free(buffer);
    return status;
}
