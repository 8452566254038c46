#include "support/support.h"
#include "support/training.h"

#include "kernels/kernels.h"
#include "train/batch.h"
#include "train/model_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_CTX = 48, N_WINDOWS = 2 };

typedef struct fixture {
    mn_train_config config;
    mn_pool *pool;
    mn_arena scratch;
    mn_compute compute;
    mn_parameters parameters, adapters;
    mn_adapter adapter;
    mn_train_batch batch;
    mn_tape tape;
} fixture;

/* A tiny model in f32, its weights large enough that every part of it matters. */
static const char *in_f32(const char *path) {
    static char out[600];
    mn_gguf *in;
    mn_error err;
    mn_key_changes none = {0};
    snprintf(out, sizeof out, "%s", temp_path("tape.gguf"));
    assert_ok(mn_gguf_open(path, &in, &err), err);
    assert_ok(mn_model_file_write(in, out, &none, MN_TYPES_ALL_F32, MN_F32, NULL, &err), err);
    mn_gguf_close(in);
    return out;
}

/* Windows of random tokens, two documents in the first, with weights of all sizes. */
static void fill_batch(fixture *f, int n_vocab) {
    mn_train_batch *b = &f->batch;
    mn_random rng;
    mn_random_seed(&rng, 5, 1);
    b->n_windows = N_WINDOWS;
    b->sum_weights = 0;
    b->n_tokens = N_WINDOWS * N_CTX;
    for (int w = 0; w < N_WINDOWS; w++) {
        mn_train_window *x = &b->windows[w];
        x->n_tokens = N_CTX;
        for (int i = 0; i < N_CTX; i++) {
            x->tokens[i] = (int32_t)mn_random_below(&rng, (uint32_t)n_vocab);
            x->targets[i] = (int32_t)mn_random_below(&rng, (uint32_t)n_vocab);
            x->weights[i] = i % 7 == 0 ? 0 : (float)(0.5 + mn_random_double(&rng));
            x->document[i] = w == 0 && i >= 19 ? 19 : 0;
            b->sum_weights += x->weights[i];
        }
    }
}

static void open_fixture(fixture *f, const char *path, const char *attn, int n_threads) {
    mn_error err;
    *f = (fixture){0};
    mn_train_config_init(&f->config);
    f->config.window = N_CTX;
    f->config.batch = N_WINDOWS;
    f->config.attn = attn;
    assert_ok(mn_pool_create(n_threads, &f->pool, &err), err);
    f->compute = (mn_compute){mn_kernels_get(mn_cpu_detect()), f->pool, &f->scratch, true};
    assert_ok(mn_parameters_open(path, &f->config, &f->parameters, &err), err);
    assert_ok(mn_train_batch_open(&f->config, &f->parameters.model, &f->batch, &err), err);
    assert_ok(mn_tape_open(&f->compute, &f->parameters, (size_t)1 << 28, &f->tape, &err), err);
    fill_batch(f, f->parameters.model.config.n_vocab);
}

static void close_fixture(fixture *f) {
    mn_tape_close(&f->tape);
    mn_train_batch_close(&f->batch);
    if (f->adapter.gguf) mn_arena_release(&f->adapter.arena);
    mn_parameters_close(&f->adapters);
    mn_parameters_close(&f->parameters);
    mn_pool_destroy(f->pool);
    mn_arena_release(&f->scratch);
    mn_train_config_release(&f->config);
}

static double differentiate(fixture *f, bool recompute) {
    mn_error err;
    f->tape.loss = (mn_loss){0};
    mn_parameters_clear_gradients(&f->parameters);
    mn_parameters_clear_gradients(&f->adapters);
    assert_ok(mn_train_batch_run(&f->batch, 0, N_WINDOWS, &f->tape, recompute, &err), err);
    return f->tape.loss.loss / f->batch.sum_weights;
}

static double loss_of(fixture *f) {
    mn_error err;
    f->tape.loss = (mn_loss){0};
    assert_ok(mn_train_batch_score(&f->batch, 0, N_WINDOWS, &f->tape, &err), err);
    return f->tape.loss.loss / f->batch.sum_weights;
}

/* w + step * direction, for one tensor; the direction is drawn from a seed. */
static void move(const mn_parameter *p, double step, uint64_t seed, float *kept) {
    int64_t n = p->n_in * p->n_out;
    float *direction = malloc((size_t)n * sizeof *direction);
    fill_normal(direction, (size_t)n, seed);
    for (int64_t i = 0; i < n; i++) p->weights[i] = (float)(kept[i] + step * direction[i]);
    free(direction);
}

