/* A model whose file says what begins a segment (model/segments.h): however a text is cut, saved, taken back or
 * decoded, its rows are those of the text read at once. */
#include "support/gguf_edit.h"
#include "support/session_rows.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEGMENT = 128 };

static const int32_t mark[] = {57, 93, 57};
static mn_engine *marked;
static int32_t text[ROWS_TOKENS];

static void put(int32_t *tokens, int last) { memcpy(tokens + last - 2, mark, sizeof mark); }

/* Marks end in the middle of a segment, right behind another, across the end of a segment, and near the text's. */
static int set_up(void **state) {
    (void)state;
    mn_gguf *in;
    mn_error err;
    char path[4096];
    mn_engine_params params = {.n_threads = 2, .exact = true};
    snprintf(path, sizeof path, "%s", temp_path("marked.gguf"));
    assert_ok(mn_gguf_open(data_path("models/infini.gguf"), &in, &err), err);
    gguf_edit_write(in, path, NULL, &EDIT_I32S("mnemo.infini.segment_mark", 57, 93, 57), 1);
    mn_gguf_close(in);
    assert_ok(mn_engine_open(path, &params, &marked, &err), err);
    unlink(path);
    rows_tokens(marked, text);
    put(text, 80);
    put(text, 83);
    put(text, 83 + SEGMENT + 1);
    put(text, ROWS_TOKENS - 20);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    mn_engine_close(marked);
    return 0;
}

/* The walk against the definition, from every place on. */
static void places_are_as_defined(void **state) {
    (void)state;
    mn_segment_mark m = {3, {57, 93, 57}};
    mn_segments s = {0}, copies[ROWS_TOKENS];
    int64_t begin = 0;
    for (int64_t i = 0; i < ROWS_TOKENS; i++) {
        bool ends = i >= 2 && text[i] == 57 && text[i - 1] == 93 && text[i - 2] == 57;
        if (ends || i - begin == 40) begin = i;
        copies[i] = s;
        assert_int_equal(mn_segments_pass(&s, &m, 40, text[i]), i - begin);
        assert_int_equal(mn_segments_next_begin(&s, 40), i + 1 - begin == 40 ? i + 1 : begin);
    }
    for (int64_t i = 0; i < ROWS_TOKENS; i += 13) {
        for (int64_t j = i; j < ROWS_TOKENS; j++) mn_segments_pass(&copies[i], &m, 40, text[j]);
        assert_int_equal(copies[i].begin, s.begin);
    }
}

static void steps_change_nothing(void **state) {
    (void)state;
    rows_same_in_steps(marked, (mn_session_params){0}, (const int32_t[]){1, 3, 82, 127, 128, 129, 200, 0}, text);
    rows_look_back_only(marked, (mn_session_params){0}, text);
}

/* Fails where the two differ in a row of [begin, end). */
static void assert_rows(session_rows a, session_rows b, int64_t begin, int64_t end) {
    size_t row = (size_t)a.n_vocab * sizeof *a.data;
    assert_memory_equal(a.data + begin * a.n_vocab, b.data + begin * b.n_vocab, (size_t)(end - begin) * row);
}

/* A mark moves segments from its last token on, and nothing where one begins there anyway. */
static void marks_begin_segments(void **state) {
    (void)state;
    mn_engine *plain = rows_engine("models/infini.gguf");
    int32_t other[ROWS_TOKENS];
    session_rows with = rows_run(marked, (mn_session_params){0}, text);
    session_rows without = rows_run(plain, (mn_session_params){.attn = "infini:128,delta-exact"}, text);
    assert_rows(with, without, 0, 80);
    for (int64_t i = 80; i < ROWS_TOKENS; i++)
        assert_memory_not_equal(with.data + i * with.n_vocab, without.data + i * with.n_vocab, sizeof(float) * 64);
    free(with.data);
    free(without.data);
    rows_tokens(marked, other);
    put(other, SEGMENT);
    with = rows_run(marked, (mn_session_params){0}, other);
    without = rows_run(plain, (mn_session_params){0}, other);
    assert_rows(with, without, 0, ROWS_TOKENS);
    free(with.data);
    free(without.data);
    mn_engine_close(plain);
}

