/* Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models", arXiv 2203.15556: Chinchilla.
 *
 * The paper finds the best size for a budget in three ways. The text rounds the constants of the third, and that is not
 * harmless: at 5.76e23 FLOP the rounded ones ask for 93 tokens per parameter, the unrounded ones for 59.
 */
#include "scaling/scaling.h"

#include <math.h>

mn_scaling_law mn_chinchilla_law(void) {
    return (mn_scaling_law){.name = "chinchilla",
                            .E = 1.69,
                            .A = 406.4,
                            .B = 410.7,
                            .alpha = 0.34,
                            .beta = 0.28,
                            .gamma = 1,
                            .counts = "all parameters"};
}

/* As they stand in the source of the paper, where logarithms were fitted. */
mn_scaling_law mn_chinchilla_exact_law(void) {
    return (mn_scaling_law){.name = "chinchilla-exact",
                            .E = exp(0.5267228),
                            .A = exp(6.0073404),
                            .B = exp(6.0179186),
                            .alpha = 0.33917084,
                            .beta = 0.2849083,
                            .gamma = 1,
                            .counts = "all parameters"};
}

void mn_chinchilla_approach(int approach, double flops, mn_scaling_point *out) {
    /* Exponents from table 2; the scale from the row of 10 billion parameters in tables 3 and A3. */
    double exponent = approach == 1 ? 0.50 : 0.49, flops_for_10b = approach == 1 ? 1.23e22 : 1.32e22;
    double params = 10e9 * pow(flops / flops_for_10b, exponent);
    *out = (mn_scaling_point){.params = params, .tokens = flops / (6 * params), .flops = flops, .loss = NAN};
}
