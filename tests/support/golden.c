#include "support/golden.h"
#include "support/levels.h"

#include "base/checked.h"
#include "model/gguf_convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static int64_t *read_list(const json_t *object, const char *key, int64_t *n) {
    const json_t *list = json_object_get(object, key);
    *n = (int64_t)json_array_size(list);
    int64_t *out = calloc((size_t)*n + 1, sizeof *out);
    for (int64_t i = 0; i < *n; i++) out[i] = json_integer_value(json_array_get(list, (size_t)i));
    return out;
}

typedef const char *find_fn(const char *relative);

static void path_of(find_fn *find, const char *name, const char *suffix, char path[4096]) {
    char relative[512];
    snprintf(relative, sizeof relative, "%s%s", name, suffix);
    snprintf(path, 4096, "%s", find(relative));
}

/* The ids of a long run are not listed, but made: x <- (1103515245 x + 12345) mod 2^31, id = (x >> 16) mod 512. */
static int64_t *make_ids(const json_t *recipe, int64_t *n) {
    uint64_t x = (uint64_t)json_integer_value(json_object_get(recipe, "seed"));
    *n = MN_MIN(MN_MAX(json_integer_value(json_object_get(recipe, "n")), 0), 1 << 20);
    int64_t *out = calloc((size_t)*n + 1, sizeof *out);
    for (int64_t i = 0; i < *n; i++) {
        x = (1103515245 * x + 12345) % (UINT64_C(1) << 31);
        out[i] = (int64_t)(x >> 16) % 512;
    }
    return out;
}

static double deviation(const float *x, int64_t n) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    for (int64_t i = 0; i < n; i++) squares += (x[i] - sum / (double)n) * (x[i] - sum / (double)n);
    return sqrt(squares / (double)n);
}

golden golden_load(const char *name, find_fn *find) {
    golden g = {0};
    char path[4096];
    json_error_t error;
    char model[256], run[16] = "short", suffix[64];
    sscanf(name, "%255[^@]@%15s", model, run);
    path_of(find, model, ".gguf", g.model_path);
    snprintf(suffix, sizeof suffix, ".%s.json", run);
    path_of(find, model, suffix, path);
    json_t *object = json_load_file(path, 0, &error);
    assert_non_null(object);
    const json_t *recipe = json_object_get(object, "token_ids_recipe");
    int64_t *ids = recipe ? make_ids(recipe, &g.n_tokens) : read_list(object, "token_ids", &g.n_tokens);
    g.tokens = calloc((size_t)MN_MAX(g.n_tokens, 1), sizeof *g.tokens);
    for (int64_t i = 0; i < g.n_tokens; i++) g.tokens[i] = (int32_t)ids[i];
    free(ids);
    g.rows = read_list(object, "row_positions", &g.n_rows);
    g.n_ctx = MN_MAX(json_integer_value(json_object_get(json_object_get(object, "settings"), "n_ctx")), g.n_tokens);
    g.n_vocab = json_integer_value(json_array_get(json_object_get(object, "shape"), 1));
    /* Where the reference looked GELU up in a table, the file made with the formula is the one to meet. */
    snprintf(suffix, sizeof suffix, ".%s%s.bin", run, json_object_get(object, "file_exact_gelu") ? ".exactgelu" : "");
    path_of(find, model, suffix, path);
    json_decref(object);
    size_t bytes;
    g.logits = (float *)(void *)read_all(path, &bytes);
    assert_int_equal(bytes, (size_t)(g.n_rows * g.n_vocab) * sizeof(float));
    g.std = deviation(g.logits, g.n_rows * g.n_vocab);
    return g;
}

void golden_free(golden *g) {
    free(g->tokens);
    free(g->rows);
    free(g->logits);
}

