#include "cli/info_scaling.h"

#include "cli/info_summary.h"
#include "cli/scaling.h"

#include <stdio.h>

/* The laws info asks: the ones whose constants were not rounded away. */
static const char *const asked[] = {"kaplan", "chinchilla-exact", "besiroglu-exact"};

/* Sizes of the models the laws of 2022 and 2024 were fitted to. */
static const double smallest_fitted = 57e6, largest_fitted = 16e9;

enum { N_ASKED = sizeof asked / sizeof *asked };

/* False where the file does not state the figures, or states impossible ones. */
static bool model_of(const mn_model_facts *f, mn_scaling_model *out) {
    int64_t n_embedding = f->n_params_embedding, width;
    if (__builtin_add_overflow(f->head_dim_k, f->head_dim_v, &width) ||
        __builtin_mul_overflow(width, f->n_heads, &width))
        return false;
    int64_t n_vocab = f->n_vocab > 0 ? f->n_vocab : f->n_tokens;
    *out = (mn_scaling_model){.params = (double)f->n_params_active,
                              .params_embedding = (double)n_embedding,
                              .output_params = (double)f->n_embd * (double)n_vocab,
                              .n_layers = f->n_layers,
                              .n_ctx = f->n_ctx,
                              .attention_width = width};
    bool stated = f->n_layers > 0 && f->n_ctx > 0 && f->n_embd > 0 && n_vocab > 0 && f->n_heads > 0;
    return stated && f->head_dim_k > 0 && f->head_dim_v > 0 && f->n_params_active > n_embedding;
}

static void ask(int index, const mn_scaling_model *model, mn_scaling_law *law, mn_scaling_point *best, double *floor) {
    mn_scaling_law_find(asked[index], law, NULL);
    mn_scaling_expect(law, model, best, floor);
}

void info_print_scaling(const mn_model_facts *facts) {
    mn_scaling_model model;
    if (!model_of(facts, &model)) return;
    info_print_fact("training", "%.4g FLOP per token within a context of %lld",
                    mn_scaling_train_flops_per_token(&model), (long long)model.n_ctx);
    for (int i = 0; i < N_ASKED; i++) {
        mn_scaling_law law;
        mn_scaling_point best;
        double floor;
        char tokens[32];
        ask(i, &model, &law, &best, &floor);
        info_print_fact(i ? "" : "scaling laws",
                        "%s: the best size for %s tokens, with a loss of %.3f; %.3f without end of text", law.name,
                        scaling_amount(best.tokens, tokens), best.loss, floor);
    }
    if (model.params < smallest_fitted || model.params > largest_fitted)
        info_print_fact("", "extrapolated: the laws were fitted to models of 57M to 16B parameters");
}

void info_put_scaling(json_t *object, const mn_model_facts *facts) {
    mn_scaling_model model;
    if (!model_of(facts, &model)) return;
    json_t *list = json_array();
    for (int i = 0; i < N_ASKED; i++) {
        mn_scaling_law law;
        mn_scaling_point best;
        double floor;
        ask(i, &model, &law, &best, &floor);
        json_t *item = json_pack("{s:s}", "law", law.name);
        scaling_put_point(item, &best);
        json_object_set_new(item, "floor", json_real(floor));
        json_object_set_new(item, "units", scaling_units(&law));
        json_array_append_new(list, item);
    }
    json_object_set_new(object, "train_flops_per_token", json_real(mn_scaling_train_flops_per_token(&model)));
    json_object_set_new(object, "scaling", list);
}
