/* Typed reads of a file's keys. */
#include "model/gguf_file.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct type_info {
    const char *name;
    size_t bytes;
} type_info;

static const type_info types[MN_GGUF_TYPE_COUNT] = {
    [MN_GGUF_U8] = {"u8", 1},       [MN_GGUF_I8] = {"i8", 1},     [MN_GGUF_U16] = {"u16", 2},
    [MN_GGUF_I16] = {"i16", 2},     [MN_GGUF_U32] = {"u32", 4},   [MN_GGUF_I32] = {"i32", 4},
    [MN_GGUF_F32] = {"f32", 4},     [MN_GGUF_BOOL] = {"bool", 1}, [MN_GGUF_STRING] = {"string", 0},
    [MN_GGUF_ARRAY] = {"array", 0}, [MN_GGUF_U64] = {"u64", 8},   [MN_GGUF_I64] = {"i64", 8},
    [MN_GGUF_F64] = {"f64", 8},
};

size_t mn_gguf_type_bytes(uint32_t type) { return type < MN_GGUF_TYPE_COUNT ? types[type].bytes : 0; }
const char *mn_gguf_type_name(uint32_t type) { return type < MN_GGUF_TYPE_COUNT ? types[type].name : "unknown type"; }

mn_gguf_shown mn_gguf_show(mn_gguf_string string) {
    mn_gguf_shown shown = {""};
    size_t n = MN_MIN(string.bytes, (size_t)64);
    for (size_t i = 0; i < n; i++) shown.text[i] = string.data[i] < ' ' || string.data[i] > '~' ? '?' : string.data[i];
    if (n < string.bytes) memcpy(shown.text + n, "...", 4);
    return shown;
}

mn_gguf_string mn_gguf_next_string(const unsigned char **at, int length_bytes) {
    uint64_t bytes = 0;
    memcpy(&bytes, *at, (size_t)length_bytes);
    mn_gguf_string string = {(const char *)*at + length_bytes, bytes};
    *at += (size_t)length_bytes + bytes;
    return string;
}

/* An integer of any width. False when it is a u64 beyond int64_t. */
static bool read_int(mn_gguf_type type, const unsigned char *p, int64_t *out) {
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } v;
    memcpy(&v, p, mn_gguf_type_bytes(type));
    switch (type) {
    case MN_GGUF_U8: *out = v.u8; break;
    case MN_GGUF_BOOL: *out = v.u8 != 0; break;
    case MN_GGUF_I8: *out = v.i8; break;
    case MN_GGUF_U16: *out = v.u16; break;
    case MN_GGUF_I16: *out = v.i16; break;
    case MN_GGUF_U32: *out = v.u32; break;
    case MN_GGUF_I32: *out = v.i32; break;
    case MN_GGUF_U64: *out = (int64_t)v.u64; return v.u64 <= INT64_MAX;
    default: *out = v.i64; break;
    }
    return true;
}

static double read_float(mn_gguf_type type, const unsigned char *p) {
    float f32;
    double f64;
    if (type == MN_GGUF_F32) {
        memcpy(&f32, p, sizeof f32);
        return f32;
    }
    memcpy(&f64, p, sizeof f64);
    return f64;
}

static bool is_float(mn_gguf_type type) { return type == MN_GGUF_F32 || type == MN_GGUF_F64; }
static bool is_int(mn_gguf_type type) {
    return type != MN_GGUF_BOOL && mn_gguf_type_bytes(type) > 0 && !is_float(type);
}

void mn_gguf_number_text(mn_gguf_type type, const unsigned char *data, char out[32]) {
    int64_t value;
    if (is_float(type))
        snprintf(out, 32, "%.9g", read_float(type, data));
    else if (type == MN_GGUF_BOOL)
        snprintf(out, 32, "%s", data[0] ? "true" : "false");
    else if (read_int(type, data, &value))
        snprintf(out, 32, "%lld", (long long)value);
    else
        snprintf(out, 32, "%llu", (unsigned long long)value);
}

static mn_status fail_type(const char *key, const mn_gguf_kv *kv, const char *wanted, mn_error *err) {
    bool array = kv->type == MN_GGUF_ARRAY;
    return mn_fail(err, MN_ERR_FORMAT, "key \"%s\" is %s%s; wanted %s.", key, array ? "an array of " : "of type ",
                   mn_gguf_type_name(array ? kv->item_type : kv->type), wanted);
}

/* The key, which is read now. */
static const mn_gguf_kv *find(const mn_gguf *gguf, const char *key) {
    const mn_gguf_kv *kv = mn_gguf_find(gguf, key);
    if (kv) gguf->was_read[kv - gguf->kvs] = true;
    return kv;
}

/* The type of a single value: a list of one is that one, and so is one that repeats it, as for each layer. */
static mn_gguf_type type_of_one(const mn_gguf_kv *kv) {
    size_t bytes = mn_gguf_type_bytes(kv->item_type);
    if (kv->type != MN_GGUF_ARRAY || kv->n_items == 0 || bytes == 0) return kv->type;
    for (uint64_t i = 1; i < kv->n_items; i++)
        if (memcmp(kv->data, kv->data + i * bytes, bytes)) return kv->type;
    return kv->item_type;
}

