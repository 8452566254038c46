/* attention/compressor: keys against the formula in double precision; cut anywhere, the same bits. */
#include "support/gradient.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/compressor.h"
#include "attention/compressor_backward.h"

enum { DIM = 70, N_TOKENS = 300 };

static const mn_compressor kinds[] = {{.ratio = 4, .dim = DIM, .overlaps = true},
                                      {.ratio = 128, .dim = DIM, .overlaps = false},
                                      {.ratio = 5, .dim = DIM, .overlaps = false}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

typedef struct inputs {
    mn_compressor x;
    float *u, *s, *ape;
} inputs;

static inputs make_inputs(const mn_compressor *kind) {
    inputs in = {.x = *kind};
    int64_t width = mn_compressor_width(kind);
    in.u = malloc((size_t)(N_TOKENS * width) * sizeof(float));
    in.s = malloc((size_t)(N_TOKENS * width) * sizeof(float));
    in.ape = malloc((size_t)(kind->ratio * width) * sizeof(float));
    fill_normal(in.u, N_TOKENS * width, 1);
    fill_normal(in.s, N_TOKENS * width, 2);
    fill_normal(in.ape, kind->ratio * width, 3);
    in.x.ape = in.ape;
    return in;
}

static void free_inputs(inputs *in) {
    free(in->u);
    free(in->s);
    free(in->ape);
}

/* Keys of all blocks, tokens taken as `cuts` says, again and again. */
static float *compress(const inputs *in, const int64_t *cuts, int n_cuts) {
    int64_t width = mn_compressor_width(&in->x), n_blocks = mn_compressor_blocks(&in->x, N_TOKENS), done = 0;
    float *keys = calloc((size_t)(n_blocks * DIM), sizeof *keys);
    float *state = calloc((size_t)mn_compressor_state_floats(&in->x), sizeof *state);
    mn_compute c = {0};
    for (int i = 0; done < N_TOKENS; i++) {
        int64_t n = cuts[i % n_cuts] < N_TOKENS - done ? cuts[i % n_cuts] : N_TOKENS - done;
        mn_compressor_rows rows = {in->u + done * width, in->s + done * width, width, width, n, done};
        mn_compress(&c, &in->x, state, &rows, keys + mn_compressor_blocks(&in->x, done) * DIM);
        mn_compressor_advance(&in->x, state, &rows);
        done += n;
    }
    free(state);
    return keys;
}

/* Of one channel of a block's key. */
static double by_formula(const inputs *in, int64_t block, int channel) {
    const mn_compressor *x = &in->x;
    int64_t width = mn_compressor_width(x);
    double sum = 0, mean = 0;
    for (int64_t t = (block - x->overlaps) * x->ratio; t < (block + 1) * x->ratio; t++) {
        if (t < 0) continue;
        int64_t at = channel + (x->overlaps && t / x->ratio == block ? DIM : 0);
        double weight = exp((double)in->s[t * width + at] + (double)in->ape[t % x->ratio * width + at]);
        sum += weight;
        mean += weight * (double)in->u[t * width + at];
    }
    return mean / sum;
}

static void keys_are_as_the_formula_says(void **unused) {
    (void)unused;
    for (int k = 0; k < N_KINDS; k++) {
        inputs in = make_inputs(&kinds[k]);
        float *keys = compress(&in, (const int64_t[]){N_TOKENS}, 1);
        for (int64_t b = 0; b < mn_compressor_blocks(&in.x, N_TOKENS); b++)
            for (int i = 0; i < DIM; i++) {
                double want = by_formula(&in, b, i);
                if (!(fabs((double)keys[b * DIM + i] - want) <= 2e-6 * (1 + fabs(want))))
                    fail_msg("kind %d, block %d, channel %d: %g, wanted %g", k, (int)b, i, (double)keys[b * DIM + i],
                             want);
            }
        free(keys);
        free_inputs(&in);
    }
}

static void cuts_change_no_bit(void **unused) {
    (void)unused;
    static const int64_t cuts[][3] = {{1, 1, 1}, {3, 1, 4}, {7, 130, 2}, {127, 129, 1}, {256, 5, 39}};
    for (int k = 0; k < N_KINDS; k++) {
        inputs in = make_inputs(&kinds[k]);
        float *whole = compress(&in, (const int64_t[]){N_TOKENS}, 1);
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            float *parts = compress(&in, cuts[i], 3);
            assert_memory_equal(parts, whole, (size_t)(mn_compressor_blocks(&in.x, N_TOKENS) * DIM) * sizeof *whole);
            free(parts);
        }
        free(whole);
        free_inputs(&in);
    }
}

