#include "support/support.h"

#include "tokenizer/sentencepiece.h"
#include "tokenizer/tokenizer.h"

#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>

/* A writer of the few protobuf forms that a model file is made of. */
static void put_varint(mn_strbuf *b, uint64_t n) {
    for (; n >= 0x80; n >>= 7) mn_strbuf_putc(b, (char)(n | 0x80));
    mn_strbuf_putc(b, (char)n);
}

static void put_number(mn_strbuf *b, int field, int64_t n) {
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, (uint64_t)n);
}

static void put_bytes(mn_strbuf *b, int field, const char *data, size_t n) {
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    mn_strbuf_put(b, data, n);
}

static void put_piece(mn_strbuf *model, const char *text, float score, int type) {
    mn_strbuf piece = MN_STRBUF_INIT;
    put_bytes(&piece, 1, text, strlen(text));
    put_varint(&piece, 2 << 3 | 5);
    mn_strbuf_put(&piece, &score, sizeof score);
    if (type != 1) put_number(&piece, 3, type);
    put_bytes(model, 1, piece.data, piece.bytes);
    mn_strbuf_release(&piece);
}

typedef struct options {
    int model_type, remove_blanks, eos;
    const char *normalizer;
} options;

static const options usual = {2, 0, 2, "identity"};

static void make_model(mn_strbuf *out, const options *o) {
    mn_strbuf trainer = MN_STRBUF_INIT, normalizer = MN_STRBUF_INIT;
    put_piece(out, "<unk>", 0, 2);
    put_piece(out, "<s>", 0, 3);
    put_piece(out, "</s>", 0, 3);
    for (int i = 0; i < 256; i++) {
        char text[16];
        snprintf(text, sizeof text, "<0x%02X>", i);
        put_piece(out, text, 0, 6);
    }
    put_piece(out, "\xe2\x96\x81t", -1, 1);
    put_piece(out, "he", -2, 1);
    put_piece(out, "\xe2\x96\x81the", -3, 1);
    for (const char *c = "abcdefghijklmnopqrstuvwxyz"; *c; c++) put_piece(out, (char[]){*c, 0}, -4, 1);
    put_piece(out, "\xe2\x96\x81", -5, 1);
    put_number(&trainer, 3, o->model_type);
    put_number(&trainer, 42, o->eos);
    put_number(&trainer, 43, -1);
    put_bytes(&normalizer, 1, o->normalizer, strlen(o->normalizer));
    put_number(&normalizer, 4, o->remove_blanks);
    put_bytes(out, 2, trainer.data, trainer.bytes);
    put_bytes(out, 3, normalizer.data, normalizer.bytes);
    mn_strbuf_release(&trainer);
    mn_strbuf_release(&normalizer);
}

static mn_status convert(const mn_strbuf *model, size_t bytes, const char *out, mn_error *err) {
    char path[512];
    mn_gguf_writer *w;
    snprintf(path, sizeof path, "%s", temp_path("tiny.model"));
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(model->data, 1, bytes, f), bytes);
    fclose(f);
    assert_ok(mn_gguf_writer_create(&w, err), *err);
    mn_status status = mn_sentencepiece_put(path, w, err);
    if (status == MN_OK) status = mn_gguf_write(w, out, NULL, NULL, err);
    mn_gguf_writer_destroy(w);
    return status;
}

static void test_a_model_becomes_a_tokenizer(void **state) {
    (void)state;
    mn_strbuf model = MN_STRBUF_INIT;
    mn_tokenizer *t;
    mn_error err;
    char out[512];
    int32_t *ids;
    size_t n;
    make_model(&model, &usual);
    snprintf(out, sizeof out, "%s", temp_path("tiny.gguf"));
    assert_ok(convert(&model, model.bytes, out, &err), err);
    assert_ok(mn_tokenizer_open(out, &t, &err), err);
    assert_int_equal(mn_tokenizer_n_vocab(t), 259 + 3 + 26 + 1);
    assert_int_equal(mn_tokenizer_specials(t)->eos, 2);
    assert_int_equal(mn_tokenizer_specials(t)->padding, -1);
    assert_ok(mn_tokenize(t, "the", 3, true, false, &ids, &n, &err), err);
    assert_int_equal(n, 2);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[1], 259 + 2);
    free(ids);
    mn_tokenizer_destroy(t);
    mn_strbuf_release(&model);
}

/* Cut anywhere in the pieces it is an error or a shorter vocabulary; nothing is read behind the end. */
static void test_cut_files(void **state) {
    (void)state;
    mn_strbuf model = MN_STRBUF_INIT;
    mn_error err;
    char out[512];
    make_model(&model, &usual);
    snprintf(out, sizeof out, "%s", temp_path("cut.gguf"));
    for (size_t bytes = 0; bytes < model.bytes; bytes += bytes < 64 || bytes > model.bytes - 64 ? 1 : 97)
        assert_true(convert(&model, bytes, out, &err) !=
                    MN_OK); /* the trainer's section comes last: no BPE before it */
    mn_strbuf_release(&model);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        options o;
        mn_status status;
    } bad[] = {
        {{1, 0, 2, "identity"}, MN_ERR_UNSUPPORTED}, {{2, 1, 2, "identity"}, MN_ERR_UNSUPPORTED},
        {{2, 0, 2, "nmt_nfkc"}, MN_ERR_UNSUPPORTED}, {{2, 0, 100000, "identity"}, MN_ERR_FORMAT},
        {{2, 0, -2, "identity"}, MN_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mn_strbuf model = MN_STRBUF_INIT;
        mn_error err;
        make_model(&model, &bad[i].o);
        assert_int_equal(convert(&model, model.bytes, temp_path("bad.gguf"), &err), bad[i].status);
        mn_strbuf_release(&model);
    }
    assert_true(mn_sentencepiece_is("a/b.model") && !mn_sentencepiece_is("b.gguf") && !mn_sentencepiece_is(".model"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_model_becomes_a_tokenizer),
        cmocka_unit_test(test_cut_files),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
