#include "support/golden.h"
#include "support/levels.h"

#include <math.h>
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
    char relative[256];
    snprintf(relative, sizeof relative, "%s%s", name, suffix);
    snprintf(path, 4096, "%s", find(relative));
}

/* Where the reference looked GELU up in a table, the file made with the formula is the one to meet. */
static const char *logits_suffix(const json_t *object) {
    return json_object_get(object, "file_exact_gelu") ? ".short.exactgelu.bin" : ".short.bin";
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
    path_of(find, name, ".gguf", g.model_path);
    path_of(find, name, ".short.json", path);
    json_t *object = json_load_file(path, 0, &error);
    assert_non_null(object);
    int64_t *ids = read_list(object, "token_ids", &g.n_tokens);
    g.tokens = calloc((size_t)g.n_tokens, sizeof *g.tokens);
    for (int64_t i = 0; i < g.n_tokens; i++) g.tokens[i] = (int32_t)ids[i];
    free(ids);
    g.rows = read_list(object, "row_positions", &g.n_rows);
    g.n_vocab = json_integer_value(json_array_get(json_object_get(object, "shape"), 1));
    path_of(find, name, logits_suffix(object), path);
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
    params.n_ctx = g->n_tokens;
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
