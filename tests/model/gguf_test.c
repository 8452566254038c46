/* model/gguf: what is written is read back, typed reads convert or refuse, damage gets a sentence and no crash. */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "model/gguf.h"

/* A GGUF file put together by hand; `wide` is false for version 1, whose counts have 32 bits. */
typedef struct builder {
    mn_strbuf buf;
    bool wide;
} builder;

static void put_u32(builder *b, uint32_t value) { mn_strbuf_put(&b->buf, &value, sizeof value); }
static void put_u64(builder *b, uint64_t value) { mn_strbuf_put(&b->buf, &value, sizeof value); }

static void put_count(builder *b, uint64_t value) {
    if (b->wide)
        put_u64(b, value);
    else
        put_u32(b, (uint32_t)value);
}

static void put_string(builder *b, const char *text) {
    put_count(b, strlen(text));
    mn_strbuf_puts(&b->buf, text);
}

static builder begin(uint32_t version, uint64_t n_tensors, uint64_t n_kv) {
    builder b = {MN_STRBUF_INIT, version != 1};
    mn_strbuf_puts(&b.buf, "GGUF");
    put_u32(&b, version);
    put_count(&b, n_tensors);
    put_count(&b, n_kv);
    return b;
}

static void put_key(builder *b, const char *key, uint32_t type) {
    put_string(b, key);
    put_u32(b, type);
}

static void put_key_u32(builder *b, const char *key, uint32_t value) {
    put_key(b, key, MN_GGUF_U32);
    put_u32(b, value);
}

static void put_tensor(builder *b, const char *name, uint64_t ne0, uint64_t ne1, uint32_t type, uint64_t offset) {
    put_string(b, name);
    put_u32(b, 2);
    put_count(b, ne0);
    put_count(b, ne1);
    put_u32(b, type);
    put_u64(b, offset);
}

static void put_zeros(builder *b, size_t align, size_t bytes) {
    while (b->buf.bytes % align) mn_strbuf_putc(&b->buf, 0);
    while (bytes--) mn_strbuf_putc(&b->buf, 0);
}

/* Opens a copy of exactly the right size, so that a read past its end is seen by the address sanitizer. */
static mn_status parse(const void *data, size_t bytes, mn_error *err) {
    mn_gguf *gguf = NULL;
    void *copy = malloc(bytes + !bytes);
    memcpy(copy, data, bytes);
    err->text[0] = 0;
    mn_status status = mn_gguf_parse("x.gguf", copy, bytes, &gguf, err);
    if (status == MN_OK) mn_gguf_close(gguf);
    free(copy);
    return status;
}

static void expect_error(builder *b, mn_status status, const char *sentence) {
    mn_error err;
    assert_int_equal(parse(b->buf.data, b->buf.bytes, &err), status);
    assert_string_equal(err.text, sentence);
    mn_strbuf_release(&b->buf);
}

