/* Scaling laws: published and golden values, inverses that agree with the forward, the best split against a search. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <mnemo/scaling.h>

static void assert_near(double got, double want, double rtol, const char *what) {
    if (!(fabs(got - want) <= rtol * fabs(want))) fail_msg("%s is %.12g, wanted %.12g", what, got, want);
}

static mn_scaling_law law_named(const char *name) {
    mn_scaling_law law;
    mn_error err;
    assert_ok(mn_scaling_law_find(name, &law, &err), err);
    assert_string_equal(law.name, name);
    return law;
}

static void kaplan_golden(void **state) {
    (void)state;
    mn_scaling_law law = law_named("kaplan");
    assert_near(mn_scaling_loss_of_params(&law, 1.5e9), 2.303550552, 1e-9, "L(N)");
    assert_near(mn_scaling_loss_of_tokens(&law, 22e9), 2.099168267, 1e-9, "L(D)");
    assert_near(mn_scaling_loss(&law, 1.5e9, 22e9), 2.312548483, 1e-9, "L(N,D)");
    assert_near(mn_scaling_loss(&law, 85e6, 10e9), 2.819681955, 1e-9, "L(N,D)");
    assert_near(mn_scaling_loss(&law, 1.5e9, INFINITY), 2.248468162, 1e-9, "joint L(N)");
    assert_near(mn_kaplan_loss_of_flops_min(MN_PF_DAY_FLOPS), 2.658080226, 1e-9, "L(C_min)");
    assert_near(mn_kaplan_loss_of_flops(MN_PF_DAY_FLOPS), 2.574155860, 1e-9, "L(C)");
    assert_near(mn_kaplan_flops_min_of_loss(2.658080226), MN_PF_DAY_FLOPS, 1e-8, "C_min(L)");
    mn_kaplan_plan plan;
    mn_kaplan_optimal(10 * MN_PF_DAY_FLOPS, &plan);
    assert_near(plan.params, 6.981413353e9, 1e-9, "N_opt");
    assert_near(plan.tokens, 3.724174273e10, 1e-9, "D_opt");
}

/* Figures that follow from the formulas by hand. */
static void kaplan_others(void **state) {
    (void)state;
    assert_near(mn_kaplan_critical_batch(1), 2e8, 1e-12, "B_crit(1)");
    assert_near(mn_kaplan_critical_batch(pow(2, 0.21)), 1e8, 1e-12, "B_crit");
    assert_near(mn_kaplan_steps_min(9000, 1e6, 2e6), 3000, 1e-12, "S_min");
    assert_near(mn_kaplan_flops_min(9e20, 1e6, 2e6), 6e20, 1e-12, "C_min");
    assert_near(mn_kaplan_loss_of_steps(6.5e13, 2.1e3), 2, 1e-12, "L(N,S_min)");
    assert_near(mn_kaplan_enough_tokens(1), 5e3, 1e-12, "enough tokens");
    mn_scaling_law law = law_named("kaplan");
    double ratio = mn_scaling_loss(&law, 1.5e9, 22e9) / mn_scaling_loss(&law, 1.5e9, INFINITY);
    assert_near(mn_kaplan_overfit(1.5e9, 22e9), ratio - 1, 1e-12, "overfit");
    /* "D >= 5e3 N^.74 keeps it near 0.02" is a rounded rule: the joint constants give 0.0210. */
    assert_near(mn_kaplan_overfit(1e9, mn_kaplan_enough_tokens(1e9)), 0.021, 0.01, "overfit at enough tokens");
}

static void parametric_golden(void **state) {
    (void)state;
    static const double cases[][5] = {
        {70e9, 1.4e12, 1.93665, 1.92085, 1.97342}, {70e9, 15e12, 1.85748, 1.85098, 1.92986},
        {7e9, 15e12, 1.95664, 1.95186, 2.02987},   {7.6e9, 7e12, 1.97158, 1.96429, 2.03489},
        {7e9, 2e12, 2.02030, 2.00798, 2.06424},    {1e9, 20e9, 2.58005, 2.53067, 2.52921}};
    static const char *const names[] = {"chinchilla", "chinchilla-exact", "besiroglu"};
    for (int law_index = 0; law_index < 3; law_index++) {
        mn_scaling_law law = law_named(names[law_index]);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            double got = mn_scaling_loss(&law, cases[i][0], cases[i][1]), want = cases[i][2 + law_index];
            if (fabs(got - want) > 0.5000001e-5) fail_msg("%s, row %zu: %.7f, wanted %.5f", law.name, i, got, want);
        }
    }
}

