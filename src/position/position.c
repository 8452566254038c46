/* The schemes by name, and the way from a model's figures to a table of frequencies. */
#include "position/schemes.h"

#include "base/checked.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef struct scheme {
    const char *name;
    mn_rope_scheme_fn *apply; /* NULL: plain RoPE */
    bool needs_window;        /* the trained window is in its formula */
    mn_technique about;
} scheme;

static const char rope_test[] = "tests/position/rope_test.c";

static const scheme schemes[MN_ROPE_SCALING_COUNT] = {
    [MN_ROPE_NONE] = {"none",
                      NULL,
                      false,
                      {"RoPE", "Su et al. 2021 (arXiv:2104.09864)", "--rope-scaling none", "src/position/rope.c",
                       rope_test, true, MN_TRAINING_DONE}},
    [MN_ROPE_LINEAR] = {"linear",
                        mn_rope_pi,
                        false,
                        {"position interpolation", "Chen et al. 2023 (arXiv:2306.15595)", "--rope-scaling linear",
                         "src/position/pi.c", rope_test, false, MN_TRAINING_NEEDED}},
    [MN_ROPE_NTK] = {"ntk",
                     mn_rope_ntk,
                     false,
                     {"NTK-aware RoPE", "bloc97 2023; Peng et al. 2023 (arXiv:2309.00071)", "--rope-scaling ntk",
                      "src/position/ntk.c", rope_test, false, MN_TRAINING_FREE}},
    [MN_ROPE_DYNAMIC] = {"dynamic",
                         mn_rope_dynamic_ntk,
                         true,
                         {"dynamic NTK", "emozilla 2023; Peng et al. 2023 (arXiv:2309.00071)", "--rope-scaling dynamic",
                          "src/position/ntk.c", rope_test, false, MN_TRAINING_FREE}},
    [MN_ROPE_NTK_PARTS] = {"ntk-parts",
                           mn_rope_ntk_parts,
                           true,
                           {"NTK-by-parts", "Peng et al. 2023 (arXiv:2309.00071)", "--rope-scaling ntk-parts",
                            "src/position/ntk_parts.c", rope_test, false, MN_TRAINING_HELPS}},
    [MN_ROPE_YARN] = {"yarn",
                      mn_rope_yarn,
                      true,
                      {"YaRN", "Peng et al. 2023 (arXiv:2309.00071)", "--rope-scaling yarn", "src/position/yarn.c",
                       rope_test, false, MN_TRAINING_HELPS}},
    [MN_ROPE_LONGROPE] = {"longrope",
                          mn_rope_longrope,
                          true,
                          {"LongRoPE", "Ding et al. 2024 (arXiv:2402.13753)", "--rope-scaling longrope",
                           "src/position/longrope.c", rope_test, false, MN_TRAINING_DONE}},
    [MN_ROPE_LLAMA3] = {"llama3",
                        mn_rope_llama3,
                        true,
                        {"Llama 3 scaling", "Meta 2024 (arXiv:2407.21783)", "--rope-scaling llama3",
                         "src/position/llama3.c", rope_test, false, MN_TRAINING_DONE}},
};

int mn_rope_scaling_find(const char *name) {
    for (int i = 0; i < MN_ROPE_SCALING_COUNT; i++)
        if (!strcmp(schemes[i].name, name)) return i;
    return -1;
}

const char *mn_rope_scaling_name(mn_rope_scaling scaling) { return schemes[scaling].name; }

const mn_technique *mn_rope_scaling_about(mn_rope_scaling scaling) { return &schemes[scaling].about; }

static mn_status check_shape(const mn_rope_spec *spec, mn_error *err) {
    if (spec->n_rot < 2 || spec->n_rot % 2 || spec->n_rot > 2 * MN_MAX_ROT_PAIRS)
        return mn_fail(err, MN_ERR_ARGUMENT, "%d dimensions cannot be rotated: RoPE takes an even number from 2 to %d.",
                       spec->n_rot, 2 * MN_MAX_ROT_PAIRS);
    if (!(spec->freq_base > 1) || !isfinite(spec->freq_base))
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "a RoPE frequency base of %g gives no wavelengths: give one above 1 (most models: 10000 or "
                       "more).",
                       spec->freq_base);
    return MN_OK;
}

static mn_status check_scaling(const mn_rope_spec *spec, const scheme *s, int64_t n_ctx, mn_error *err) {
    if (spec->factor != 0 && !(spec->factor >= 1 && isfinite(spec->factor)))
        return mn_fail(err, MN_ERR_ARGUMENT, "a RoPE scaling factor of %g would shrink the window: give 1 or more.",
                       spec->factor);
    if (n_ctx < 1)
        return mn_fail(err, MN_ERR_ARGUMENT, "a window of %lld tokens holds nothing: give 1 or more.",
                       (long long)n_ctx);
    if ((s->needs_window || spec->factor == 0) && spec->original_ctx < 2)
        return mn_fail_with(err, MN_ERR_ARGUMENT, MN_REMEDIES({MN_REMEDY_ORIGINAL_CTX, 0}),
                            "RoPE scaling %s needs the window the model was trained for, and has %lld; name it.",
                            s->name, (long long)spec->original_ctx);
    return MN_OK;
}

mn_status mn_rope_init(const mn_rope_spec *spec, int64_t n_ctx, mn_rope_table *out, mn_error *err) {
    const scheme *s = &schemes[spec->scaling];
    MN_TRY(check_shape(spec, err));
    mn_rope_plain(spec, out);
    out->scale = spec->attn_factor > 0 ? spec->attn_factor : 1;
    out->factor = 1;
    if (spec->factors) MN_TRY(mn_rope_divide(out, spec->factors, "rope_freqs.weight", err));
    if (!s->apply) return MN_OK;
    MN_TRY(check_scaling(spec, s, n_ctx, err));
    out->factor = spec->factor > 0 ? spec->factor : MN_MAX(1, (double)n_ctx / (double)spec->original_ctx);
    return s->apply(spec, n_ctx, out, err);
}
