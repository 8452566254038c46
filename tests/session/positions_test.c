/* session/positions: windows that positions do not cover are refused or noted, whoever chose the scheme, and what is
 * named as a remedy works. */
#include "support/support.h"

#include <string.h>
#include <unistd.h>

#include "session/session.h"
#include "support/gguf_edit.h"

static mn_gguf *source;

static int open_source(void **state) {
    (void)state;
    source = gguf_small_llama(); /* made for 512 tokens */
    return 0;
}

static int close_source(void **state) {
    (void)state;
    mn_gguf_close(source);
    return 0;
}

static mn_engine *engine_of(const gguf_edit *edits, size_t n) {
    mn_engine *engine;
    mn_error err;
    char path[4096];
    snprintf(path, sizeof path, "%s", temp_path("positions.gguf"));
    gguf_edit_write(source, path, NULL, edits, n);
    assert_ok(mn_engine_open(path, &(mn_engine_params){.n_threads = 1}, &engine, &err), err);
    unlink(path);
    return engine;
}

/* A llama of 512 tokens, four times its trained 128 by YaRN. */
static mn_engine *yarn_engine(void) {
    const gguf_edit edits[] = {EDIT_TEXT("llama.rope.scaling.type", "yarn"), EDIT_F32("llama.rope.scaling.factor", 4),
                               EDIT_U32("llama.rope.scaling.original_context_length", 128)};
    return engine_of(edits, 3);
}

/* What opening says: the error's sentence, else the first note, else "". */
static const char *open_with(mn_engine *engine, int64_t n_ctx, mn_position_params positions, mn_error *err) {
    static char text[1024];
    mn_session *s = NULL;
    mn_session_params params = {.n_ctx = n_ctx, .position = positions};
    *err = (mn_error){0};
    mn_status status = mn_session_open(engine, &params, &s, err);
    const char *note = status == MN_OK ? mn_session_note(s, 0) : err->text;
    snprintf(text, sizeof text, "%s", note ? note : "");
    mn_session_close(s);
    return text;
}

static void assert_says(mn_engine *engine, int64_t n_ctx, mn_position_params positions, mn_status status,
                        const char *wanted) {
    mn_error err;
    const char *text = open_with(engine, n_ctx, positions, &err);
    if (err.status != status || (*wanted ? !strstr(text, wanted) : *text != 0))
        fail_msg("%lld: wanted %d \"%s\", got %d \"%s\"", (long long)n_ctx, status, wanted, err.status, text);
}

static void a_scheme_that_falls_short_names_its_factor(void **state) {
    (void)state;
    mn_engine *plain = engine_of(NULL, 0), *yarn = yarn_engine();
    mn_position_params none = {.rope_scaling = "none"}, twice = {.rope_scaling = "yarn", .rope_scale = 2},
                       automatic = {.rope_scaling = "yarn"}, linear = {.rope_scale = 3},
                       dynamic = {.rope_scaling = "dynamic"};
    assert_says(plain, 513, none, MN_ERR_LIMIT,
                "beyond the 512 that positions reach with scaling none; a factor of 1.002");
    assert_says(plain, 512, none, MN_OK, "");
    assert_says(plain, 9000, twice, MN_ERR_LIMIT,
                "beyond the 1024 that positions reach with scaling yarn; a factor of 17.58");
    assert_says(plain, 9000, automatic, MN_OK, "");
    assert_says(plain, 9000, dynamic, MN_OK, "");
    assert_says(plain, 1537, linear, MN_ERR_LIMIT, "beyond the 1536 that positions reach with scaling linear");
    assert_says(plain, 1536, linear, MN_OK, "");
    assert_says(plain, 513, (mn_position_params){0}, MN_ERR_LIMIT, "beyond the 512 this model was made for");
    /* The file's own window is reached by the file's own scheme; another within it is noted, beyond it refused. */
    assert_says(yarn, 0, (mn_position_params){0}, MN_OK, "");
    assert_says(yarn, 0, none, MN_OK,
                "a window of 512 tokens is beyond the 128 that positions reach with scaling none");
    assert_says(yarn, 128, none, MN_OK, "");
    assert_says(yarn, 513, none, MN_ERR_LIMIT, "a factor of 4.008 would cover it");
    assert_says(yarn, 512, twice, MN_OK, "A factor of 4 would cover it");
    mn_engine_close(plain);
    mn_engine_close(yarn);
}

static void the_factor_that_is_named_works(void **state) {
    (void)state;
    mn_engine *plain = engine_of(NULL, 0);
    for (int64_t n = 1100; n < 40000; n = n * 9 / 7 + 1) {
        mn_error err;
        mn_position_params p = {.rope_scaling = "yarn", .rope_scale = 2};
        open_with(plain, n, p, &err);
        assert_int_equal(err.status, MN_ERR_LIMIT);
        assert_int_equal(err.remedies[0].kind, MN_REMEDY_ROPE_SCALE);
        p.rope_scale = err.remedies[0].value;
        assert_says(plain, n, p, MN_OK, "");
        assert_int_equal(err.remedies[1].kind, MN_REMEDY_WINDOW);
        p.rope_scale = 2;
        assert_says(plain, (int64_t)err.remedies[1].value, p, MN_OK, "");
    }
    mn_engine_close(plain);
}

