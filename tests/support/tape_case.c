#include "support/tape_case.h"

#include "kernels/kernels.h"
#include "support/support.h"
#include "support/training.h"
#include "train/model_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A tiny model in f32, its weights large enough that every part of it matters. */
const char *tape_in_f32(const char *path) {
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

const char *tape_make_mnemo(int n_heads, int n_kv_heads) {
    static char path[600];
    snprintf(path, sizeof path, "%s", temp_path("mnemo.gguf"));
    return small_mnemo_write_heads(path, n_heads, n_kv_heads);
}

const char *tape_make_sinks(void) {
    static char path[600];
    snprintf(path, sizeof path, "%s", temp_path("sinks.gguf"));
    return small_mnemo_write_sinks(path);
}

/* Windows of random tokens, two documents in the first, with weights of all sizes. */
static void fill_batch(tape_case *f, int n_vocab) {
    mn_train_batch *b = &f->batch;
    mn_random rng;
    mn_random_seed(&rng, 5, 1);
    b->n_windows = TAPE_N_WINDOWS;
    b->sum_weights = 0;
    b->n_tokens = TAPE_N_WINDOWS * TAPE_N_CTX;
    for (int w = 0; w < TAPE_N_WINDOWS; w++) {
        mn_train_window *x = &b->windows[w];
        x->n_tokens = TAPE_N_CTX;
        for (int i = 0; i < TAPE_N_CTX; i++) {
            x->tokens[i] = (int32_t)mn_random_below(&rng, (uint32_t)n_vocab);
            x->targets[i] = (int32_t)mn_random_below(&rng, (uint32_t)n_vocab);
            x->weights[i] = i % 7 == 0 ? 0 : (float)(0.5 + mn_random_double(&rng));
            x->document[i] = w == 0 && i >= 19 ? 19 : 0;
            b->sum_weights += x->weights[i];
        }
    }
}

void tape_open(tape_case *f, const char *path, const char *attn, int n_threads) {
    mn_error err;
    *f = (tape_case){0};
    mn_train_config_init(&f->config);
    f->config.window = TAPE_N_CTX;
    f->config.batch = TAPE_N_WINDOWS;
    f->config.attn = attn;
    assert_ok(mn_pool_create(n_threads, &f->pool, &err), err);
    f->compute = (mn_compute){mn_kernels_get(mn_cpu_detect()), f->pool, &f->scratch, true, NULL};
    assert_ok(mn_parameters_open(path, &f->config, &f->parameters, &err), err);
    assert_ok(mn_train_batch_open(&f->config, &f->parameters.model, &f->batch, &err), err);
    assert_ok(mn_tape_open(&f->compute, &f->parameters, (size_t)1 << 28, &f->tape, &err), err);
    fill_batch(f, f->parameters.model.config.n_vocab);
}

void tape_close(tape_case *f) {
    mn_tape_close(&f->tape);
    mn_train_batch_close(&f->batch);
    if (f->adapter.gguf) mn_arena_release(&f->adapter.arena);
    mn_parameters_close(&f->adapters);
    mn_parameters_close(&f->parameters);
    mn_pool_destroy(f->pool);
    mn_arena_release(&f->scratch);
    mn_train_config_release(&f->config);
}

double tape_differentiate(tape_case *f, bool recompute) {
    mn_error err;
    f->tape.loss = (mn_loss){0};
    mn_parameters_clear_gradients(&f->parameters);
    mn_parameters_clear_gradients(&f->adapters);
    assert_ok(mn_train_batch_run(&f->batch, 0, TAPE_N_WINDOWS, &f->tape, recompute, &err), err);
    return f->tape.loss.loss / f->batch.sum_weights;
}

double tape_score(tape_case *f) {
    mn_error err;
    f->tape.loss = (mn_loss){0};
    assert_ok(mn_train_batch_score(&f->batch, 0, TAPE_N_WINDOWS, &f->tape, &err), err);
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

void tape_check_set(tape_case *f, const mn_parameters *set, const char *name, double width) {
    double loss = tape_differentiate(f, false), scored = tape_score(f);
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
            at[k] = tape_score(f);
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

/* Frozen tensors, and those that nothing reaches, are passed over. */
static void check_total(tape_case *f, const mn_parameter *p, tape_total_fn *total, const char *name, double step,
                        double limit) {
    int64_t n = p->n_in * p->n_out;
    double square = 0, size = 0, at[2], first = total(f);
    float *kept = malloc((size_t)n * sizeof *kept), *along = malloc((size_t)n * sizeof *along);
    memcpy(kept, p->weights, (size_t)n * sizeof *kept);
    memcpy(along, p->gradients, (size_t)n * sizeof *along);
    for (int64_t k = 0; k < n; k++) {
        square += (double)along[k] * along[k];
        size += (double)kept[k] * kept[k];
    }
    double length = step * sqrt((size + 1e-3) / square);
    for (int side = 0; side < 2 && square > 0; side++) {
        for (int64_t k = 0; k < n; k++) p->weights[k] = kept[k] + (float)((side ? length : -length) * along[k]);
        at[side] = total(f);
    }
    memcpy(p->weights, kept, (size_t)n * sizeof *kept);
    double wanted = square > 0 ? (at[1] - at[0]) / (2 * length) : 0, noise = 3e-7 * fabs(first) / length;
    if (fabs(square - wanted) > limit * fabs(wanted) + (square > 0 ? noise : 0))
        fail_msg("%s, %s: %.6g along its gradient, %.6g by differences (noise %.2g)", name, p->name, square, wanted,
                 noise);
    free(kept);
    free(along);
}

void tape_check_total(tape_case *f, tape_total_fn *total, const char *name, double step, double limit) {
    for (int64_t i = 0; i < f->parameters.n_items; i++)
        if (!f->parameters.items[i].frozen) check_total(f, &f->parameters.items[i], total, name, step, limit);
}
