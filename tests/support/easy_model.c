#include "support/easy_model.h"

#include "kernels/kernels.h"
#include "support/support.h"

#include <string.h>

enum { N_TOKENS = 256, WINDOW = 100 };

const char *easy_model(const char *path, int divisor, bool calibrated) {
    static char out[600];
    static uint8_t all[MN_MAX_LAYERS];
    int32_t tokens[N_TOKENS];
    mn_model model;
    mn_small_report report;
    mn_arena scratch = MN_ARENA_INIT;
    mn_error err;
    snprintf(out, sizeof out, "%s", temp_path("easy.gguf"));
    assert_ok(mn_model_open(path, &model, &err), err);
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = (int32_t)((i * 7919 + 13) % model.config.n_vocab);
    memset(all, 1, sizeof all);
    mn_compute compute = {.kernels = mn_kernels_get(mn_cpu_detect()), .pool = NULL, .scratch = &scratch, .exact = true};
    mn_small_wish wish = {divisor, all, 0.5, tokens, calibrated ? N_TOKENS : 0, WINDOW};
    assert_ok(mn_small_write(&compute, &model, &wish, out, &report, &err), err);
    assert_int_equal(report.n_layers, model.config.n_layers);
    mn_model_close(&model);
    mn_arena_release(&scratch);
    return out;
}

static bool has(const char *text, const char *part) { return strstr(text, part) != NULL; }

/* Where a name has "ffn_small_", the name without "small_"; large MLPs and routers get none. */
static bool rename_tensor(const mn_tensor *t, char name[128]) {
    static const char *const mlps[] = {"ffn_gate.", "ffn_up.", "ffn_down."};
    for (int i = 0; i < 3; i++)
        if (has(t->name, mlps[i])) return false;
    const char *small = strstr(t->name, "small_");
    if (has(t->name, "ffn_small_router")) return false;
    if (small)
        snprintf(name, 128, "%.*s%s", (int)(small - t->name), t->name, small + strlen("small_"));
    else
        snprintf(name, 128, "%s", t->name);
    return true;
}

static void put_keys(const mn_gguf *in, mn_gguf_writer *to) {
    for (int64_t i = 0; i < mn_gguf_n_kv(in); i++) {
        mn_gguf_kv kv = *mn_gguf_kv_at(in, i);
        char key[128];
        snprintf(key, sizeof key, "%.*s", (int)kv.key.bytes, kv.key.data);
        char *small = strstr(key, ".small_mlp.");
        if (has(key, ".feed_forward_length") && !small) continue;
        if (small && !has(key, "feed_forward_length")) continue;
        if (small) memmove(small, small + strlen(".small_mlp"), strlen(small + strlen(".small_mlp")) + 1);
        kv.key = (mn_gguf_string){key, strlen(key)};
        mn_gguf_put_kv(to, &kv);
    }
}

const char *easy_model_small_alone(const char *path) {
    static char out[600];
    mn_gguf *in;
    mn_gguf_writer *to;
    mn_error err;
    char name[128];
    snprintf(out, sizeof out, "%s", temp_path("small.gguf"));
    assert_ok(mn_gguf_open(path, &in, &err), err);
    assert_ok(mn_gguf_writer_create(&to, &err), err);
    put_keys(in, to);
    for (int64_t i = 0; i < mn_gguf_n_tensors(in); i++) {
        mn_tensor t = *mn_gguf_tensor_at(in, i);
        if (!rename_tensor(&t, name)) continue;
        t.name = name;
        mn_gguf_put_tensor(to, &t);
    }
    assert_ok(mn_gguf_write(to, out, NULL, NULL, &err), err);
    mn_gguf_writer_destroy(to);
    mn_gguf_close(in);
    return out;
}
