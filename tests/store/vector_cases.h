/* What vectors do in every store: the nearest are those of plain sums in double precision, whatever came, changed and
 * went, here or by others. */
#ifndef MN_TESTS_VECTOR_CASES_H
#define MN_TESTS_VECTOR_CASES_H

#include "store/stores.h"

#include "store/vectors.h"

#include <math.h>

static mn_error vector_err;

enum { N_VECTORS = 400, MAX_DIMS = 100, N_NEAREST = 7 };

static mn_vectors *open_space(mn_store *store, int n_dims, mn_dtype type, bool here) {
    mn_vectors *v;
    const mn_vectors_spec spec = {
        .space = "thing", .model = "a model", .n_dims = n_dims, .type = type, .n_threads = here ? 3 : 1, .here = here};
    assert_ok(mn_vectors_open(store, &spec, &v, &vector_err), vector_err);
    return v;
}

static void put_one(mn_vectors *v, int number, const float *x) {
    char name[16];
    const char *item = name;
    snprintf(name, sizeof name, "i%d", number);
    assert_ok(mn_vectors_put(v, &item, 1, x, &vector_err), vector_err);
}

static void put_many(mn_vectors *v, const float *x) {
    char names[N_VECTORS][16];
    const char *items[N_VECTORS];
    for (int i = 0; i < N_VECTORS; i++) {
        snprintf(names[i], sizeof names[i], "i%d", i);
        items[i] = names[i];
    }
    assert_ok(mn_vectors_put(v, items, N_VECTORS, x, &vector_err), vector_err);
}

/* Each hit's score is its inner product, and no other vector's is larger than the last hit's. gone: no vector. */
static void check_nearest(mn_vectors *v, const float *x, int n, int n_dims, int gone, double tolerance) {
    float question[MAX_DIMS];
    mn_vector_hit hits[N_NEAREST];
    uint32_t n_hits;
    for (int q = 0; q < 5; q++) {
        fill_normal(question, (size_t)n_dims, 77 + (uint64_t)q);
        assert_ok(mn_vectors_search(v, question, N_NEAREST, hits, &n_hits, &vector_err), vector_err);
        assert_int_equal(n_hits, N_NEAREST);
        double least = INFINITY;
        bool is_hit[N_VECTORS + 1] = {false};
        for (uint32_t h = 0; h <= n_hits; h++)
            for (int i = 0; i < n; i++) {
                double sum = 0;
                for (int d = 0; d < n_dims; d++) sum += (double)question[d] * (double)x[i * n_dims + d];
                if (h < n_hits && atoi(hits[h].item + 1) == i) {
                    assert_int_not_equal(i, gone);
                    if (fabs(sum - (double)hits[h].score) > tolerance)
                        fail_msg("%s: %g, not %g", hits[h].item, (double)hits[h].score, sum);
                    assert_false(is_hit[i]);
                    is_hit[i] = true;
                    least = fmin(least, sum);
                } else if (h == n_hits && i != gone && !is_hit[i]) {
                    assert_true(sum <= least + 2 * tolerance);
                }
            }
        for (uint32_t h = 1; h < n_hits; h++) assert_true(hits[h].score <= hits[h - 1].score);
    }
}

static void the_nearest_are_found(void **state) {
    (void)state;
    static const struct {
        int n_dims;
        mn_dtype type;
        double tolerance; /* 8 bits: of vectors and question, in sums of n_dims products */
    } cases[] = {{5, MN_F32, 1e-5}, {100, MN_F32, 2e-5}, {32, MN_Q8_0, 0.3}, {70, MN_Q8_0, 0.5}};
    float *x = calloc(N_VECTORS + 1, MAX_DIMS * sizeof *x);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int n_dims = cases[c].n_dims;
        mn_store *store = new_store("vectors.db");
        mn_vectors *v = open_space(store, n_dims, cases[c].type, false),
                   *other = open_space(store, n_dims, cases[c].type, true);
        int64_t n;
        bool has;
        assert_false(mn_vectors_is_remote(other));
        if (c == 0) print_message("vectors are scanned by %s\n", mn_vectors_is_remote(v) ? "pgvector" : "us");
        fill_normal(x, (size_t)((N_VECTORS + 1) * n_dims), 5);
        put_many(v, x);
        check_nearest(v, x, N_VECTORS, n_dims, -1, cases[c].tolerance);
        check_nearest(other, x, N_VECTORS, n_dims, -1, cases[c].tolerance);
        /* Changes by one are seen by the other: a new vector, a new value, one gone. */
        put_one(other, N_VECTORS, x + N_VECTORS * n_dims);
        for (int d = 0; d < n_dims; d++) x[3 * n_dims + d] *= -2;
        put_one(other, 3, x + 3 * n_dims);
        assert_ok(mn_vectors_remove(v, "i17", &vector_err), vector_err);
        assert_ok(mn_vectors_remove(v, "nobody", &vector_err), vector_err);
        check_nearest(v, x, N_VECTORS + 1, n_dims, 17, cases[c].tolerance);
        check_nearest(other, x, N_VECTORS + 1, n_dims, 17, cases[c].tolerance);
        assert_ok(mn_vectors_count(v, &n, &vector_err), vector_err);
        assert_int_equal(n, N_VECTORS);
        assert_ok(mn_vectors_has(v, "i17", &has, &vector_err), vector_err);
        assert_false(has);
        put_one(v, 17, x + 17 * n_dims);
        check_nearest(other, x, N_VECTORS + 1, n_dims, -1, cases[c].tolerance);
        mn_vectors_close(v);
        mn_vectors_close(other);
        mn_store_close(store);
    }
    free(x);
}