static void a_larger_base_reaches_as_far_as_ntk_says(void **state) {
    (void)state;
    mn_engine *plain = engine_of(NULL, 0);
    /* 16 dimensions: s = (b' / b)^(14/16); base 10000 to 80000 is 8^0.875 = 6.17, 3158 tokens. */
    mn_position_params base = {.rope_freq_base = 80000};
    assert_says(plain, 3158, base, MN_OK, "");
    assert_says(plain, 3159, base, MN_ERR_LIMIT, "beyond the 3158 that positions reach");
    mn_engine_close(plain);
}

/* C is three quarters of the window that positions reach, and L an eighth. */
static void maps_start_from_the_window_of_the_scheme(void **state) {
    (void)state;
    mn_engine *yarn = yarn_engine();
    static const struct {
        mn_position_params positions;
        int64_t chunk;
    } cases[] = {{{.map = "dca"}, 384},
                 {{.map = "dca", .rope_scaling = "none"}, 96},
                 {{.map = "dca", .rope_scaling = "linear", .rope_scale = 2}, 192},
                 {{.map = "dca", .rope_scaling = "yarn"}, 384}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mn_session *s;
        mn_error err;
        mn_session_params params = {.n_ctx = 400, .position = cases[i].positions};
        assert_ok(mn_session_open(yarn, &params, &s, &err), err);
        assert_int_equal(s->attn.map.a, cases[i].chunk);
        assert_int_equal(s->attn.map.b, cases[i].chunk / 6);
        mn_session_close(s);
    }
    mn_engine_close(yarn);
}

static void the_reach_is_what_opens(void **state) {
    (void)state;
    mn_engine *engines[] = {engine_of(NULL, 0), yarn_engine()};
    static const mn_position_params cases[] = {{0},
                                               {.map = "self-extend:4,64"},
                                               {.rope_scaling = "none"},
                                               {.rope_scaling = "linear", .rope_scale = 5},
                                               {.rope_freq_base = 50000}};
    for (int e = 0; e < 2; e++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            mn_attn_spec attn = mn_attn_of_model(&engines[e]->model.config);
            mn_error err;
            mn_session_params params = {.position = cases[i]};
            assert_ok(mn_session_map(&engines[e]->model, &params, &attn.map, &err), err);
            int64_t reach = mn_session_reach(&engines[e]->model, &cases[i], &attn);
            assert_says(engines[e], reach, cases[i], MN_OK, "");
            if (*open_with(engines[e], reach + 1, cases[i], &err) == 0) fail_msg("case %zu: more than its reach", i);
        }
        mn_engine_close(engines[e]);
    }
}

/* A context length that no memory holds is lowered when nobody asked for it, and said. */
static void an_endless_context_length_is_lowered(void **state) {
    (void)state;
    const uint64_t lengths[] = {UINT64_C(1) << 36, UINT64_C(1) << 39, UINT64_C(1) << 62};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const gguf_edit edit = {"llama.context_length", MN_GGUF_U64, &lengths[i], 0};
        mn_engine *engine = engine_of(&edit, 1);
        assert_says(engine, 0, (mn_position_params){0}, MN_OK, " tokens instead of the model's ");
        mn_engine_close(engine);
    }
}

static const char *pattern_note(mn_engine *engine, const char *attn, int64_t n_ctx) {
    static char text[1024];
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = n_ctx, .attn = attn};
    assert_ok(mn_session_open(engine, &params, &s, &err), err);
    snprintf(text, sizeof text, "%s", mn_session_note(s, 0) ? mn_session_note(s, 0) : "");
    mn_session_close(s);
    return text;
}

static void patterns_say_what_they_do_not_see(void **state) {
    (void)state;
    mn_engine *engine = engine_of(NULL, 0);
    assert_non_null(strstr(pattern_note(engine, "sinks:4,60", 512), "the first 4 tokens and the last 60"));
    assert_non_null(strstr(pattern_note(engine, "sinks-abs:4,60", 512), "the first 4 tokens and the last 60"));
    assert_non_null(strstr(pattern_note(engine, "snapkv:8,64", 512), "leaves 64 of its KV entries to each head"));
    assert_string_equal(pattern_note(engine, "sinks:4,60", 64), "");
    assert_string_equal(pattern_note(engine, "snapkv:8,64", 64), "");
    assert_string_equal(pattern_note(engine, "quest:16,64", 512), "");
    mn_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scheme_that_falls_short_names_its_factor),
        cmocka_unit_test(the_factor_that_is_named_works),
        cmocka_unit_test(a_larger_base_reaches_as_far_as_ntk_says),
        cmocka_unit_test(maps_start_from_the_window_of_the_scheme),
        cmocka_unit_test(the_reach_is_what_opens),
        cmocka_unit_test(an_endless_context_length_is_lowered),
        cmocka_unit_test(patterns_say_what_they_do_not_see),
    };
    return cmocka_run_group_tests(tests, open_source, close_source);
}
