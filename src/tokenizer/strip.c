#include "tokenizer/strip.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

size_t mn_strip_leading(const char *text, size_t bytes) {
    size_t n = 0;
    while (n < bytes && is_space(text[n])) n++;
    return n;
}

size_t mn_strip_trailing(const char *text, size_t bytes) {
    size_t n = 0;
    while (n < bytes && is_space(text[bytes - 1 - n])) n++;
    return n;
}

/* A string of the file in lower case, at most size - 1 bytes of it; "" when the key is missing or no string. */
static void read_name(const mn_gguf *gguf, const char *key, char *out, size_t size) {
    mn_gguf_string name = {0};
    mn_error ignored;
    bool found;
    size_t n = 0;
    if (mn_gguf_get_string(gguf, key, &name, &found, &ignored) == MN_OK)
        for (; n < name.bytes && n + 1 < size; n++) out[n] = (char)tolower((unsigned char)name.data[n]);
    out[n] = 0;
}

/* "phi-3", "phi3", "phi 3.5", "phi_3"; not "phi-30" nor "dolphin 3". */
static bool names_phi3(const char *name) {
    for (const char *p = name; (p = strstr(p, "phi")); p += 3) {
        const char *digit = p + 3 + (p[3] && strchr("-_ ", p[3]));
        if (*digit == '3' && !isdigit((unsigned char)digit[1])) return true;
    }
    return false;
}

static bool is_spelled(const mn_vocab *v, int32_t id, const char *spelling) {
    size_t bytes;
    const char *piece = mn_vocab_piece(v, id, &bytes);
    return bytes == strlen(spelling) && !memcmp(piece, spelling, bytes);
}

static uint8_t phi3_bits(const mn_vocab *v, int32_t id) {
    unsigned special = 1u << MN_TOKEN_CONTROL | 1u << MN_TOKEN_USER_DEFINED | 1u << MN_TOKEN_UNKNOWN;
    if (is_spelled(v, id, "</s>")) return MN_STRIP_RIGHT;
    if (is_spelled(v, id, "<unk>") || is_spelled(v, id, "<s>") || is_spelled(v, id, "<|endoftext|>")) return 0;
    return special >> v->types[id] & 1 ? MN_STRIP_RIGHT : 0;
}

static uint8_t mask_bits(const mn_vocab *v, int32_t id) {
    return is_spelled(v, id, "<mask>") || is_spelled(v, id, "[MASK]") ? MN_STRIP_LEFT : 0;
}

mn_status mn_strip_load(const mn_gguf *gguf, const mn_vocab *v, uint8_t **out, mn_error *err) {
    static const char *const encoders[] = {"jina-v2-de",     "jina-v2-es",   "jina-v2-code",
                                           "nomic-bert-moe", "jina-bert-v3", "modern-bert"};
    char name[128], base[128], arch[64], pre[64];
    read_name(gguf, "general.name", name, sizeof name);
    read_name(gguf, "general.basename", base, sizeof base);
    read_name(gguf, "general.architecture", arch, sizeof arch);
    read_name(gguf, "tokenizer.ggml.pre", pre, sizeof pre);
    /* Phi-3 under another name: its architecture with its SentencePiece vocabulary (Phi-4 has byte-level BPE). */
    bool is_phi3 = names_phi3(name) || names_phi3(base) || (names_phi3(arch) && v->kind == MN_VOCAB_SPM);
    bool is_encoder = false;
    for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++)
        is_encoder |= strstr(pre, encoders[i]) || strstr(arch, encoders[i]) || strstr(name, encoders[i]);
    *out = NULL;
    if (!is_phi3 && !is_encoder) return MN_OK;
    if (!(*out = malloc((size_t)v->n_tokens)))
        return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the vocabulary.");
    for (int32_t id = 0; id < v->n_tokens; id++) (*out)[id] = is_phi3 ? phi3_bits(v, id) : mask_bits(v, id);
    return MN_OK;
}
