/* attention/compressor: keys against the formula in double precision; cut anywhere, the same bits. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/compressor.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_as_the_formula_says),
        cmocka_unit_test(cuts_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