static double along(const mn_parameter *p, uint64_t seed) {
    int64_t n = p->n_in * p->n_out;
    float *direction = malloc((size_t)n * sizeof *direction);
    double sum = 0;
    fill_normal(direction, (size_t)n, seed);
    for (int64_t i = 0; i < n; i++) sum += (double)direction[i] * p->gradients[i];
    free(direction);
    return sum;
}

/* The gradient of every tensor along a random direction against central differences of the loss, two step widths joined
 * by Richardson's rule. f32 losses carry about 1e-7 of noise, so the comparison is with what that leaves of a
 * difference. */
static void check_gradients_of_set(fixture *f, const mn_parameters *set, const char *name, double width) {
    double loss = differentiate(f, false), scored = loss_of(f);
    assert_true(fabs(loss - scored) < 1e-6 * loss);
    for (int64_t i = 0; i < set->n_items; i++) {
        const mn_parameter *p = &set->items[i];
        if (p->frozen) continue;
        int64_t n = p->n_in * p->n_out;
        double size = 0;
        float *kept = malloc((size_t)n * sizeof *kept);
        memcpy(kept, p->weights, (size_t)n * sizeof *kept);
        for (int64_t k = 0; k < n; k++) size += (double)kept[k] * kept[k];
        double step = width * sqrt(size / (double)n + 1e-3), got = along(p, 77 + (uint64_t)i), at[4];
        for (int k = 0; k < 4; k++) {
            move(p, step * (k - 1.5) * (k == 1 || k == 2 ? 2 : 4.0 / 3), 77 + (uint64_t)i, kept); /* -2, -1, 1, 2 */
            at[k] = loss_of(f);
        }
        memcpy(p->weights, kept, (size_t)n * sizeof *kept);
        free(kept);
        double wanted = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * step);
        double noise = 6e-8 * loss / step;
        if (fabs(got - wanted) > 3e-3 * fabs(wanted) + noise)
            fail_msg("%s, %s: %.6g along a direction, %.6g by differences (noise %.2g)", name, p->name, got, wanted,
                     noise);
    }
}

static void check_gradients_of(const char *path, const char *name, const char *attn, double width) {
    fixture f;
    open_fixture(&f, in_f32(path), attn, 1);
    check_gradients_of_set(&f, &f.parameters, name, width);
    close_fixture(&f);
}

static void check_gradients_by(const char *name, const char *attn, double width) {
    check_gradients_of(data_path(name), name, attn, width);
}

static void check_gradients(const char *name, const char *attn) { check_gradients_by(name, attn, 2e-3); }

/* The choice of experts jumps: steps have to be so small that none does. */
static void check_experts(const char *name) { check_gradients_by(name, NULL, 5e-5); }

static void test_llama(void **state) {
    (void)state;
    check_gradients("golden/tiny-llama-yarn.gguf", NULL);
}
static void test_qwen3(void **state) {
    (void)state;
    check_gradients("golden/tiny-qwen3.gguf", NULL);
}
static void test_gemma3(void **state) {
    (void)state;
    check_gradients("golden/tiny-gemma3.gguf", NULL);
}

static void test_mixtral(void **state) {
    (void)state;
    check_experts("golden/tiny-mixtral.gguf");
}
static void test_qwen3moe(void **state) {
    (void)state;
    check_experts("golden/tiny-qwen3moe.gguf");
}
static void test_qwen2(void **state) {
    (void)state;
    check_gradients("golden/tiny-qwen2.gguf", NULL);
}
static void test_gemma2(void **state) {
    (void)state;
    check_gradients("golden/tiny-gemma2.gguf", NULL);
}
static void test_phi3(void **state) {
    (void)state;
    check_gradients("golden/tiny-phi3.gguf", NULL);
}
static void test_gpt2(void **state) {
    (void)state;
    check_gradients("golden/tiny-gpt2.gguf", NULL);
}
static void test_bloom(void **state) {
    (void)state;
    check_gradients("golden/tiny-bloom.gguf", NULL);
}
static void test_mpt(void **state) {
    (void)state;
    check_gradients("golden/tiny-mpt.gguf", NULL);
}
static void test_mnemo(void **state) {
    (void)state;
    char path[600];
    snprintf(path, sizeof path, "%s", temp_path("mnemo.gguf"));
    check_gradients_of(small_mnemo_write(path, 1), "mnemo", NULL, 2e-3);
}
static void test_window(void **state) {
    (void)state;
    check_gradients("golden/tiny-llama-yarn.gguf", "window:9");
}
static void test_bigbird(void **state) {
    (void)state;
    check_gradients("golden/tiny-llama-yarn.gguf", "bigbird:16,1,1,1");
}