/* One key of every type, one array of strings and of numbers, two tensors. */
static builder build_sample(uint32_t version) {
    builder b = begin(version, 2, 14);
    uint64_t bits = 0x4045000000000000; /* 42.0 */
    put_key(&b, "u8", MN_GGUF_U8), mn_strbuf_putc(&b.buf, (char)200);
    put_key(&b, "i8", MN_GGUF_I8), mn_strbuf_putc(&b.buf, -3);
    put_key(&b, "u16", MN_GGUF_U16), mn_strbuf_put(&b.buf, "\x01\x80", 2);
    put_key(&b, "i16", MN_GGUF_I16), mn_strbuf_put(&b.buf, "\xff\xff", 2);
    put_key_u32(&b, "u32", 4000000000u);
    put_key(&b, "i32", MN_GGUF_I32), put_u32(&b, (uint32_t)-7);
    put_key(&b, "f32", MN_GGUF_F32), put_u32(&b, 0x3f000000);
    put_key(&b, "bool", MN_GGUF_BOOL), mn_strbuf_putc(&b.buf, 1);
    put_key(&b, "string", MN_GGUF_STRING), put_string(&b, "h\xc3\xa9");
    put_key(&b, "u64", MN_GGUF_U64), put_u64(&b, UINT64_MAX);
    put_key(&b, "i64", MN_GGUF_I64), put_u64(&b, (uint64_t)INT64_MIN);
    put_key(&b, "f64", MN_GGUF_F64), put_u64(&b, bits);
    put_key(&b, "words", MN_GGUF_ARRAY), put_u32(&b, MN_GGUF_STRING), put_count(&b, 3);
    put_string(&b, "a"), put_string(&b, ""), put_string(&b, "bc");
    put_key(&b, "numbers", MN_GGUF_ARRAY), put_u32(&b, MN_GGUF_I16), put_count(&b, 2);
    mn_strbuf_put(&b.buf, "\x05\x00\xfe\xff", 4);
    put_tensor(&b, "w", 32, 3, MN_Q8_0, 0);
    put_tensor(&b, "v", 5, 1, MN_F32, 128);
    put_zeros(&b, 32, 148);
    return b;
}

static mn_gguf *open_bytes(const builder *b) {
    mn_gguf *gguf = NULL;
    mn_error err;
    assert_ok(mn_gguf_parse("x.gguf", b->buf.data, b->buf.bytes, &gguf, &err), err);
    return gguf;
}

static void check_integers(const mn_gguf *gguf) {
    static const struct {
        const char *key;
        int64_t value;
    } wanted[] = {
        {"u8", 200}, {"i8", -3}, {"u16", 0x8001}, {"i16", -1}, {"u32", 4000000000}, {"i32", -7}, {"i64", INT64_MIN},
    };
    mn_error err;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int64_t value = 0;
        bool found;
        assert_ok(mn_gguf_get_i64(gguf, wanted[i].key, &value, &found, &err), err);
        assert_true(found);
        assert_true(value == wanted[i].value);
    }
}

static void check_others(const mn_gguf *gguf) {
    mn_error err;
    bool found, truth = false;
    double number = 0;
    mn_gguf_string text = {0};
    assert_ok(mn_gguf_get_f64(gguf, "f32", &number, &found, &err), err);
    assert_true(found && number == 0.5);
    assert_ok(mn_gguf_get_f64(gguf, "f64", &number, &found, &err), err);
    assert_true(found && number == 42);
    assert_ok(mn_gguf_get_bool(gguf, "bool", &truth, &found, &err), err);
    assert_true(found && truth);
    assert_ok(mn_gguf_get_string(gguf, "string", &text, &found, &err), err);
    assert_int_equal(text.bytes, 3);
    assert_memory_equal(text.data, "h\xc3\xa9", 3);
}

static void check_arrays(const mn_gguf *gguf) {
    mn_error err;
    bool found;
    mn_gguf_string *words = NULL;
    int32_t *numbers = NULL;
    size_t n = 0;
    assert_ok(mn_gguf_get_strings(gguf, "words", &words, &n, &found, &err), err);
    assert_int_equal(n, 3);
    assert_int_equal(words[1].bytes, 0);
    assert_memory_equal(words[2].data, "bc", 2);
    free(words);
    assert_ok(mn_gguf_get_i32s(gguf, "numbers", &numbers, &n, &found, &err), err);
    assert_int_equal(n, 2);
    assert_int_equal(numbers[0], 5);
    assert_int_equal(numbers[1], -2);
    free(numbers);
}