mn_status mn_gguf_get_i64(const mn_gguf *gguf, const char *key, int64_t *out, bool *found, mn_error *err) {
    const mn_gguf_kv *kv = find(gguf, key);
    int64_t value;
    *found = kv != NULL;
    if (!kv) return MN_OK;
    mn_gguf_type type = type_of_one(kv);
    if (!is_int(type)) return fail_type(key, kv, "an integer", err);
    if (!read_int(type, kv->data, &value))
        return mn_fail(err, MN_ERR_FORMAT, "key \"%s\" is %llu, beyond the largest integer read here (2^63 - 1).", key,
                       (unsigned long long)value);
    *out = value;
    return MN_OK;
}

mn_status mn_gguf_get_f64(const mn_gguf *gguf, const char *key, double *out, bool *found, mn_error *err) {
    const mn_gguf_kv *kv = find(gguf, key);
    *found = kv != NULL;
    if (!kv) return MN_OK;
    mn_gguf_type type = type_of_one(kv);
    if (!is_float(type)) return fail_type(key, kv, "f32 or f64", err);
    *out = read_float(type, kv->data);
    return MN_OK;
}

mn_status mn_gguf_get_bool(const mn_gguf *gguf, const char *key, bool *out, bool *found, mn_error *err) {
    const mn_gguf_kv *kv = find(gguf, key);
    *found = kv != NULL;
    if (!kv) return MN_OK;
    if (type_of_one(kv) != MN_GGUF_BOOL) return fail_type(key, kv, "bool", err);
    *out = kv->data[0] != 0;
    return MN_OK;
}

mn_status mn_gguf_get_string(const mn_gguf *gguf, const char *key, mn_gguf_string *out, bool *found, mn_error *err) {
    const mn_gguf_kv *kv = find(gguf, key);
    *found = kv != NULL;
    if (!kv) return MN_OK;
    if (type_of_one(kv) != MN_GGUF_STRING) return fail_type(key, kv, "a string", err);
    const unsigned char *at = kv->data;
    *out = mn_gguf_next_string(&at, kv->length_bytes);
    return MN_OK;
}

/* Allocates room for an array's items in *out, never NULL on success. */
static mn_status get_items(const char *key, const mn_gguf_kv *kv, size_t item_bytes, void **out, mn_error *err) {
    size_t bytes;
    bool fits = mn_mul_size(kv->n_items, item_bytes, &bytes);
    *out = fits ? malloc(bytes + 1) : NULL;
    if (*out) return MN_OK;
    return mn_fail(err, MN_ERR_MEMORY, "no memory for the %llu items of key \"%s\".", (unsigned long long)kv->n_items,
                   key);
}

mn_status mn_gguf_get_strings(const mn_gguf *gguf, const char *key, mn_gguf_string **out, size_t *n, bool *found,
                              mn_error *err) {
    const mn_gguf_kv *kv = find(gguf, key);
    *found = kv != NULL;
    if (!kv) return MN_OK;
    if (kv->type != MN_GGUF_ARRAY || kv->item_type != MN_GGUF_STRING)
        return fail_type(key, kv, "an array of strings", err);
    void *items;
    MN_TRY(get_items(key, kv, sizeof **out, &items, err));
    const unsigned char *at = kv->data;
    for (size_t i = 0; i < kv->n_items; i++) ((mn_gguf_string *)items)[i] = mn_gguf_next_string(&at, kv->length_bytes);
    *out = items;
    *n = kv->n_items;
    return MN_OK;
}

mn_status mn_gguf_get_f32s(const mn_gguf *gguf, const char *key, float **out, size_t *n, bool *found, mn_error *err) {
    const mn_gguf_kv *kv = find(gguf, key);
    *found = kv != NULL;
    if (!kv) return MN_OK;
    if (kv->type != MN_GGUF_ARRAY || !is_float(kv->item_type)) return fail_type(key, kv, "an array of f32 or f64", err);
    void *items;
    MN_TRY(get_items(key, kv, sizeof **out, &items, err));
    size_t step = mn_gguf_type_bytes(kv->item_type);
    for (size_t i = 0; i < kv->n_items; i++)
        ((float *)items)[i] = (float)read_float(kv->item_type, kv->data + i * step);
    *out = items;
    *n = kv->n_items;
    return MN_OK;
}

static mn_status fill_i32s(const char *key, const mn_gguf_kv *kv, int32_t *items, mn_error *err) {
    size_t step = mn_gguf_type_bytes(kv->item_type);
    for (size_t i = 0; i < kv->n_items; i++) {
        int64_t value;
        if (!read_int(kv->item_type, kv->data + i * step, &value) || value < INT32_MIN || value > INT32_MAX)
            return mn_fail(err, MN_ERR_FORMAT, "item %zu of key \"%s\" is %lld, which does not fit 32 bits.", i, key,
                           (long long)value);
        items[i] = (int32_t)value;
    }
    return MN_OK;
}

mn_status mn_gguf_get_i32s(const mn_gguf *gguf, const char *key, int32_t **out, size_t *n, bool *found, mn_error *err) {
    const mn_gguf_kv *kv = find(gguf, key);
    *found = kv != NULL;
    if (!kv) return MN_OK;
    if (kv->type != MN_GGUF_ARRAY || !(is_int(kv->item_type) || kv->item_type == MN_GGUF_BOOL))
        return fail_type(key, kv, "an array of integers", err);
    void *items;
    MN_TRY(get_items(key, kv, sizeof **out, &items, err));
    mn_status status = fill_i32s(key, kv, items, err);
    if (status) {
        free(items);
        return status;
    }
    *out = items;
    *n = kv->n_items;
    return MN_OK;
}