static void vectors_that_do_not_go_together_are_refused(void **state) {
    (void)state;
    mn_store *store = new_store("vectors-other.db");
    mn_vectors *v = open_space(store, 3, MN_F32, false), *w;
    mn_vectors_spec spec = {.space = "thing", .model = "a model", .n_dims = 4, .type = MN_F32};
    const char *item = "x";
    float numbers[3] = {1, NAN, 2};
    mn_vector_hit hit;
    uint32_t n;
    assert_int_equal(mn_vectors_open(store, &spec, &w, &vector_err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(vector_err.text, "vectors of 3 numbers (f32) by the model a model"));
    assert_null(w);
    spec = (mn_vectors_spec){.space = "thing", .model = "another", .n_dims = 3, .type = MN_F32};
    assert_int_equal(mn_vectors_open(store, &spec, &w, &vector_err), MN_ERR_ARGUMENT);
    spec.space = "thing; DROP TABLE vector_item";
    assert_int_equal(mn_vectors_open(store, &spec, &w, &vector_err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_vectors_put(v, &item, 1, numbers, &vector_err), MN_ERR_ARGUMENT);
    assert_int_equal(mn_vectors_search(v, numbers, 1, &hit, &n, &vector_err), MN_ERR_ARGUMENT);
    numbers[1] = 0;
    assert_ok(mn_vectors_search(v, numbers, 1, &hit, &n, &vector_err), vector_err);
    assert_int_equal(n, 0);
    /* A row that is no vector. */
    assert_ok(mn_vectors_put(v, &item, 1, numbers, &vector_err), vector_err);
    assert_ok(mn_store_run(store, &vector_err, "UPDATE vector_item SET data = $1", "b", "abc", (size_t)3), vector_err);
    assert_int_equal(mn_vectors_search(v, numbers, 1, &hit, &n, &vector_err), MN_ERR_FORMAT);
    assert_non_null(strstr(vector_err.text, "3 bytes, not 12"));
    mn_vectors_close(v);
    mn_store_close(store);
}

static void equal_vectors_come_by_name(void **state) {
    (void)state;
    mn_store *store = new_store("vectors-equal.db");
    mn_vectors *v = open_space(store, 2, MN_F32, false);
    const char *const items[] = {"b", "a", "Z", "c"};
    const float numbers[] = {1, 0, 1, 0, 1, 0, 0, 1}, question[] = {1, 0.5F};
    mn_vector_hit hits[9];
    uint32_t n;
    assert_ok(mn_vectors_put(v, items, 4, numbers, &vector_err), vector_err);
    assert_ok(mn_vectors_search(v, question, 9, hits, &n, &vector_err), vector_err);
    assert_int_equal(n, 4);
    static const char *const want[] = {"Z", "a", "b", "c"};
    for (int i = 0; i < 4; i++) assert_string_equal(hits[i].item, want[i]);
    mn_vectors_close(v);
    mn_store_close(store);
}

static void vectors_go_out_and_come_back(void **state) {
    (void)state;
    mn_store *store = new_store("vectors-out.db"), *copy;
    mn_vectors *v = open_space(store, 8, MN_Q8_0, false);
    float *x = calloc(N_VECTORS, 8 * sizeof *x);
    char *text;
    size_t bytes;
    int64_t n;
    fill_normal(x, N_VECTORS * 8, 9);
    put_many(v, x);
    FILE *out = open_memstream(&text, &bytes);
    assert_ok(mn_store_export(store, out, &vector_err), vector_err);
    fclose(out);
    mn_vectors_close(v);
    mn_store_close(store);
    copy = new_store("vectors-in.db");
    assert_ok(mn_vectors_migrate(copy, &vector_err), vector_err);
    FILE *in = fmemopen(text, bytes, "r");
    assert_ok(mn_store_import(copy, NULL, 0, in, &n, &vector_err), vector_err);
    fclose(in);
    assert_int_equal(n, N_VECTORS + 1);
    v = open_space(copy, 8, MN_Q8_0, false);
    check_nearest(v, x, N_VECTORS, 8, -1, 0.3);
    mn_vectors_close(v);
    mn_store_close(copy);
    free(text);
    free(x);
}

#define VECTOR_CASES                                                                                                   \
    cmocka_unit_test(the_nearest_are_found), cmocka_unit_test(vectors_that_do_not_go_together_are_refused),            \
        cmocka_unit_test(equal_vectors_come_by_name), cmocka_unit_test(vectors_go_out_and_come_back)

#endif