int64_t golden_argmax(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

void golden_compare(const golden *g, const float *logits, double max_share, const char *what) {
    for (int64_t r = 0; r < g->n_rows; r++) {
        const float *got = logits + r * g->n_vocab, *want = g->logits + r * g->n_vocab;
        for (int64_t i = 0; i < g->n_vocab; i++)
            if (!(fabs((double)got[i] - want[i]) <= max_share * g->std))
                fail_msg("%s: after token %lld, logit %lld is %.7g, wanted %.7g: %.2g of the deviation", what,
                         (long long)g->rows[r], (long long)i, got[i], want[i], fabs((double)got[i] - want[i]) / g->std);
        if (golden_argmax(got, g->n_vocab) != golden_argmax(want, g->n_vocab))
            fail_msg("%s: after token %lld, another token is the likeliest", what, (long long)g->rows[r]);
    }
}

typedef struct collected {
    const golden *g;
    float *rows;
} collected;

static void collect(void *arg, int64_t index, const float *logits) {
    collected *c = arg;
    for (int64_t r = 0; r < c->g->n_rows; r++)
        if (c->g->rows[r] == index) memcpy(c->rows + r * c->g->n_vocab, logits, (size_t)c->g->n_vocab * sizeof *logits);
}

float *golden_compute(const golden *g, const mn_engine_params *engine_params, mn_session_params params) {
    mn_engine *engine;
    mn_session *session;
    mn_error err;
    params.n_ctx = g->n_ctx;
    params.position.beyond = true;
    assert_ok(mn_engine_open(g->model_path, engine_params, &engine, &err), err);
    assert_ok(mn_session_open(engine, &params, &session, &err), err);
    uint8_t *want = calloc((size_t)g->n_tokens, 1);
    for (int64_t r = 0; r < g->n_rows; r++) want[g->rows[r]] = 1;
    collected c = {g, calloc((size_t)(g->n_rows * g->n_vocab), sizeof(float))};
    assert_ok(mn_session_extend(session, g->tokens, g->n_tokens, want, collect, NULL, &c, &err), err);
    free(want);
    mn_session_close(session);
    mn_engine_close(engine);
    return c.rows;
}

static float *compute_chunks(const golden *g, int n_threads, int32_t n_batch) {
    return golden_compute(g, &(mn_engine_params){.n_threads = n_threads, .exact = true},
                          (mn_session_params){.n_batch = n_batch});
}

void golden_check_chunks(const golden *g, const char *name, int level) {
    static const struct { int n_threads, n_batch; } ways[] = {{1, 1}, {2, 7}, {3, 64}};
    float *whole = compute_chunks(g, 1, 0);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!takes_case(i, 3)) continue;
        float *parts = compute_chunks(g, ways[i].n_threads, ways[i].n_batch);
        if (memcmp(parts, whole, (size_t)(g->n_rows * g->n_vocab) * sizeof *whole) != 0)
            fail_msg("%s at %s: %d threads and steps of %d change the logits", name,
                     mn_cpu_level_name((mn_cpu_level)level), ways[i].n_threads, ways[i].n_batch);
        free(parts);
    }
    free(whole);
}

void golden_each(const char *const *names, int n, find_fn *find, golden_check *check) {
    for (int i = 0; i < n; i++) {
        if (!takes_case((size_t)i, 5)) continue;
        golden g = golden_load(names[i], find);
        EACH_LEVEL(level) {
            setenv("MNEMO_CPU", mn_cpu_level_name((mn_cpu_level)level), 1);
            check(&g, names[i], level);
        }
        golden_free(&g);
    }
    unsetenv("MNEMO_CPU");
}

void golden_check_exact(const golden *g, const char *name, int level) {
    (void)level;
    float *rows = golden_compute(g, &(mn_engine_params){.n_threads = 2, .exact = true}, (mn_session_params){0});
    golden_compare(g, rows, 1e-3, name);
    free(rows);
}

golden golden_convert(const golden *g, mn_dtype type) {
    golden copy = *g;
    mn_gguf *in;
    mn_error err;
    mn_convert_summary summary;
    snprintf(copy.model_path, sizeof copy.model_path, "%s", temp_path("golden.gguf"));
    assert_ok(mn_gguf_open(g->model_path, &in, &err), err);
    assert_ok(mn_gguf_convert(in, copy.model_path, &(mn_make_params){.type = type}, &summary, &err), err);
    mn_gguf_close(in);
    return copy;
}