static void check_tensors(const mn_gguf *gguf) {
    assert_int_equal(mn_gguf_n_tensors(gguf), 2);
    const mn_tensor *w = mn_gguf_tensor(gguf, "w"), *v = mn_gguf_tensor(gguf, "v");
    assert_non_null(w);
    assert_ptr_equal(w, mn_gguf_tensor_at(gguf, 0));
    assert_int_equal(w->type, MN_Q8_0);
    assert_true(w->n_dims == 2 && w->ne[0] == 32 && w->ne[1] == 3 && w->ne[2] == 1 && w->ne[3] == 1);
    assert_int_equal(w->bytes, 3 * 34);
    assert_int_equal((const char *)v->data - (const char *)w->data, 128);
    assert_null(mn_gguf_tensor(gguf, "nothing"));
}

static void every_version_reads_alike(void **state) {
    (void)state;
    for (uint32_t version = 1; version <= 3; version++) {
        builder b = build_sample(version);
        mn_gguf *gguf = open_bytes(&b);
        assert_int_equal(mn_gguf_version(gguf), version);
        assert_int_equal(mn_gguf_n_kv(gguf), 14);
        check_integers(gguf);
        check_others(gguf);
        check_arrays(gguf);
        check_tensors(gguf);
        mn_gguf_close(gguf);
        mn_strbuf_release(&b.buf);
    }
}

static void typed_reads_refuse(void **state) {
    (void)state;
    builder b = build_sample(3);
    mn_gguf *gguf = open_bytes(&b);
    mn_error err;
    bool found = true, truth;
    int64_t value = 77;
    double number;
    float *floats;
    int32_t *ints;
    size_t n;
    assert_ok(mn_gguf_get_i64(gguf, "missing", &value, &found, &err), err);
    assert_true(!found && value == 77);
    assert_int_equal(mn_gguf_get_i64(gguf, "string", &value, &found, &err), MN_ERR_FORMAT);
    assert_string_equal(err.text, "key \"string\" is of type string; wanted an integer.");
    assert_int_equal(mn_gguf_get_i64(gguf, "u64", &value, &found, &err), MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "18446744073709551615"));
    assert_int_equal(mn_gguf_get_f64(gguf, "u32", &number, &found, &err), MN_ERR_FORMAT);
    assert_int_equal(mn_gguf_get_bool(gguf, "u8", &truth, &found, &err), MN_ERR_FORMAT);
    assert_int_equal(mn_gguf_get_f32s(gguf, "numbers", &floats, &n, &found, &err), MN_ERR_FORMAT);
    assert_string_equal(err.text, "key \"numbers\" is an array of i16; wanted an array of f32 or f64.");
    assert_int_equal(mn_gguf_get_i32s(gguf, "words", &ints, &n, &found, &err), MN_ERR_FORMAT);
    mn_gguf_close(gguf);
    mn_strbuf_release(&b.buf);
}

static void refuses_other_files(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *sentence;
    } cases[] = {
        {"", "x.gguf: file is empty; download it again."},
        {"<html>",
         "x.gguf: not a GGUF file (first bytes \"<htm\"); it looks like a web page - was the download interrupted?"},
        {"version https://git-lfs",
         "x.gguf: not a GGUF file (first bytes \"vers\"); it looks like a Git LFS pointer - run git "
         "lfs pull."},
        {"\x1b[2J", "x.gguf: not a GGUF file (first bytes \"?[2J\"); name a model file that ends in .gguf."},
        {"GG", "x.gguf: not a GGUF file (first bytes \"GG\"); name a model file that ends in .gguf."},
    };
    mn_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(cases[i].bytes, strlen(cases[i].bytes), &err), MN_ERR_FORMAT);
        assert_string_equal(err.text, cases[i].sentence);
    }
    builder b = begin(0x03000000, 0, 0);
    expect_error(&b, MN_ERR_UNSUPPORTED,
                 "x.gguf: big-endian GGUF (version 3); only little-endian files are read, convert it first.");
    b = begin(4, 0, 0);
    expect_error(&b, MN_ERR_UNSUPPORTED, "x.gguf: GGUF version 4; versions 1 to 3 are read.");
}