static void inverses_golden(void **state) {
    (void)state;
    mn_scaling_law law = law_named("chinchilla");
    mn_error err;
    double tokens;
    assert_ok(mn_scaling_tokens(&law, 7e9, 2.0, &tokens, &err), err);
    assert_near(tokens, 3.391975e12, 2e-7, "D(7e9, 2.0)");
    assert_ok(mn_scaling_tokens(&law, 7e9, 1.95, &tokens, &err), err);
    assert_near(tokens, 2.0128304e13, 3e-8, "D(7e9, 1.95)");
    assert_ok(mn_scaling_tokens(&law, 70e9, 1.86, &tokens, &err), err);
    assert_near(tokens, 1.34945982e13, 4e-9, "D(70e9, 1.86)");
    assert_int_equal(mn_scaling_tokens(&law, 7e9, 1.85, &tokens, &err), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "no number of tokens reaches it: the floor for this N is 1.87"));
    assert_int_equal(mn_scaling_params(&law, 1e9, 1.85, &tokens, &err), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "no number of parameters reaches it: the floor for this D is 2.93"));
}

static void forward_and_inverse_agree(void **state) {
    (void)state;
    for (int i = 0; mn_scaling_law_names[i]; i++) {
        mn_scaling_law law = law_named(mn_scaling_law_names[i]);
        for (double params = 1e6; params < 1e13; params *= 7)
            for (double tokens = 1e7; tokens < 1e15; tokens *= 11) {
                double loss = mn_scaling_loss(&law, params, tokens), back;
                mn_error err;
                assert_ok(mn_scaling_tokens(&law, params, loss, &back, &err), err);
                assert_near(mn_scaling_loss(&law, params, back), loss, 1e-12, "loss of inverted tokens");
                assert_ok(mn_scaling_params(&law, tokens, loss, &back, &err), err);
                assert_near(mn_scaling_loss(&law, back, tokens), loss, 1e-12, "loss of inverted params");
            }
    }
}

static void best_split_golden(void **state) {
    (void)state;
    static const struct {
        const char *law;
        double flops, params, tokens, loss;
    } cases[] = {{"chinchilla", 5.76e23, 3.2190e10, 2.9823e12, 1.930748},
                 {"chinchilla-exact", 5.76e23, 4.0361e10, 2.3785e12, 0},
                 {"besiroglu", 5.76e23, 7.2353e10, 1.3268e12, 1.973973},
                 {"chinchilla", 1e21, 1.8242e9, 9.1363e10, 2.328883},
                 {"besiroglu", 1e21, 2.7820e9, 5.9909e10, 2.304837}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_scaling_law law = law_named(cases[i].law);
        mn_scaling_point point, same;
        mn_scaling_optimal(&law, cases[i].flops, &point);
        assert_near(point.params, cases[i].params, 4e-5, "N_opt");
        assert_near(point.tokens, cases[i].tokens, 4e-5, "D_opt");
        if (cases[i].loss) assert_near(point.loss, cases[i].loss, 3e-7, "L_opt");
        assert_near(6 * point.params * point.tokens, cases[i].flops, 1e-12, "6ND");
        for (double factor = 0.9; factor < 1.2; factor += 0.2)
            assert_true(mn_scaling_loss(&law, point.params * factor, point.tokens / factor) > point.loss);
        mn_scaling_optimal_for_params(&law, point.params, &same);
        assert_near(same.flops, cases[i].flops, 1e-11, "budget for this size");
    }
}

static void cheapest_golden(void **state) {
    (void)state;
    mn_scaling_law law = law_named("chinchilla");
    mn_scaling_point point, same;
    mn_error err;
    assert_ok(mn_scaling_cheapest(&law, 2.0, &point, &err), err);
    assert_near(point.params, 1.530317e10, 4e-7, "N");
    assert_near(point.tokens, 1.208964e12, 4e-7, "D");
    assert_near(point.flops, 1.110059e23, 6e-7, "C");
    mn_scaling_optimal(&law, point.flops, &same);
    assert_near(same.params, point.params, 1e-12, "N by either way");
    assert_near(same.loss, 2.0, 1e-12, "loss by either way");
    assert_ok(mn_scaling_cheapest(&law, 2.5, &point, &err), err);
    assert_near(point.params, 9.07712e8, 1e-6, "N");
    assert_near(point.flops, 2.131997e20, 4e-7, "C");
    law = law_named("besiroglu-exact");
    assert_ok(mn_scaling_cheapest(&law, 2.0, &point, &err), err);
    assert_near(point.params, 4.655766e10, 4e-7, "N");
    assert_near(point.tokens, 8.724697e11, 4e-7, "D");
    assert_near(point.flops, 2.437209e23, 4e-7, "C");
    assert_int_equal(mn_scaling_cheapest(&law, 1.8, &point, &err), MN_ERR_LIMIT);
    assert_non_null(strstr(err.text, "1.81686 nats"));
    law = law_named("kaplan");
    assert_ok(mn_scaling_cheapest(&law, 2.5, &point, &err), err);
    assert_near(mn_kaplan_loss_of_flops_min(point.flops), 2.5, 1e-12, "L(C_min)");
}

