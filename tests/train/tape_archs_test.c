/* Every architecture that `init` makes a random model of: the gradient of all its weights along one random direction
 * against differences of the loss, and layers run again give the same bits; or a sentence that says why not. What each
 * tensor's gradient is worth by itself: tape_test.c, tape_families_test.c. */
#include "support/support.h"
#include "support/tape_case.h"

#include "model/gguf_random.h"
#include "model/random_family.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* All experts are in use, since a choice of them jumps. */
static const char *make(const char *arch) {
    static char path[600];
    const mn_random_family *family = mn_random_family_find(arch);
    mn_gguf *vocab;
    mn_error err;
    mn_random_summary summary;
    mn_random_model m = {.arch = arch,
                         .n_layers = 4,
                         .n_embd = 32,
                         .n_heads = 2,
                         .n_kv_heads = 1,
                         .head_dim = 16,
                         .n_ff = 32,
                         .n_ctx = 64,
                         .n_experts = family && family->routed ? 2 : 0,
                         .n_experts_used = family && family->routed ? 2 : 0,
                         .rope_base = 1e4,
                         .seed = 3};
    snprintf(path, sizeof path, "%s", temp_path("arch.gguf"));
    assert_ok(mn_gguf_open(MNEMO_SOURCE_DIR "/models/default.gguf", &vocab, &err), err);
    mn_status status = mn_random_model_write(&m, vocab, path, &(mn_make_params){.type = MN_F32}, &summary, &err);
    if (status != MN_OK) fail_msg("%s: %s", arch, err.text);
    mn_gguf_close(vocab);
    return path;
}

/* The i-th tensor's size, and a direction of it; the caller frees. */
static float *direction_of(const mn_parameter *p, int64_t i, double *size) {
    int64_t n = p->n_in * p->n_out;
    float *direction = malloc((size_t)n * sizeof *direction);
    double square = 0;
    for (int64_t k = 0; k < n; k++) square += (double)p->weights[k] * p->weights[k];
    *size = sqrt(square / (double)n + 1e-3);
    fill_normal(direction, (size_t)n, 91 + (uint64_t)i);
    return direction;
}

/* All weights moved by so many steps along it; or the gradient along it. */
static double walk(tape_case *f, double steps, bool moves) {
    double sum = 0;
    for (int64_t i = 0; i < f->parameters.n_items; i++) {
        const mn_parameter *p = &f->parameters.items[i];
        double size;
        if (p->frozen) continue;
        float *direction = direction_of(p, i, &size);
        for (int64_t k = 0; k < p->n_in * p->n_out; k++) {
            sum += size * (double)direction[k] * p->gradients[k];
            if (moves) p->weights[k] = (float)(p->weights[k] + steps * size * (double)direction[k]);
        }
        free(direction);
    }
    return sum;
}

/* Files are mapped privately: each step of the differences opens the model anew. */
static double score_at(const char *path, double steps) {
    tape_case f;
    tape_open(&f, path, NULL, 1);
    walk(&f, steps, true);
    double loss = tape_score(&f);
    tape_close(&f);
    return loss;
}

static void check(const char *arch, double width) {
    const char *path = make(arch);
    tape_case f;
    double at[4];
    tape_open(&f, path, NULL, 1);
    double loss = tape_differentiate(&f, false), got = walk(&f, 0, false);
    size_t bytes = f.parameters.map.bytes;
    char *kept = memcpy(malloc(bytes), f.parameters.gradients, bytes);
    assert_true(tape_differentiate(&f, true) == loss);
    if (memcmp(kept, f.parameters.gradients, bytes)) fail_msg("%s: layers run again give other bits", arch);
    free(kept);
    tape_close(&f);
    for (int k = 0; k < 4; k++) at[k] = score_at(path, width * (k < 2 ? k - 2 : k - 1)); /* -2, -1, 1, 2 */
    double wanted = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * width), noise = 1e-7 * loss / width;
    if (fabs(got - wanted) > 3e-3 * fabs(wanted) + noise)
        fail_msg("%s: %.6g along a direction, %.6g by differences (noise %.2g)", arch, got, wanted, noise);
}

/* An encoder has no next token to learn from. */
static void check_refused(const char *arch) {
    mn_train_config config;
    mn_parameters parameters;
    mn_error err;
    mn_train_config_init(&config);
    assert_int_equal(mn_parameters_open(make(arch), &config, &parameters, &err), MN_ERR_UNSUPPORTED);
    if (!strstr(err.text, ", which are not trained here")) fail_msg("%s: %s", arch, err.text);
    mn_train_config_release(&config);
}

static void every_architecture(void **state) {
    (void)state;
    char arch[MN_ARCH_BYTES];
    int n_trained = 0, n_refused = 0;
    for (const char *p = mn_random_archs(); *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        snprintf(arch, sizeof arch, "%.*s", (int)n, p);
        p += n;
        bool refused = strstr(arch, "bert");
        if (refused)
            check_refused(arch);
        else
            check(arch, 5e-4);
        n_refused += refused;
        n_trained += !refused;
    }
    assert_int_equal(n_refused, 2);
    assert_true(n_trained >= 44);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_architecture)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
