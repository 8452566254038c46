/* The attention families of 2024 to 2026 against reference logits, at every level of instructions: what golden_test.c
 * does for the older ones. */
#include "support/golden.h"
#include "support/levels.h"

#include <math.h>
#include <stdlib.h>

/* Dense models first. Of the others, which have experts or many layers, a router's choice or the depth makes any
 * rounding of the fast arithmetic large: golden_test.c holds it to models with experts. */
static const char *const models[] = {
    "golden/tiny-glm4",          "golden/tiny-mistral3",   "golden/tiny-smollm3",    "golden/tiny-olmo2",
    "golden/tiny-olmo3",         "golden/tiny-cohere2",    "golden/tiny-exaone4",    "golden/tiny-phi4",
    "golden/tiny-granite",       "golden/tiny-gpt-oss",    "golden/tiny-glm4moe",    "golden/tiny-qwen2moe",
    "golden/tiny-exaone4-swa",   "golden/tiny-llama4",     "golden/tiny-mimo2",      "golden/tiny-granitemoe",
    "golden/tiny-minimax-m2",    "golden/tiny-step35",     "golden/tiny-starcoder2", "golden/tiny-gemma4",
    "golden/tiny-gemma4moe",     "golden/tiny-deepseek32", "golden/tiny-glm-dsa",    "golden/tiny-deepseek4",
    "golden/tiny-deepseek4@mid",
};
enum { N_MODELS = sizeof models / sizeof *models, N_DENSE = 9 };

/* The arithmetic that users run, with a cache of f16: these models are so narrow that whatever is rounded shows, to a
 * share of the deviation. (golden_test.c looks closer, at wider ones.) */
static void check_fast(const golden *g, const char *name, int level) {
    for (int32_t n_batch = 0; n_batch < 2; n_batch++) {
        float *rows = golden_compute(g, &(mn_engine_params){.n_threads = 2}, (mn_session_params){.n_batch = n_batch});
        double squares = 0;
        for (int64_t i = 0; i < g->n_rows * g->n_vocab; i++)
            squares += ((double)rows[i] - g->logits[i]) * ((double)rows[i] - g->logits[i]);
        double share = sqrt(squares / (double)(g->n_rows * g->n_vocab)) / g->std;
        if (!(share < 0.03))
            fail_msg("%s at %s: logits are off by %.3g of the deviation", name, mn_cpu_level_name((mn_cpu_level)level),
                     share);
        free(rows);
    }
}

int main(void) { return golden_run(&(golden_suite){models, N_MODELS, N_DENSE, check_fast}); }