/* Table 3 of the paper for approach 1, table A3 for approach 2: FLOP and tokens for a size. The paper's own rows
 * multiply to 6 N D only within 5 percent. */
static void chinchilla_tables(void **state) {
    (void)state;
    static const double approach_1[][3] = {{400e6, 1.92e19, 8.0e9}, {1e9, 1.21e20, 20.2e9},   {10e9, 1.23e22, 205.1e9},
                                           {67e9, 5.76e23, 1.5e12}, {175e9, 3.85e24, 3.7e12}, {1e12, 1.27e26, 21.2e12}};
    static const double approach_2[][3] = {{400e6, 1.84e19, 7.7e9}, {10e9, 1.32e22, 219.5e9}, {1e12, 1.59e26, 26.5e12}};
    mn_scaling_point point;
    for (size_t i = 0; i < sizeof approach_1 / sizeof *approach_1; i++) {
        mn_chinchilla_approach(1, approach_1[i][1], &point);
        assert_near(point.params, approach_1[i][0], 0.03, "N, approach 1");
        assert_near(point.tokens, approach_1[i][2], 0.07, "D, approach 1");
    }
    for (size_t i = 0; i < sizeof approach_2 / sizeof *approach_2; i++) {
        mn_chinchilla_approach(2, approach_2[i][1], &point);
        assert_near(point.params, approach_2[i][0], 0.03, "N, approach 2");
        assert_near(point.tokens, approach_2[i][2], 0.07, "D, approach 2");
    }
}

/* A model of 12 layers of width 768 (GPT-2's shape), by hand. */
static void expectations(void **state) {
    (void)state;
    mn_scaling_model model = {.params = 124e6,
                              .params_embedding = 39e6,
                              .output_params = 38.6e6,
                              .n_layers = 12,
                              .n_ctx = 1024,
                              .attention_width = 12 * 128};
    double flops = 6 * 123.6e6 + 3.0 * 12 * 1024 * 1536;
    assert_near(mn_scaling_train_flops_per_token(&model), flops, 1e-12, "FLOP per token");
    mn_scaling_point best, want;
    double floor;
    mn_scaling_law law = law_named("chinchilla");
    mn_scaling_expect(&law, &model, &best, &floor);
    mn_scaling_optimal_for_params(&law, 124e6, &want);
    assert_near(best.tokens, want.tokens, 1e-12, "tokens by all parameters");
    assert_near(floor, mn_scaling_loss(&law, 124e6, INFINITY), 1e-12, "floor");
    law = law_named("kaplan");
    mn_scaling_expect(&law, &model, &best, &floor);
    assert_near(best.params, 85e6, 1e-12, "Kaplan counts no embeddings");
    assert_near(floor, mn_kaplan_loss_of_params(85e6), 1e-12, "floor");
}

static void unknown_law(void **state) {
    (void)state;
    mn_scaling_law law;
    mn_error err;
    assert_int_equal(mn_scaling_law_find("hoffman", &law, &err), MN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "\"hoffman\""));
    assert_non_null(strstr(err.text, "chinchilla-exact"));
}

static void accelerators(void **state) {
    (void)state;
    assert_near(mn_accelerator_find("a100")->bf16_flops, 312e12, 0, "a100");
    assert_null(mn_accelerator_find("a1000"));
    for (const mn_accelerator *a = mn_accelerators; a->name; a++) assert_ptr_equal(mn_accelerator_find(a->name), a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(kaplan_golden),     cmocka_unit_test(kaplan_others),
                                       cmocka_unit_test(parametric_golden), cmocka_unit_test(inverses_golden),
                                       cmocka_unit_test(best_split_golden), cmocka_unit_test(forward_and_inverse_agree),
                                       cmocka_unit_test(cheapest_golden),   cmocka_unit_test(chinchilla_tables),
                                       cmocka_unit_test(expectations),      cmocka_unit_test(unknown_law),
                                       cmocka_unit_test(accelerators)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