/* Adapters on all matrices of a model that is trained too, or frozen. B is drawn, since at zero A has no gradient. */
static void check_adapters(bool trains_model) {
    fixture f;
    mn_error err;
    char path[600];
    snprintf(path, sizeof path, "%s", temp_path("adapters.gguf"));
    open_fixture(&f, in_f32(data_path("golden/tiny-llama-yarn.gguf")), NULL, 1);
    f.config.lora_rank = 3;
    assert_ok(mn_train_config_set(&f.config, "lora.targets=q k v o gate up down", &err), err);
    assert_ok(mn_start_adapters_write(&f.config, &f.parameters.model, path, &err), err);
    assert_ok(mn_parameters_open_adapters(path, &f.config, &f.adapters, &err), err);
    assert_ok(mn_adapter_attach(f.adapters.gguf, 0.5F, &f.parameters.model, &f.adapter, &err), err);
    assert_int_equal(f.adapters.n_items, 14 * f.parameters.model.config.n_layers);
    double without = loss_of(&f);
    for (int64_t i = 0; i < f.adapters.n_items; i++) {
        const mn_parameter *p = &f.adapters.items[i];
        float *w = p->weights;
        if (!strstr(p->name, ".lora_b")) continue;
        fill_normal(w, (size_t)(p->n_in * p->n_out), 9 + (uint64_t)i);
        for (int64_t k = 0; k < p->n_in * p->n_out; k++) w[k] *= 0.05F;
    }
    f.tape.adapters = &f.adapters;
    assert_true(fabs(loss_of(&f) - without) > 1e-4);
    check_gradients_of_set(&f, &f.adapters, "adapters", 2e-3);
    if (trains_model) check_gradients_of_set(&f, &f.parameters, "below adapters", 2e-3);
    close_fixture(&f);
}

static void test_lora(void **state) {
    (void)state;
    check_adapters(false);
    check_adapters(true);
}

/* Activations made again, and any number of threads: the same bits. */
static void test_recomputed_equals_kept(void **state) {
    (void)state;
    fixture a, b;
    const char *path = in_f32(data_path("golden/tiny-gemma3.gguf"));
    open_fixture(&a, path, NULL, 1);
    open_fixture(&b, path, NULL, 2);
    double loss = differentiate(&a, false), again = differentiate(&b, true);
    assert_true(loss == again);
    for (int64_t i = 0; i < a.parameters.n_items; i++) {
        const mn_parameter *p = &a.parameters.items[i];
        if (!p->frozen)
            assert_memory_equal(p->gradients, b.parameters.items[i].gradients,
                                (size_t)(p->n_in * p->n_out) * sizeof(float));
    }
    close_fixture(&a);
    close_fixture(&b);
}

/* A window's gradient is that of its documents apart. */
static void test_documents_are_apart(void **state) {
    (void)state;
    fixture f;
    mn_error err;
    open_fixture(&f, in_f32(data_path("golden/tiny-llama-yarn.gguf")), NULL, 1);
    differentiate(&f, false);
    int64_t n = f.parameters.items[2].n_in * f.parameters.items[2].n_out;
    float *together = malloc((size_t)n * sizeof *together);
    memcpy(together, f.parameters.items[2].gradients, (size_t)n * sizeof *together);
    mn_parameters_clear_gradients(&f.parameters);
    for (int w = 0; w < N_WINDOWS; w++) assert_ok(mn_train_batch_run(&f.batch, w, 1, &f.tape, false, &err), err);
    assert_close(f.parameters.items[2].gradients, together, (size_t)n, 1e-6, 1e-4, "gradients of windows apart");
    free(together);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_qwen3),
        cmocka_unit_test(test_gemma3),
        cmocka_unit_test(test_mixtral),
        cmocka_unit_test(test_qwen3moe),
        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_gemma2),
        cmocka_unit_test(test_phi3),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_bloom),
        cmocka_unit_test(test_mpt),
        cmocka_unit_test(test_mnemo),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_lora),
        cmocka_unit_test(test_bigbird),
        cmocka_unit_test(test_recomputed_equals_kept),
        cmocka_unit_test(test_documents_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