static void refuses_impossible_headers(void **state) {
    (void)state;
    builder b = begin(3, 0, UINT64_MAX);
    expect_error(&b, MN_ERR_FORMAT,
                 "x.gguf: header counts 18446744073709551615 keys, more than the 16777216 allowed; the "
                 "file is damaged.");
    b = begin(3, 1000, 0);
    expect_error(&b, MN_ERR_FORMAT,
                 "x.gguf: header counts 1000 tensors, which cannot fit in the 24 bytes present; the file is "
                 "cut or damaged, download it again.");
    b = begin(3, 0, 1);
    put_u64(&b, UINT64_MAX); /* a key's length */
    put_zeros(&b, 1, 20);
    expect_error(&b, MN_ERR_FORMAT,
                 "x.gguf: file ends at 52 bytes inside its header: key 1 of 1 at byte 32 needs "
                 "18446744073709551615 more bytes; it is cut or damaged, download it again.");
    b = begin(3, 0, 1);
    put_key(&b, "k", 13);
    expect_error(&b, MN_ERR_FORMAT,
                 "x.gguf: key \"k\" has the unknown value type 13 (known: 0 to 12); the file is damaged.");
    b = begin(3, 0, 1);
    put_key(&b, "k", MN_GGUF_ARRAY), put_u32(&b, MN_GGUF_ARRAY), put_u64(&b, 1);
    expect_error(&b, MN_ERR_FORMAT, "x.gguf: key \"k\" is an array of array; only numbers and strings can be items.");
    b = begin(3, 0, 1);
    put_key(&b, "k", MN_GGUF_ARRAY), put_u32(&b, MN_GGUF_U64), put_u64(&b, UINT64_MAX / 4);
    expect_error(&b, MN_ERR_FORMAT,
                 "x.gguf: file ends at 49 bytes inside its header: key 1 of 1 at byte 49 needs "
                 "18446744073709551615 more bytes; it is cut or damaged, download it again.");
    b = begin(3, 0, 2);
    put_key_u32(&b, "k", 1), put_key_u32(&b, "k", 2);
    expect_error(&b, MN_ERR_FORMAT, "x.gguf: key \"k\" is there twice; every name must be different.");
    b = begin(3, 0, 1);
    put_key_u32(&b, "general.alignment", 24);
    expect_error(&b, MN_ERR_FORMAT, "x.gguf: general.alignment is 24; it must be a power of two from 8 up.");
    b = begin(3, 0, 1);
    put_key_u32(&b, "general.alignment", 4);
    expect_error(&b, MN_ERR_FORMAT, "x.gguf: general.alignment is 4; it must be a power of two from 8 up.");
    b = begin(3, 0, 2);
    put_key_u32(&b, "split.count", 2), put_key_u32(&b, "split.no", 1);
    expect_error(&b, MN_ERR_FORMAT,
                 "x.gguf: is part 2 of 2 of a split model, but is not named so; name it "
                 "NAME-00002-of-00002.gguf beside the other parts.");
}

static void expect_tensor_error(const char *name, uint64_t ne0, uint64_t ne1, uint32_t type, uint64_t offset,
                                mn_status status, const char *sentence) {
    builder b = begin(3, 1, 0);
    put_tensor(&b, name, ne0, ne1, type, offset);
    put_zeros(&b, 32, 64);
    expect_error(&b, status, sentence);
}

