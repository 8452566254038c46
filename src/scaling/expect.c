/* What the laws say of a model that is there already. */
#include <mnemo/scaling.h>

double mn_scaling_train_flops_per_token(const mn_scaling_model *model) {
    double multiplied = model->params - model->params_embedding + model->output_params;
    return 6 * multiplied + 3.0 * (double)model->n_layers * (double)model->n_ctx * (double)model->attention_width;
}

void mn_scaling_expect(const mn_scaling_law *law, const mn_scaling_model *model, mn_scaling_point *best,
                       double *floor) {
    double params = model->params - (law->family == MN_SCALING_KAPLAN ? model->params_embedding : 0);
    mn_scaling_optimal_for_params(law, params, best);
    *floor = mn_scaling_loss_of_params(law, params);
}
