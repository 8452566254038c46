/* mnemo info --rope: how far each pair of dimensions reaches, under each scheme, for the window asked for. */
#include "cli/info_rope.h"

#include "cli/json_text.h"
#include "cli/table.h"
#include "cli/terminal.h"

#include "base/checked.h"
#include "base/svg.h"
#include "model/config.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct comparison {
    mn_rope_spec spec; /* the model's, for its divisors and trained window */
    int64_t n_ctx;
    mn_rope_table tables[MN_ROPE_SCALING_COUNT];
    bool known[MN_ROPE_SCALING_COUNT]; /* LongRoPE only with the model's factors */
} comparison;

/* Tokens until the pair has turned once. */
static double wavelength(const mn_rope_table *table, int pair) { return 2 * M_PI / table->freq[pair]; }

/* The divisors of a pair, where the file has them in a form that can be read as it lies. */
static const float *find_divisors(const mn_gguf *gguf, const char *name, int n_rot) {
    const mn_tensor *t = mn_gguf_tensor(gguf, name);
    return t && t->type == MN_F32 && t->ne[0] == n_rot / 2 ? t->data : NULL;
}

static mn_status read_spec(const mn_gguf *gguf, mn_rope_spec *spec, int64_t *n_ctx, mn_error *err) {
    mn_config config;
    MN_TRY(mn_config_read(gguf, &config, err));
    if (config.rope_style == MN_ROPE_STYLE_NONE)
        return mn_fail(err, MN_ERR_UNSUPPORTED, "%s: architecture %s has no RoPE; there are no wavelengths to show.",
                       mn_gguf_path(gguf), config.arch);
    *spec = config.rope;
    spec->factors = find_divisors(gguf, "rope_freqs.weight", spec->n_rot);
    spec->factors_long = find_divisors(gguf, "rope_factors_long.weight", spec->n_rot);
    spec->factors_short = find_divisors(gguf, "rope_factors_short.weight", spec->n_rot);
    if (*n_ctx == 0) *n_ctx = config.n_ctx_train > spec->original_ctx ? config.n_ctx_train : 4 * spec->original_ctx;
    return MN_OK;
}

static mn_status compare(comparison *c, mn_error *err) {
    for (int i = 0; i < MN_ROPE_SCALING_COUNT; i++) {
        mn_rope_spec spec = c->spec;
        spec.scaling = (mn_rope_scaling)i;
        spec.factor = 0; /* that of the window asked for */
        if (spec.scaling != c->spec.scaling) spec.attn_factor = 0;
        if (i == MN_ROPE_LONGROPE && !(spec.factors_long && spec.factors_short)) continue;
        MN_TRY(mn_rope_init(&spec, c->n_ctx, &c->tables[i], err));
        c->known[i] = true;
    }
    return MN_OK;
}

static void print_table(const comparison *c) {
    const char *titles[MN_ROPE_SCALING_COUNT + 2] = {"pair"};
    int n = 1;
    mn_table table;
    mn_print_line(stdout, 2, "window %lld, trained %lld, factor %.6g", (long long)c->n_ctx,
                  (long long)c->spec.original_ctx, c->tables[MN_ROPE_LINEAR].factor);
    mn_print_line(stdout, 2, "wavelength in tokens (* longer than the trained window)");
    for (int i = 0; i < MN_ROPE_SCALING_COUNT; i++)
        if (c->known[i]) titles[n++] = mn_rope_scaling_name((mn_rope_scaling)i);
    mn_table_begin(&table, titles, 0);
    for (int pair = 0; pair < c->spec.n_rot / 2; pair++) {
        mn_table_add(&table, "%d", pair);
        for (int i = 0; i < MN_ROPE_SCALING_COUNT; i++) {
            if (!c->known[i]) continue;
            double length = wavelength(&c->tables[i], pair);
            mn_table_add(&table, "%.1f%c", length, length > (double)c->spec.original_ctx ? '*' : ' ');
        }
    }
    mn_table_add(&table, "scale");
    for (int i = 0; i < MN_ROPE_SCALING_COUNT; i++)
        if (c->known[i]) mn_table_add(&table, "%.6f ", c->tables[i].scale);
    mn_table_end(&table, stdout);
}

