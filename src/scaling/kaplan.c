/* Kaplan et al. 2020, "Scaling Laws for Neural Language Models", arXiv 2001.08361. N counts no embeddings.
 *
 * The constants of the joint fit (equation 1.5, table 2) are not those of the fits in one variable (equations 1.1 to
 * 1.3): N_c is 6.4e13 in one and 8.8e13 in the other. They must not be mixed.
 */
#include "scaling/scaling.h"

#include <math.h>

static const double joint_alpha_n = 0.076, joint_alpha_d = 0.103, joint_n_c = 6.4e13, joint_d_c = 1.8e13;

/* L(N, D) = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D */
mn_scaling_law mn_kaplan_law(void) {
    double alpha = joint_alpha_n / joint_alpha_d;
    return (mn_scaling_law){.name = "kaplan",
                            .family = MN_SCALING_KAPLAN,
                            .E = 0,
                            .A = pow(joint_n_c, alpha),
                            .B = joint_d_c,
                            .alpha = alpha,
                            .beta = 1,
                            .gamma = joint_alpha_d,
                            .counts = "non-embedding parameters"};
}

double mn_kaplan_loss_of_params(double params) { return pow(8.8e13 / params, 0.076); }

double mn_kaplan_loss_of_tokens(double tokens) { return pow(5.4e13 / tokens, 0.095); }

double mn_kaplan_loss_of_flops(double flops) { return pow(1.6e7 * MN_PF_DAY_FLOPS / flops, 0.057); }

double mn_kaplan_loss_of_flops_min(double flops_min) { return pow(3.1e8 * MN_PF_DAY_FLOPS / flops_min, 0.050); }

double mn_kaplan_flops_min_of_loss(double loss) { return 3.1e8 * MN_PF_DAY_FLOPS / pow(loss, 1 / 0.050); }

double mn_kaplan_loss_of_steps(double params, double steps_min) {
    return pow(6.5e13 / params, 0.077) + pow(2.1e3 / steps_min, 0.76);
}

double mn_kaplan_critical_batch(double loss) { return 2e8 / pow(loss, 1 / 0.21); }

double mn_kaplan_steps_min(double steps, double batch_tokens, double critical_batch_tokens) {
    return steps / (1 + critical_batch_tokens / batch_tokens);
}

double mn_kaplan_flops_min(double flops, double batch_tokens, double critical_batch_tokens) {
    return flops / (1 + batch_tokens / critical_batch_tokens);
}

double mn_kaplan_enough_tokens(double params) { return 5e3 * pow(params, 0.74); }

double mn_kaplan_overfit(double params, double tokens) {
    double size_over_text = pow(params / joint_n_c, joint_alpha_n / joint_alpha_d) * joint_d_c / tokens;
    return expm1(joint_alpha_d * log1p(size_over_text));
}

void mn_kaplan_optimal(double flops_min, mn_kaplan_plan *out) {
    double pf_days = flops_min / MN_PF_DAY_FLOPS;
    *out = (mn_kaplan_plan){.params = 1.3e9 * pow(pf_days, 0.73),
                            .batch_tokens = 2.0e6 * pow(pf_days, 0.24),
                            .steps_min = 5.4e3 * pow(pf_days, 0.03),
                            .tokens = 2e10 * pow(pf_days, 0.27),
                            .loss = mn_kaplan_loss_of_flops_min(flops_min)};
}