static void refuses_impossible_tensors(void **state) {
    (void)state;
    expect_tensor_error("", 4, 4, MN_F32, 0, MN_ERR_FORMAT,
                        "x.gguf: tensor 1 of 1 has the name \"\"; a name needs characters and no NUL.");
    expect_tensor_error("w", 4, 0, MN_F32, 0, MN_ERR_FORMAT,
                        "x.gguf: tensor \"w\" has 0 elements in dimension 1; the file is damaged.");
    expect_tensor_error("w", 1ull << 63, 1, MN_F32, 0, MN_ERR_FORMAT,
                        "x.gguf: tensor \"w\" has 9223372036854775808 elements in dimension 0; the file is damaged.");
    expect_tensor_error("w", 1ull << 40, 1ull << 40, MN_F32, 0, MN_ERR_FORMAT,
                        "x.gguf: tensor \"w\" of 1099511627776 x 1099511627776 x 1 x 1 elements has no possible size.");
    expect_tensor_error("w", 33, 1, MN_Q8_0, 0, MN_ERR_FORMAT,
                        "x.gguf: tensor \"w\" has rows of 33 elements, which are no whole blocks of 32 (q8_0).");
    expect_tensor_error("w", 4, 4, MN_F32, 3, MN_ERR_FORMAT,
                        "x.gguf: tensor \"w\" starts at offset 3, which is no multiple of the alignment 32.");
    expect_tensor_error("w", 4, 4, MN_F32, 32, MN_ERR_FORMAT,
                        "x.gguf: file ends at 160 bytes but tensor w needs bytes up to 192 bytes; download it again.");
    expect_tensor_error(
        "w", 4, 4, MN_F32, -32ull, MN_ERR_FORMAT,
        "x.gguf: file ends at 160 bytes but tensor w needs bytes up to 16777216 TiB; download it again.");
    expect_tensor_error(
        "w", 4, 4, 99, 0, MN_ERR_UNSUPPORTED,
        "x.gguf: tensor \"w\" has the type number 99, which is not known here; known: f32 f16 q4_0 q4_1 q5_0 q5_1 "
        "q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs i32 bf16 mxfp4.");
    builder b = begin(3, 2, 0);
    put_tensor(&b, "w", 4, 2, MN_F32, 0), put_tensor(&b, "w", 4, 2, MN_F32, 32);
    put_zeros(&b, 32, 64);
    expect_error(&b, MN_ERR_FORMAT, "x.gguf: tensor \"w\" is there twice; every name must be different.");
    b = begin(3, 2, 0);
    put_tensor(&b, "b", 4, 2, MN_F32, 32), put_tensor(&b, "a", 4, 4, MN_F32, 0);
    put_zeros(&b, 32, 64);
    expect_error(&b, MN_ERR_FORMAT, "x.gguf: tensors \"a\" and \"b\" lie over one another; the file is damaged.");
    b = begin(3, 1, 0);
    put_string(&b, "w"), put_u32(&b, 5), put_zeros(&b, 1, 60);
    expect_error(&b, MN_ERR_FORMAT, "x.gguf: tensor \"w\" has 5 dimensions; 1 to 4 are possible.");
}

/* Every cut of a good file fails with a sentence; every changed byte fails with one or reads as something else. */
static void any_damage_is_survived(void **state) {
    (void)state;
    mn_error err;
    for (uint32_t version = 1; version <= 3; version += 2) {
        builder b = build_sample(version);
        for (size_t n = 0; n < b.buf.bytes; n++) {
            assert_int_equal(parse(b.buf.data, n, &err), MN_ERR_FORMAT);
            assert_memory_equal(err.text, "x.gguf: ", 8);
        }
        static const unsigned char values[] = {0, 1, 9, 0x7f, 0x80, 0xff};
        for (size_t i = 0; i < b.buf.bytes; i++)
            for (size_t k = 0; k < sizeof values; k++) {
                char kept = b.buf.data[i];
                b.buf.data[i] = (char)values[k];
                if (parse(b.buf.data, b.buf.bytes, &err)) assert_memory_equal(err.text, "x.gguf: ", 8);
                b.buf.data[i] = kept;
            }
        mn_strbuf_release(&b.buf);
    }
}

static mn_status fill_with_name(void *arg, const mn_tensor *t, void *dst, mn_error *err) {
    if (arg) return mn_fail(err, MN_ERR_LIMIT, "no data for %s.", t->name);
    memset(dst, t->name[0], t->bytes);
    return MN_OK;
}