static void print_json(const comparison *c) {
    json_t *schemes = json_object();
    for (int i = 0; i < MN_ROPE_SCALING_COUNT; i++) {
        if (!c->known[i]) continue;
        json_t *lengths = json_array();
        for (int pair = 0; pair < c->spec.n_rot / 2; pair++)
            json_array_append_new(lengths, mn_json_real(wavelength(&c->tables[i], pair)));
        json_object_set_new(schemes, mn_rope_scaling_name((mn_rope_scaling)i),
                            json_pack("{s:f,s:f,s:o}", "factor", c->tables[i].factor, "scale", c->tables[i].scale,
                                      "wavelength_tokens", lengths));
    }
    json_t *root = json_pack("{s:I,s:I,s:i,s:f,s:s,s:o}", "n_ctx", (json_int_t)c->n_ctx, "original_ctx",
                             (json_int_t)c->spec.original_ctx, "n_rot", c->spec.n_rot, "freq_base", c->spec.freq_base,
                             "model_scaling", mn_rope_scaling_name(c->spec.scaling), "schemes", schemes);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

/* "ntk, dynamic": all schemes whose frequencies are those of scheme i, in label; empty when an earlier one has them. */
static void name_line(const comparison *c, int i, char label[64]) {
    size_t used = 0;
    label[0] = '\0';
    for (int k = 0; k < MN_ROPE_SCALING_COUNT; k++) {
        size_t bytes = (size_t)(c->spec.n_rot / 2) * sizeof(double);
        if (!c->known[k] || memcmp(c->tables[k].freq, c->tables[i].freq, bytes)) continue;
        if (k < i) return;
        used += (size_t)snprintf(label + used, 64 - used, "%s%s", used ? ", " : "",
                                 mn_rope_scaling_name((mn_rope_scaling)k));
    }
}

static mn_status draw(const comparison *c, const char *path, mn_error *err) {
    double pairs[MN_MAX_ROT_PAIRS], lengths[MN_MAX_ROT_PAIRS];
    int n = c->spec.n_rot / 2;
    double ends[] = {0, MN_MAX(1, n - 1)}, trained[] = {(double)c->spec.original_ctx, (double)c->spec.original_ctx};
    double asked[] = {(double)c->n_ctx, (double)c->n_ctx};
    mn_svg svg;
    mn_svg_begin(&svg, "Wavelength of each pair of dimensions",
                 (mn_svg_axis){.label = "pair", .min = 0, .max = ends[1]},
                 (mn_svg_axis){.label = "tokens per turn", .min = 1, .max = trained[0], .log = true});
    mn_svg_axis_include(&svg.y, asked, 1);
    for (int i = 0; i < MN_ROPE_SCALING_COUNT; i++)
        for (int pair = 0; c->known[i] && pair < n; pair++) {
            double length = wavelength(&c->tables[i], pair);
            mn_svg_axis_include(&svg.y, &length, 1);
        }
    for (int i = 0; i < MN_ROPE_SCALING_COUNT; i++) {
        char label[64] = "";
        if (c->known[i]) name_line(c, i, label);
        if (!label[0]) continue;
        for (int pair = 0; pair < n; pair++) pairs[pair] = pair, lengths[pair] = wavelength(&c->tables[i], pair);
        mn_svg_line(&svg, i, label, pairs, lengths, (size_t)n);
    }
    mn_svg_dashes(&svg, MN_SVG_INK, NULL, ends, trained, 2);
    mn_svg_dashes(&svg, MN_SVG_INK, NULL, ends, asked, 2);
    mn_svg_note(&svg, MN_SVG_END, ends[1], trained[0], "trained window");
    mn_svg_note(&svg, MN_SVG_END, ends[1], asked[0], "window asked for");
    return mn_svg_write(&svg, path, err);
}

mn_status mn_info_rope(const mn_gguf *gguf, const mn_info_rope_args *args, mn_error *err) {
    comparison c = {.n_ctx = args->n_ctx};
    MN_TRY(read_spec(gguf, &c.spec, &c.n_ctx, err));
    MN_TRY(compare(&c, err));
    if (args->svg) MN_TRY(draw(&c, args->svg, err));
    if (args->json)
        print_json(&c);
    else
        print_table(&c);
    return MN_OK;
}