/* The sum of all keys times r, of u, s and ape in double precision. */
typedef struct weighed_keys {
    const mn_compressor *x;
    gradient_operand u, s, ape, r;
    int64_t n_rows;
} weighed_keys;

static double weigh_keys(void *arg) {
    const weighed_keys *k = arg;
    const mn_compressor *x = k->x;
    int64_t width = mn_compressor_width(x);
    double total = 0;
    for (int64_t b = 0; b < mn_compressor_blocks(x, k->n_rows); b++)
        for (int channel = 0; channel < x->dim; channel++) {
            double sum = 0, mean = 0;
            for (int64_t t = (b - x->overlaps) * x->ratio; t < (b + 1) * x->ratio; t++) {
                if (t < 0) continue;
                int64_t at = channel + (x->overlaps && t / x->ratio == b ? x->dim : 0);
                double weight = exp(k->s.d[t * width + at] + k->ape.d[t % x->ratio * width + at]);
                sum += weight;
                mean += weight * k->u.d[t * width + at];
            }
            total += mean / sum * k->r.d[b * x->dim + channel];
        }
    return total;
}

static void gradients_are_those_of_differences(void **unused) {
    (void)unused;
    enum { ROWS = 43, SMALL = 19 };
    static const mn_compressor shapes[] = {{.ratio = 4, .dim = SMALL, .overlaps = true}, {.ratio = 8, .dim = SMALL}};
    for (int i = 0; i < 2; i++) {
        mn_compressor x = shapes[i];
        size_t width = (size_t)mn_compressor_width(&x), n_keys = (size_t)(ROWS / x.ratio) * SMALL;
        weighed_keys k = {&x,
                          gradient_operand_create(ROWS * width, 1, 1),
                          gradient_operand_create(ROWS * width, 1, 2),
                          gradient_operand_create((size_t)x.ratio * width, 1, 3),
                          gradient_operand_create(n_keys, 1, 4),
                          ROWS};
        float *keys = malloc(n_keys * sizeof *keys), *d = calloc(2 * ROWS * width + k.ape.n, sizeof *d);
        float *d_u = d, *d_s = d + ROWS * width, *d_ape = d_s + ROWS * width;
        mn_compressor_rows rows = {k.u.f, k.s.f, (int64_t)width, (int64_t)width, ROWS, 0};
        mn_compute c = {0};
        x.ape = k.ape.f;
        mn_compress(&c, &x, NULL, &rows, keys);
        mn_compress_backward(&c, &x, &rows, &(mn_compressor_grad){keys, k.r.f, d_u, d_s, d_ape});
        gradient_check("u", weigh_keys, &k, k.u.d, d_u, k.u.n, 0, 1e-5);
        gradient_check("s", weigh_keys, &k, k.s.d, d_s, k.s.n, 0, 1e-5);
        gradient_check("ape", weigh_keys, &k, k.ape.d, d_ape, k.ape.n, 0, 1e-5);
        free(keys);
        free(d);
        gradient_operand *const all[] = {&k.u, &k.s, &k.ape, &k.r};
        for (int j = 0; j < 4; j++) gradient_operand_free(all[j]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_as_the_formula_says),
        cmocka_unit_test(cuts_change_no_bit),
        cmocka_unit_test(gradients_are_those_of_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