static mn_gguf_writer *create_writer(const mn_gguf *from, const float *borrowed) {
    mn_gguf_writer *writer;
    mn_error err;
    assert_ok(mn_gguf_writer_create(&writer, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(from); i++) mn_gguf_put_kv(writer, mn_gguf_kv_at(from, i));
    mn_gguf_put_u32(writer, "new.u32", 9);
    mn_gguf_put_f32(writer, "new.f32", -1.5f);
    mn_gguf_put_bool(writer, "new.bool", true);
    mn_gguf_put_string(writer, "new.string", "sentence");
    mn_gguf_put_tensor(writer, &(mn_tensor){.name = "q", .type = MN_Q4_0, .n_dims = 3, .ne = {64, 3, 2}});
    mn_gguf_put_tensor(writer, &(mn_tensor){.name = "f", .type = MN_F32, .n_dims = 1, .ne = {3}, .data = borrowed});
    return writer;
}

static void check_written(const char *path, const float *values) {
    mn_gguf *gguf = NULL;
    mn_error err;
    bool found;
    int64_t number = 0;
    mn_gguf_string text = {0};
    assert_ok(mn_gguf_open(path, &gguf, &err), err);
    assert_int_equal(mn_gguf_version(gguf), 3);
    check_integers(gguf);
    check_others(gguf);
    check_arrays(gguf);
    assert_ok(mn_gguf_get_i64(gguf, "new.u32", &number, &found, &err), err);
    assert_int_equal(number, 9);
    assert_ok(mn_gguf_get_string(gguf, "new.string", &text, &found, &err), err);
    assert_true(text.bytes == 8 && !memcmp(text.data, "sentence", 8));
    const mn_tensor *q = mn_gguf_tensor(gguf, "q"), *f = mn_gguf_tensor(gguf, "f");
    assert_true(q->n_dims == 3 && q->ne[2] == 2 && q->bytes == 2 * 18 * 6);
    for (size_t i = 0; i < q->bytes; i++) assert_int_equal(((const char *)q->data)[i], 'q');
    assert_memory_equal(f->data, values, f->bytes);
    mn_gguf_close(gguf);
}

/* From version 1 too: its short string lengths must come out long. */
static void written_files_read_back(void **state) {
    (void)state;
    const float values[3] = {1, 2, 3};
    mn_error err;
    for (uint32_t version = 1; version <= 3; version += 2) {
        builder b = build_sample(version);
        mn_gguf *from = open_bytes(&b);
        mn_gguf_writer *writer = create_writer(from, values);
        assert_ok(mn_gguf_write(writer, temp_path("out.gguf"), fill_with_name, NULL, &err), err);
        mn_gguf_writer_destroy(writer);
        check_written(temp_path("out.gguf"), values);
        unlink(temp_path("out.gguf"));
        mn_gguf_close(from);
        mn_strbuf_release(&b.buf);
    }
}

static void failed_writes_leave_nothing(void **state) {
    (void)state;
    const float values[3] = {1, 2, 3};
    mn_error err;
    builder b = build_sample(3);
    mn_gguf *from = open_bytes(&b);
    mn_gguf_writer *writer = create_writer(from, values);
    assert_int_equal(mn_gguf_write(writer, temp_path("out.gguf"), fill_with_name, writer, &err), MN_ERR_LIMIT);
    assert_string_equal(err.text, "no data for q.");
    assert_int_not_equal(access(temp_path("out.gguf"), F_OK), 0);
    assert_int_equal(mn_gguf_write(writer, "/dev/full", fill_with_name, NULL, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "No space left"));
    mn_gguf_put_u32(writer, "u32", 1);
    assert_int_equal(mn_gguf_write(writer, temp_path("out.gguf"), fill_with_name, NULL, &err), MN_ERR_FORMAT);
    assert_string_equal(err.text, "key \"u32\" is there twice; every name must be different.");
    mn_gguf_put_tensor(writer, &(mn_tensor){.name = "odd", .type = MN_Q4_0, .n_dims = 1, .ne = {33}});
    assert_int_equal(mn_gguf_write(writer, temp_path("out.gguf"), fill_with_name, NULL, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "tensor odd cannot be written"));
    mn_gguf_writer_destroy(writer);
    mn_gguf_close(from);
    mn_strbuf_release(&b.buf);
}

/* Part `number` (from 1) of three holds the tensor "tN"; what it says of itself may be a lie. */
static void write_part(const char *prefix, int number, uint32_t says_number, uint32_t says_tensors) {
    char path[4200], name[] = {'t', (char)('0' + number), 0};
    builder b = begin(3, 1, 3);
    put_key_u32(&b, "split.no", says_number - 1);
    put_key_u32(&b, "split.count", 3);
    put_key_u32(&b, "split.tensors.count", says_tensors);
    put_tensor(&b, name, 8, 1, MN_F32, 0);
    put_zeros(&b, 32, 32);
    snprintf(path, sizeof path, "%s-%05d-of-00003.gguf", prefix, number);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    fwrite(b.buf.data, 1, b.buf.bytes, out);
    fclose(out);
    mn_strbuf_release(&b.buf);
}

static void split_models_open_by_any_part(void **state) {
    (void)state;
    char prefix[4096], path[4200];
    mn_error err;
    mn_gguf *gguf = NULL;
    snprintf(prefix, sizeof prefix, "%s", temp_path("split"));
    for (int i = 1; i <= 3; i++) write_part(prefix, i, (uint32_t)i, 3);
    for (int i = 1; i <= 3; i++) {
        snprintf(path, sizeof path, "%s-%05d-of-00003.gguf", prefix, i);
        assert_ok(mn_gguf_open(path, &gguf, &err), err);
        assert_int_equal(mn_gguf_n_tensors(gguf), 3);
        assert_string_equal(mn_gguf_tensor(gguf, "t3")->name, "t3");
        assert_string_equal(mn_gguf_tensor_at(gguf, 1)->name, "t2");
        mn_gguf_close(gguf);
    }
    write_part(prefix, 1, 1, 4);
    assert_int_equal(mn_gguf_open(path, &gguf, &err), MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "hold 3 tensors but split.tensors.count is 4"));
    write_part(prefix, 2, 3, 3);
    assert_int_equal(mn_gguf_open(path, &gguf, &err), MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "says inside that it is part 3 of 3, against its name"));
    snprintf(path, sizeof path, "%s-00002-of-00003.gguf", prefix);
    unlink(path);
    assert_int_equal(mn_gguf_open(path, &gguf, &err), MN_ERR_IO);
    assert_non_null(strstr(err.text, "-00002-of-00003.gguf: cannot open"));
    for (int i = 1; i <= 3; i += 2) {
        snprintf(path, sizeof path, "%s-%05d-of-00003.gguf", prefix, i);
        unlink(path);
    }
}

static void reads_a_real_file(void **state) {
    (void)state;
    mn_gguf *gguf;
    mn_error err;
    assert_ok(mn_gguf_open(data_path("golden/tiny-llama.gguf"), &gguf, &err), err);
    assert_int_equal(mn_gguf_version(gguf), 3);
    assert_int_equal(mn_gguf_n_kv(gguf), 24);
    assert_int_equal(mn_gguf_n_tensors(gguf), 30);
    mn_gguf_close(gguf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_reads_alike),     cmocka_unit_test(typed_reads_refuse),
        cmocka_unit_test(refuses_other_files),           cmocka_unit_test(refuses_impossible_headers),
        cmocka_unit_test(refuses_impossible_tensors),    cmocka_unit_test(any_damage_is_survived),
        cmocka_unit_test(written_files_read_back),       cmocka_unit_test(failed_writes_leave_nothing),
        cmocka_unit_test(split_models_open_by_any_part), cmocka_unit_test(reads_a_real_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
