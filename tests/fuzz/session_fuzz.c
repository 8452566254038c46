/* Fuzz target: changes to saved sessions. Each session that the target makes is saved once; the input says what to cut
 * off and which bytes to change, the sum at the end is put right again, and the file is restored. What is accepted goes
 * on with a prefill and a decode; what is refused leaves a session that works.
 *
 * Input: the session's number; how many bytes to cut; then, again and again, an offset and up to 8 bytes to put there.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "fuzz/tiny_model.h"

enum { N_CTX = 320, N_FRESH = 20, N_MORE = 3, EDIT_BYTES = 8, MAX_BYTES = 512 };

static const struct {
    mn_session_params params;
    int n_saved; /* tokens */
} kinds[] = {
    {{.type_k = "f32", .type_v = "f32"}, 20},
    {{.position.map = "dca:32,16"}, 20},
    {{.attn = "infini:16"}, 40},
    {{.attn = "sinks:4,16"}, 300}, /* pages between the first and the last have gone */
    {{.attn = "linear"}, 20},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

typedef struct saved {
    unsigned char *data;
    size_t bytes;
} saved;

static void must(mn_status status, const mn_error *err) {
    if (status == MN_OK) return;
    fprintf(stderr, "%s\n", err->text);
    abort();
}

static mn_session *open_session(int kind) {
    mn_session_params params = kinds[kind].params;
    mn_session *s;
    mn_error err;
    params.n_ctx = N_CTX;
    params.n_batch = 16;
    params.position.beyond = true;
    must(mn_session_open(tiny_engine(), &params, &s, &err), &err);
    return s;
}

static void fill(int32_t *tokens, int n) {
    int32_t n_vocab = mn_engine_info(tiny_engine()).n_vocab;
    for (int i = 0; i < n; i++) tokens[i] = i * 5 % n_vocab;
}

static saved save(int kind) {
    char path[] = "/tmp/mnemo-fuzz-XXXXXX";
    int32_t tokens[N_CTX];
    mn_session *s = open_session(kind);
    mn_error err;
    int fd = mkstemp(path);
    fill(tokens, kinds[kind].n_saved);
    must(mn_session_sync(s, tokens, kinds[kind].n_saved, NULL, NULL, NULL, &err), &err);
    must(mn_session_save(s, path, &err), &err);
    close(fd);
    FILE *in = fopen(path, "rb");
    if (!in || fseek(in, 0, SEEK_END)) abort();
    saved file = {.bytes = (size_t)ftell(in)};
    file.data = malloc(file.bytes);
    rewind(in);
    if (!file.data || fread(file.data, 1, file.bytes, in) != file.bytes) abort();
    fclose(in);
    unlink(path);
    mn_session_close(s);
    return file;
}

static uint32_t take(const uint8_t **data, size_t *bytes, size_t n) {
    uint32_t number = 0;
    for (size_t i = 0; i < n && *bytes; i++, ++*data, --*bytes) number |= (uint32_t) * *data << 8 * i;
    return number;
}

/* The sum of everything before stands in the last 8 bytes. */
static size_t edit(unsigned char *file, size_t file_bytes, const uint8_t *data, size_t bytes) {
    size_t cut = take(&data, &bytes, 2);
    file_bytes -= cut < file_bytes ? cut : file_bytes;
    while (bytes > 0) {
        size_t at = take(&data, &bytes, 2), n = take(&data, &bytes, 1) % (EDIT_BYTES + 1);
        for (size_t i = 0; i < n && bytes; i++) {
            uint32_t byte = take(&data, &bytes, 1);
            if (at + i < file_bytes) file[at + i] = (unsigned char)byte;
        }
    }
    if (file_bytes < sizeof(uint64_t)) return file_bytes;
    uint64_t sum = XXH3_64bits(file, file_bytes - sizeof sum);
    memcpy(file + file_bytes - sizeof sum, &sum, sizeof sum);
    return file_bytes;
}

static void go_on(mn_session *s, bool restored) {
    int32_t tokens[N_FRESH], n_vocab = mn_engine_info(tiny_engine()).n_vocab;
    int64_t n = mn_session_n_tokens(s);
    mn_error err = {0};
    if (n < 0 || n > mn_session_n_ctx(s) || (!restored && n != 0)) abort();
    for (int64_t i = 0; i < n; i++)
        if (mn_session_tokens(s)[i] < 0 || mn_session_tokens(s)[i] >= n_vocab) abort();
    fill(tokens, N_FRESH);
    if (n + N_MORE <= N_CTX && mn_session_extend(s, tokens, N_MORE, NULL, NULL, NULL, NULL, &err) && !err.text[0])
        abort();
    if (n + N_MORE < N_CTX && mn_session_extend(s, tokens, 1, NULL, NULL, NULL, NULL, &err) && !err.text[0]) abort();
    if (mn_session_rewind(s, n / 2, &err) && !err.text[0]) abort();
    must(mn_session_rewind(s, 0, &err), &err); /* whatever was in it, it begins anew */
    must(mn_session_sync(s, tokens, N_FRESH, NULL, NULL, NULL, &err), &err);
    for (int32_t i = 0; i < n_vocab; i++)
        if (!isfinite(mn_session_logits(s)[i])) abort();
    must(mn_session_rewind(s, 0, &err), &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static saved files[N_KINDS];
    static mn_session *sessions[N_KINDS]; /* opening one measures the machine's memory, which takes most of the time */
    static memory_file file = {-1, ""};
    mn_error err = {0};
    if (bytes == 0 || bytes > MAX_BYTES) return 0;
    int kind = (int)(take(&data, &bytes, 1) % N_KINDS);
    if (file.fd < 0) file = memory_file_new();
    if (!sessions[kind]) {
        files[kind] = save(kind);
        sessions[kind] = open_session(kind);
    }
    unsigned char *copy = malloc(files[kind].bytes);
    if (!copy) abort();
    memcpy(copy, files[kind].data, files[kind].bytes);
    size_t n = edit(copy, files[kind].bytes, data, bytes);
    memory_file_set(&file, copy, n);
    free(copy);
    mn_status status = mn_session_restore(sessions[kind], file.path, &err);
    if (status != MN_OK && !err.text[0]) abort();
    go_on(sessions[kind], status == MN_OK);
    return 0;
}
