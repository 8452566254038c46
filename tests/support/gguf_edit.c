#include "support/gguf_edit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/gguf_random.h"
#include "support/support.h"

static bool is_edited(mn_gguf_string key, const gguf_edit *edits, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strlen(edits[i].key) == key.bytes && !memcmp(edits[i].key, key.data, key.bytes)) return true;
    return false;
}

static void put_edit(mn_gguf_writer *writer, const gguf_edit *e) {
    if (!e->value) return;
    if (e->type == MN_GGUF_STRING) {
        mn_gguf_put_string(writer, e->key, e->value);
        return;
    }
    size_t bytes = mn_gguf_type_bytes(e->type) * (e->n_items ? e->n_items : 1);
    mn_gguf_put_kv(writer, &(mn_gguf_kv){.key = {e->key, strlen(e->key)},
                                         .type = e->n_items ? MN_GGUF_ARRAY : e->type,
                                         .item_type = e->type,
                                         .n_items = e->n_items,
                                         .data = e->value,
                                         .bytes = bytes,
                                         .length_bytes = sizeof(uint64_t)});
}

/* The key under the new architecture; name is where it is written. */
static mn_gguf_kv renamed(const mn_gguf_kv *kv, mn_gguf_string old, const char *arch, char name[256]) {
    mn_gguf_kv copy = *kv;
    if (!arch || kv->key.bytes <= old.bytes || memcmp(kv->key.data, old.data, old.bytes) ||
        kv->key.data[old.bytes] != '.')
        return copy;
    copy.key.bytes =
        (size_t)snprintf(name, 256, "%s%.*s", arch, (int)(kv->key.bytes - old.bytes), kv->key.data + old.bytes);
    copy.key.data = name;
    return copy;
}

void gguf_edit_write(const mn_gguf *in, const char *path, const char *arch, const gguf_edit *edits, size_t n) {
    mn_gguf_writer *writer;
    mn_gguf_string old = {0};
    mn_error err;
    bool found;
    char name[256];
    assert_ok(mn_gguf_writer_create(&writer, &err), err);
    assert_ok(mn_gguf_get_string(in, "general.architecture", &old, &found, &err), err);
    for (int64_t i = 0; i < mn_gguf_n_kv(in); i++) {
        mn_gguf_kv kv = renamed(mn_gguf_kv_at(in, i), old, arch, name);
        if (arch && !strncmp(kv.key.data, "general.architecture", kv.key.bytes))
            mn_gguf_put_string(writer, "general.architecture", arch);
        else if (!is_edited(kv.key, edits, n))
            mn_gguf_put_kv(writer, &kv);
    }
    for (size_t i = 0; i < n; i++) put_edit(writer, &edits[i]);
    for (int64_t i = 0; i < mn_gguf_n_tensors(in); i++) mn_gguf_put_tensor(writer, mn_gguf_tensor_at(in, i));
    assert_ok(mn_gguf_write(writer, path, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(writer);
}

mn_gguf *gguf_small_llama(void) {
    const mn_random_model small = {.arch = "llama",
                                   .n_layers = 3,
                                   .n_embd = 64,
                                   .n_heads = 4,
                                   .n_kv_heads = 2,
                                   .head_dim = 16,
                                   .n_ff = 96,
                                   .n_ctx = 512,
                                   .rope_base = 10000,
                                   .untied = true,
                                   .seed = 5};
    mn_gguf *vocab = NULL, *model = NULL;
    mn_random_summary summary;
    mn_error err;
    char path[4096];
    snprintf(path, sizeof path, "%s", temp_path("small-llama.gguf"));
    assert_ok(mn_gguf_open(MNEMO_SOURCE_DIR "/tests/fuzz/corpus/gguf/vocab", &vocab, &err), err);
    assert_ok(mn_random_model_write(&small, vocab, path, &(mn_make_params){.type = MN_F32}, &summary, &err), err);
    mn_gguf_close(vocab);
    assert_ok(mn_gguf_open(path, &model, &err), err);
    unlink(path);
    return model;
}
