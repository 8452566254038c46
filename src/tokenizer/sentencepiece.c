#include "tokenizer/sentencepiece.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>

/* Fields of sentencepiece_model.proto that are read. */
enum { MODEL_PIECE = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_MODEL_TYPE = 3, TRAINER_UNK = 40, TRAINER_BOS = 41, TRAINER_EOS = 42, TRAINER_PAD = 43 };
enum { NORMALIZER_NAME = 1, NORMALIZER_DUMMY_PREFIX = 3, NORMALIZER_REMOVE_BLANKS = 4 };
enum { MODEL_TYPE_BPE = 2, TYPE_NORMAL = 1, TYPE_BYTE = 6, MAX_PIECES = 1 << 22 };
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

typedef struct bytes {
    const unsigned char *at, *end;
} bytes;

typedef struct field {
    int number, wire;
    uint64_t value; /* varint, or the bits of a fixed width */
    bytes data;     /* of WIRE_BYTES */
} field;

typedef struct vocabulary {
    mn_strbuf tokens, scores, types; /* encoded as GGUF's arrays are */
    uint64_t n;
    int64_t unk, bos, eos, pad, model_type;
    bool dummy_prefix, remove_blanks, renormalises;
} vocabulary;

static bool read_varint(bytes *b, uint64_t *out) {
    *out = 0;
    for (int shift = 0; shift < 64 && b->at < b->end; shift += 7) {
        unsigned char c = *b->at++;
        *out |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) return true;
    }
    return false;
}

static bool read_fixed(bytes *b, size_t n, uint64_t *out) {
    if ((size_t)(b->end - b->at) < n) return false;
    *out = 0;
    memcpy(out, b->at, n); /* little-endian, as this format and all machines here are */
    b->at += n;
    return true;
}

/* The next field; false at the end and at what is no protobuf (*broken). */
static bool next_field(bytes *b, field *f, bool *broken) {
    uint64_t tag, n;
    if (b->at == b->end) return false;
    *broken = true;
    if (!read_varint(b, &tag) || tag >> 3 == 0 || tag >> 3 > 1 << 29) return false;
    *f = (field){.number = (int)(tag >> 3), .wire = (int)(tag & 7)};
    if (f->wire == WIRE_VARINT && !read_varint(b, &f->value)) return false;
    if (f->wire == WIRE_64 && !read_fixed(b, 8, &f->value)) return false;
    if (f->wire == WIRE_32 && !read_fixed(b, 4, &f->value)) return false;
    if (f->wire == WIRE_BYTES) {
        if (!read_varint(b, &n) || n > (uint64_t)(b->end - b->at)) return false;
        f->data = (bytes){b->at, b->at + n};
        b->at += n;
    }
    *broken = f->wire != WIRE_VARINT && f->wire != WIRE_64 && f->wire != WIRE_32 && f->wire != WIRE_BYTES;
    return !*broken;
}

static bool read_piece(bytes b, vocabulary *v) {
    bool broken = false;
    bytes text = {0};
    uint32_t score = 0;
    int32_t type = TYPE_NORMAL;
    for (field f; next_field(&b, &f, &broken);) {
        if (f.number == PIECE_TEXT && f.wire == WIRE_BYTES) text = f.data;
        if (f.number == PIECE_SCORE && f.wire == WIRE_32) score = (uint32_t)f.value;
        if (f.number == PIECE_TYPE && f.wire == WIRE_VARINT) type = (int32_t)MN_MIN(f.value, (uint64_t)99);
    }
    uint64_t length = (uint64_t)(text.end - text.at);
    if (broken || type < TYPE_NORMAL || type > TYPE_BYTE || v->n == MAX_PIECES) return false;
    mn_strbuf_put(&v->tokens, &length, sizeof length);
    mn_strbuf_put(&v->tokens, text.at, (size_t)length);
    mn_strbuf_put(&v->scores, &score, sizeof score);
    mn_strbuf_put(&v->types, &type, sizeof type);
    v->n++;
    return true;
}

static bool read_trainer(bytes b, vocabulary *v) {
    bool broken = false;
    for (field f; next_field(&b, &f, &broken);) {
        if (f.wire != WIRE_VARINT) continue;
        int64_t value = (int64_t)f.value; /* -1 is ten bytes */
        if (f.number == TRAINER_MODEL_TYPE) v->model_type = value;
        if (f.number == TRAINER_UNK) v->unk = value;
        if (f.number == TRAINER_BOS) v->bos = value;
        if (f.number == TRAINER_EOS) v->eos = value;
        if (f.number == TRAINER_PAD) v->pad = value;
    }
    return !broken;
}

