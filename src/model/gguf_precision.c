#include "model/gguf_precision.h"

#include <stdio.h>
#include <string.h>

static const char file_type_key[] = "general.file_type", version_key[] = "general.quantization_version";

enum { QUANTIZATION_VERSION = 2 };

static void list_writable(char *out, size_t capacity) {
    size_t used = 0;
    for (int type = 0; type < MN_DTYPE_COUNT && used < capacity; type++) {
        const mn_dtype_info *info = mn_dtype_get(type);
        if (info && info->from_f32) used += (size_t)snprintf(out + used, capacity - used, " %s", info->name);
    }
}

mn_status mn_precision_find(const char *name, mn_dtype *out, mn_error *err) {
    int type = mn_dtype_find(name);
    char writable[160] = "";
    if (type >= 0 && mn_dtype_get(type)->from_f32) {
        *out = (mn_dtype)type;
        return MN_OK;
    }
    list_writable(writable, sizeof writable);
    if (type < 0) return mn_fail(err, MN_ERR_ARGUMENT, "there is no type \"%s\"; can be written:%s.", name, writable);
    return mn_fail(err, MN_ERR_UNSUPPORTED, "%s is read but not written here; can be written:%s.",
                   mn_dtype_get(type)->name, writable);
}

bool mn_precision_is_kept(const mn_tensor *t) {
    static const char *const kept[] = {"norm.weight", "position_embd", "ffn_gate_inp", "_conv.",
                                       "infini_",     ".bias",         "_ape.",        "hc_"};
    if (t->type == MN_I32) return true;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (strstr(t->name, kept[i])) return true;
    return t->n_dims == 1;
}

static bool fits(const mn_tensor *t, mn_dtype type) { return t->ne[0] % mn_dtype_get(type)->block_elems == 0; }

static double bits_per_value(mn_dtype type) {
    return 8.0 * mn_dtype_get(type)->block_bytes / mn_dtype_get(type)->block_elems;
}

mn_dtype mn_precision_pick(const mn_tensor *t, mn_dtype type) {
    bool shared = !strcmp(t->name, "token_embd.weight") || !strcmp(t->name, "output.weight");
    if (!mn_dtype_get(type)->from_f32) type = MN_Q6_K;
    if (shared && bits_per_value(type) < bits_per_value(MN_Q6_K)) type = MN_Q6_K;
    bool narrow = type == MN_Q2_K || type == MN_Q3_K || type == MN_IQ4_XS;
    if (!fits(t, type) && narrow) type = MN_IQ4_NL;
    if (!fits(t, type) && type == MN_Q4_K) type = MN_Q5_0;
    if (!fits(t, type) && type == MN_Q6_K) type = MN_Q8_0;
    return fits(t, type) ? type : MN_F16;
}

static uint32_t file_type(mn_dtype type) {
    switch (type) {
    case MN_F16: return 1;
    case MN_Q4_0: return 2;
    case MN_Q4_1: return 3;
    case MN_Q8_0: return 7;
    case MN_Q5_0: return 8;
    case MN_Q5_1: return 9;
    case MN_Q2_K: return 10;
    case MN_Q3_K: return 12;
    case MN_Q4_K: return 14;
    case MN_Q6_K: return 18;
    case MN_IQ4_NL: return 25;
    case MN_IQ4_XS: return 30;
    case MN_BF16: return 32;
    case MN_MXFP4: return 38;
    default: return 0; /* F32 */
    }
}

void mn_precision_put(mn_gguf_writer *writer, mn_dtype type) {
    mn_gguf_put_u32(writer, file_type_key, file_type(type));
    if (mn_dtype_get(type)->quantised) mn_gguf_put_u32(writer, version_key, QUANTIZATION_VERSION);
}

static bool equals(mn_gguf_string string, const char *text) {
    return string.bytes == strlen(text) && !memcmp(string.data, text, string.bytes);
}

bool mn_precision_is_key(mn_gguf_string key) { return equals(key, file_type_key) || equals(key, version_key); }