static mn_session *open_session(void) {
    mn_session *s;
    mn_error err;
    mn_session_params params = {.n_ctx = 2 * ROWS_TOKENS, .n_batch = SEGMENT, .position.beyond = true};
    assert_ok(mn_session_open(marked, &params, &s, &err), err);
    return s;
}

static void sync_to(mn_session *s, const int32_t *tokens, int64_t n) {
    mn_error err;
    assert_ok(mn_session_sync(s, tokens, n, NULL, NULL, NULL, &err), err);
}

/* The logits behind n tokens of the text, read by a session of its own. */
static void assert_logits(mn_session *s, const int32_t *tokens, int64_t n) {
    mn_session *fresh = open_session();
    sync_to(fresh, tokens, n);
    assert_memory_equal(mn_session_logits(s), mn_session_logits(fresh), 2048 * sizeof(float));
    mn_session_close(fresh);
}

/* Behind a question another takes its place, or the text without one; and back to the first. */
static void ways_back_are_exact(void **state) {
    (void)state;
    int32_t other[ROWS_TOKENS];
    mn_error err;
    mn_session *s = open_session();
    memcpy(other, text, sizeof other);
    other[ROWS_TOKENS - 20] ^= 1; /* no mark any more */
    sync_to(s, text, ROWS_TOKENS);
    sync_to(s, other, ROWS_TOKENS);
    assert_logits(s, other, ROWS_TOKENS);
    sync_to(s, text, ROWS_TOKENS);
    assert_logits(s, text, ROWS_TOKENS);
    for (int64_t n = ROWS_TOKENS - 1; n > 60; n -= 37) {
        assert_ok(mn_session_rewind(s, n, &err), err);
        assert_logits(s, text, n);
    }
    mn_session_close(s);
}

/* Saved in front of, within and behind a mark, the text goes on in another session as in its own. */
static void saved_texts_go_on(void **state) {
    (void)state;
    mn_error err;
    char path[4096];
    snprintf(path, sizeof path, "%s", temp_path("marked.session"));
    for (int64_t n = 77; n < ROWS_TOKENS; n += n < 90 ? 1 : 33) {
        mn_session *s = open_session(), *next = open_session();
        sync_to(s, text, n);
        assert_ok(mn_session_save(s, path, &err), err);
        assert_ok(mn_session_restore(next, path, &err), err);
        sync_to(next, text, ROWS_TOKENS);
        assert_logits(next, text, ROWS_TOKENS);
        assert_ok(mn_session_rewind(next, n - 5, &err), err);
        assert_logits(next, text, n - 5);
        mn_session_close(s);
        mn_session_close(next);
    }
    unlink(path);
}

/* A plan holds for the most pages and the most scratch that such a text takes, at any place of its marks. */
static void plans_hold(void **state) {
    (void)state;
    mn_window w = {.n_ctx = 2 * ROWS_TOKENS, .n_batch = SEGMENT, .k_type = MN_F32, .v_type = MN_F32};
    mn_memory_plan plan;
    mn_error err;
    assert_ok(mn_memory_plan_make(marked, &w, &plan, &err), err);
    marked->scratch.most_bytes = 0;
    for (int shift = 0; shift < SEGMENT; shift += 31) {
        mn_session *s = open_session();
        int32_t moved[2 * ROWS_TOKENS];
        for (int i = 0; i < 2 * ROWS_TOKENS; i++) moved[i] = text[(i + ROWS_TOKENS - shift) % ROWS_TOKENS];
        for (int n = 50; n <= 2 * ROWS_TOKENS; n += 50) {
            sync_to(s, moved, n);
            assert_true(mn_kvcache_bytes(s->sequence.cache) <= plan.kv_bytes);
            assert_true(marked->scratch.most_bytes <= MN_MAX(plan.scratch_bytes, (size_t)1 << 18));
        }
        mn_session_close(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_as_defined), cmocka_unit_test(steps_change_nothing),
        cmocka_unit_test(marks_begin_segments),  cmocka_unit_test(ways_back_are_exact),
        cmocka_unit_test(saved_texts_go_on),     cmocka_unit_test(plans_hold),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