static bool read_normalizer(bytes b, vocabulary *v) {
    static const char identity[] = "identity";
    bool broken = false;
    for (field f; next_field(&b, &f, &broken);) {
        if (f.number == NORMALIZER_DUMMY_PREFIX && f.wire == WIRE_VARINT) v->dummy_prefix = f.value != 0;
        if (f.number == NORMALIZER_REMOVE_BLANKS && f.wire == WIRE_VARINT) v->remove_blanks = f.value != 0;
        if (f.number == NORMALIZER_NAME && f.wire == WIRE_BYTES)
            v->renormalises = (size_t)(f.data.end - f.data.at) != sizeof identity - 1 ||
                              memcmp(f.data.at, identity, sizeof identity - 1);
    }
    return !broken;
}

static mn_status read_model(const char *path, bytes b, vocabulary *v, mn_error *err) {
    bool broken = false, right = true;
    for (field f; right && next_field(&b, &f, &broken);) {
        if (f.wire != WIRE_BYTES) continue;
        if (f.number == MODEL_PIECE) right = read_piece(f.data, v);
        if (f.number == MODEL_TRAINER) right = read_trainer(f.data, v);
        if (f.number == MODEL_NORMALIZER) right = read_normalizer(f.data, v);
    }
    if (broken || !right || v->n == 0)
        return mn_fail(err, MN_ERR_FORMAT, "%s: is no SentencePiece model, or cut (after %llu pieces).", path,
                       (unsigned long long)v->n);
    if (v->tokens.failed || v->scores.failed || v->types.failed)
        return mn_fail(err, MN_ERR_MEMORY, "%s: no memory for %llu pieces.", path, (unsigned long long)v->n);
    return MN_OK;
}

static mn_status check(const char *path, const vocabulary *v, mn_error *err) {
    const int64_t ids[] = {v->unk, v->bos, v->eos, v->pad};
    if (v->model_type != MODEL_TYPE_BPE)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: is no BPE model; train one of the model type bpe.", path);
    if (v->renormalises || v->remove_blanks)
        return mn_fail(err, MN_ERR_UNSUPPORTED,
                       "%s: changes the text before it cuts it; train with the normalisation rule identity "
                       "and extra blanks kept.",
                       path);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i] < -1 || ids[i] >= (int64_t)v->n)
            return mn_fail(err, MN_ERR_FORMAT, "%s: has a special id %lld, and %llu pieces.", path, (long long)ids[i],
                           (unsigned long long)v->n);
    return MN_OK;
}

static void put_array(mn_gguf_writer *w, const char *key, mn_gguf_type type, uint64_t n, const mn_strbuf *data) {
    mn_gguf_put_kv(w, &(mn_gguf_kv){.key = {key, strlen(key)},
                                    .type = MN_GGUF_ARRAY,
                                    .item_type = type,
                                    .n_items = n,
                                    .data = (const unsigned char *)data->data,
                                    .bytes = data->bytes,
                                    .length_bytes = sizeof(uint64_t)});
}

static void put_id(mn_gguf_writer *w, const char *key, int64_t id) {
    if (id >= 0) mn_gguf_put_u32(w, key, (uint32_t)id);
}

static void put(const vocabulary *v, mn_gguf_writer *w) {
    mn_gguf_put_string(w, "tokenizer.ggml.model", "llama");
    mn_gguf_put_string(w, "tokenizer.ggml.pre", "default");
    put_array(w, "tokenizer.ggml.tokens", MN_GGUF_STRING, v->n, &v->tokens);
    put_array(w, "tokenizer.ggml.scores", MN_GGUF_F32, v->n, &v->scores);
    put_array(w, "tokenizer.ggml.token_type", MN_GGUF_I32, v->n, &v->types);
    put_id(w, "tokenizer.ggml.bos_token_id", v->bos);
    put_id(w, "tokenizer.ggml.eos_token_id", v->eos);
    put_id(w, "tokenizer.ggml.unknown_token_id", v->unk);
    put_id(w, "tokenizer.ggml.padding_token_id", v->pad);
    mn_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", v->bos >= 0);
    mn_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", v->dummy_prefix);
}

bool mn_sentencepiece_is(const char *path) {
    size_t n = strlen(path);
    return n > 6 && !strcmp(path + n - 6, ".model");
}

mn_status mn_sentencepiece_put(const char *path, mn_gguf_writer *writer, mn_error *err) {
    mn_mapfile map;
    MN_TRY(mn_mapfile_open(path, &map, err));
    vocabulary v = {.tokens = MN_STRBUF_INIT,
                    .scores = MN_STRBUF_INIT,
                    .types = MN_STRBUF_INIT,
                    .unk = 0,
                    .bos = 1,
                    .eos = 2,
                    .pad = -1,
                    .model_type = 1,
                    .dummy_prefix = true,
                    .remove_blanks = true};
    const unsigned char *data = map.data; /* NULL for a file of no bytes */
    mn_status status = read_model(path, (bytes){data, data ? data + map.bytes : NULL}, &v, err);
    if (status == MN_OK) status = check(path, &v, err);
    if (status == MN_OK) put(&v, writer);
    mn_strbuf_release(&v.tokens);
    mn_strbuf_release(&v.scores);
    mn_strbuf_release(&v.types);
    mn_mapfile_close(&map);
    return status;
}
