/* The backward of the convolution before a recurrent state against central differences in double precision, with and
 * without silu and bias, on rows that are strides apart.
 */
#include "support/gradient.h"
#include "support/levels.h"
#include "support/support.h"

#include <math.h>
#include <string.h>

#include "recurrent/causal_conv_backward.h"

enum { TAPS = 4, CHANNELS = 19, STRIDE = CHANNELS + 3, ROWS = 37 };
enum { X, WEIGHTS, BIAS, D_OUT, N_OPERANDS };

typedef struct conv_case {
    gradient_operand x[N_OPERANDS];
    bool silu, has_bias;
    int n_rows;
    struct {
        float x[ROWS * STRIDE], taps[TAPS * CHANNELS], bias[CHANNELS];
    } out;
} conv_case;

static double value(void *arg) {
    const conv_case *k = arg;
    double sum = 0;
    for (int t = 0; t < k->n_rows; t++)
        for (int c = 0; c < CHANNELS; c++) {
            double z = k->has_bias ? k->x[BIAS].d[c] : 0;
            for (int j = 0; j < TAPS && j <= t; j++)
                z += k->x[WEIGHTS].d[j * CHANNELS + c] * k->x[X].d[(t - j) * STRIDE + c];
            sum += k->x[D_OUT].d[t * CHANNELS + c] * (k->silu ? z / (1 + exp(-z)) : z);
        }
    return sum;
}

static void run(const mn_compute *c, void *arg) {
    conv_case *k = arg;
    mn_error err;
    mn_causal_conv conv = {TAPS, CHANNELS, k->x[WEIGHTS].f, k->has_bias ? k->x[BIAS].f : NULL, k->silu};
    mn_causal_conv_grad g = {k->x[D_OUT].f, k->x[X].f, CHANNELS,    STRIDE,
                             k->n_rows,     k->out.x,  k->out.taps, k->has_bias ? k->out.bias : NULL};
    memset(&k->out, 0, sizeof k->out);
    assert_ok(mn_causal_conv_backward(c, &conv, &g, &err), err);
}

static void check(const mn_compute *c, void *arg) {
    conv_case *k = arg;
    (void)c;
    gradient_check("d_x", value, k, k->x[X].d, k->out.x, (size_t)(k->n_rows * STRIDE), 150, 3e-6);
    gradient_check("d_taps", value, k, k->x[WEIGHTS].d, k->out.taps, TAPS * CHANNELS, 0, 3e-6);
    if (k->has_bias) gradient_check("d_bias", value, k, k->x[BIAS].d, k->out.bias, CHANNELS, 0, 3e-6);
}

static void convolutions(void **state) {
    static const int sizes[] = {ROWS * STRIDE, TAPS * CHANNELS, CHANNELS, ROWS * CHANNELS};
    (void)state;
    for (int variant = 0; variant < 8; variant++) {
        static conv_case k;
        k = (conv_case){.silu = variant & 1, .has_bias = variant & 2, .n_rows = variant & 4 ? 2 : ROWS};
        for (int i = 0; i < N_OPERANDS; i++) k.x[i] = gradient_operand_create((size_t)sizes[i], 1, (uint64_t)i + 1);
        gradient_for_levels(run, &k, &k.out, sizeof k.out, false, check);
        for (int i = 0; i < N_OPERANDS; i++) gradient_operand_free(&k.x[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(convolutions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
