/* Fuzz target: three lines as --attn, --attn-layers and --pos. What parses agrees with its own definition (every key
 * that a query sees lies in a listed block; the ranges of a position map hold each key once), and runs on a tiny model.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/patterns/pattern.h"
#include "fuzz/fuzz.h"
#include "fuzz/tiny_model.h"
#include "position/posmap.h"

enum { MAX_BYTES = 256, N_TOKENS = 150, N_DECODE = 2 };

static void must_say(mn_status status, const mn_error *err) {
    if (status != MN_OK && !err->text[0]) abort();
}

/* ---- definitions ---- */

static bool is_listed(const mn_block_list *lists, int64_t query, int64_t key) {
    int64_t q = query / mn_query_block_tokens(lists);
    for (int64_t i = lists->offsets[q]; i < lists->offsets[q + 1]; i++)
        if (lists->blocks[i] == key / lists->block_tokens) return true;
    return false;
}

static void check_lists(const mn_pattern *p) {
    mn_arena arena = MN_ARENA_INIT;
    mn_block_list lists;
    mn_error err = {0};
    mn_status status = mn_pattern_blocks(p, 0, N_TOKENS, N_TOKENS, &arena, &lists, &err);
    must_say(status, &err);
    for (int64_t i = 0; status == MN_OK && i < N_TOKENS; i += 7)
        for (int64_t j = 0; j < N_TOKENS; j++) {
            bool sees = mn_pattern_sees(p, N_TOKENS, i, j);
            if (sees && (j > i || !is_listed(&lists, i, j))) abort();
        }
    mn_arena_release(&arena);
}

static void check_pattern(const char *text) {
    mn_pattern pattern;
    mn_error err = {0};
    mn_status status = mn_pattern_parse(text, &pattern, &err);
    must_say(status, &err);
    if (status == MN_OK && !mn_pattern_is_dynamic(&pattern)) check_lists(&pattern);
}

static void check_layers(const char *text) {
    mn_pattern patterns[TINY_LAYERS] = {0};
    mn_error err = {0};
    must_say(mn_pattern_parse_layers(text, TINY_LAYERS, patterns, &err), &err);
}

static void check_map(const char *text) {
    mn_posmap map;
    mn_error err = {0};
    mn_status status = mn_posmap_parse(text, TINY_CTX, &map, &err);
    must_say(status, &err);
    for (int64_t i = 0; status == MN_OK && i < 4 * N_TOKENS; i += 3) {
        int64_t n_keys = 0;
        for (int range = 0; range < map.n_ranges; range++) {
            mn_posmap_range r = mn_posmap_at(&map, range, i);
            if (r.key_begin < 0 || r.key_end < r.key_begin || r.key_end > i + 1) abort();
            n_keys += r.key_end - r.key_begin;
        }
        if (n_keys > i + 1 || (map.scheme != &mn_posmap_streaming && n_keys != i + 1)) abort();
    }
}

/* ---- a run ---- */

static void run(const char *attn, const char *attn_layers, const char *pos) {
    mn_session_params params = {.n_ctx = N_TOKENS + N_DECODE,
                                .n_batch = 64,
                                .attn = *attn ? attn : NULL,
                                .attn_layers = *attn_layers ? attn_layers : NULL,
                                .position = {.map = *pos ? pos : NULL, .beyond = true}};
    int32_t tokens[N_TOKENS + N_DECODE], n_vocab = mn_engine_info(tiny_engine()).n_vocab;
    mn_session *s = NULL;
    mn_error err = {0};
    for (int i = 0; i < N_TOKENS + N_DECODE; i++) tokens[i] = i * 7 % n_vocab;
    mn_status status = mn_session_open(tiny_engine(), &params, &s, &err);
    if (status == MN_OK) status = mn_session_sync(s, tokens, N_TOKENS, NULL, NULL, NULL, &err);
    for (int i = 0; status == MN_OK && i < N_DECODE; i++)
        status = mn_session_extend(s, tokens + N_TOKENS + i, 1, NULL, NULL, NULL, NULL, &err);
    must_say(status, &err);
    const float *logits = status == MN_OK ? mn_session_logits(s) : NULL;
    for (int32_t i = 0; logits && i < n_vocab; i++)
        if (!isfinite(logits[i])) abort();
    mn_session_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    char text[MAX_BYTES + 3] = {0};
    if (bytes > MAX_BYTES) return 0;
    if (bytes) memcpy(text, data, bytes);
    char *attn = text, *attn_layers = attn + strcspn(attn, "\n");
    if (*attn_layers) *attn_layers++ = 0;
    char *pos = attn_layers + strcspn(attn_layers, "\n");
    if (*pos) *pos++ = 0;
    pos[strcspn(pos, "\n")] = 0;
    check_pattern(attn);
    check_layers(attn_layers);
    check_map(pos);
    run(attn, attn_layers, pos);
    return 0;
}
