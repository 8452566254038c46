#include "support/support.h"

#include "eval/perplexity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 300 };

typedef struct fixture {
    mn_engine *engine;
    mn_session *session;
    int32_t *ids;
    size_t n;
    int64_t n_vocab;
} fixture;

static void open_all(fixture *f) {
    mn_error err;
    size_t bytes;
    mn_session_params params = {.n_ctx = 512};
    char *text = read_all(MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt", &bytes);
    assert_ok(
        mn_engine_open(MNEMO_SOURCE_DIR "/models/default.gguf", &(mn_engine_params){.exact = true}, &f->engine, &err),
        err);
    assert_ok(mn_session_open(f->engine, &params, &f->session, &err), err);
    assert_ok(mn_tokenize(mn_engine_tokenizer(f->engine), text, 4000, false, false, &f->ids, &f->n, &err), err);
    assert_true(f->n > N);
    f->n_vocab = mn_engine_info(f->engine).n_vocab;
    free(text);
}

static void close_all(fixture *f) {
    free(f->ids);
    mn_session_close(f->session);
    mn_engine_close(f->engine);
}

/* log softmax of hand-made logits. */
static void test_token_loss(void **state) {
    (void)state;
    const float logits[] = {0, 0, 0, 0}, peak[] = {1000, 0, 0, 0};
    assert_true(fabs(mn_token_loss(logits, 4, 2) - log(4)) < 1e-12);
    assert_true(mn_token_loss(peak, 4, 0) == 0 && mn_token_loss(peak, 4, 1) == 1000);
}

/* The same sums, token by token, from the session's own logits. */
static void test_one_window_by_hand(void **state) {
    (void)state;
    fixture f;
    mn_error err;
    mn_text_loss loss = {0};
    open_all(&f);
    mn_text_loss_params p = {.window = N + 1, .stride = N + 1, .n_vocab = f.n_vocab, .n_buckets = 4};
    assert_ok(mn_text_loss_add(f.session, &p, f.ids, N, NULL, NULL, &loss, &err), err);
    assert_int_equal(loss.n_tokens, N); /* the first one behind BOS too */
    double nats = 0;
    int32_t bos = mn_tokenizer_specials(mn_engine_tokenizer(f.engine))->bos;
    assert_ok(mn_session_rewind(f.session, 0, &err), err);
    assert_ok(mn_session_extend(f.session, &bos, 1, NULL, NULL, NULL, NULL, &err), err);
    for (int i = 0; i < N; i++) {
        nats += mn_token_loss(mn_session_logits(f.session), f.n_vocab, f.ids[i]);
        assert_ok(mn_session_extend(f.session, f.ids + i, 1, NULL, NULL, NULL, NULL, &err), err);
    }
    assert_true(fabs(nats - loss.nats) < 1e-3 * nats);
    double sum = 0;
    int64_t n = 0;
    for (int b = 0; b < 4; b++) {
        sum += loss.bucket_nats[b];
        n += loss.bucket_tokens[b];
    }
    assert_true(fabs(sum - loss.nats) < 1e-9 * sum && n == loss.n_tokens);
    size_t bytes;
    char *text;
    assert_ok(mn_detokenize(mn_engine_tokenizer(f.engine), f.ids, N, false, &text, &bytes, &err), err);
    assert_true(llabs(loss.n_bytes - (int64_t)bytes) <= 1); /* the blank that tokenising puts in front */
    free(text);
    close_all(&f);
}

/* Windows of 64 tokens, token by token; in each, those behind what the last one scored. */
static double by_hand(fixture *f, int64_t stride, int64_t *n_scored) {
    mn_error err;
    int32_t bos = mn_tokenizer_specials(mn_engine_tokenizer(f->engine))->bos;
    double nats = 0;
    *n_scored = 0;
    for (int64_t done = 0; done < N;) {
        int64_t end = done == 0 ? 63 : done + (stride < 63 ? stride : 63);
        if (end > N) end = N;
        assert_ok(mn_session_rewind(f->session, 0, &err), err);
        assert_ok(mn_session_extend(f->session, &bos, 1, NULL, NULL, NULL, NULL, &err), err);
        for (int64_t i = end > 63 ? end - 63 : 0; i < end; i++) {
            if (i >= done) {
                nats += mn_token_loss(mn_session_logits(f->session), f->n_vocab, f->ids[i]);
                (*n_scored)++;
            }
            assert_ok(mn_session_extend(f->session, f->ids + i, 1, NULL, NULL, NULL, NULL, &err), err);
        }
        done = end;
    }
    return nats;
}

/* Windows and texts are the samples, however many tokens they hold. */
static void test_errors(void **state) {
    (void)state;
    fixture f;
    mn_error err;
    open_all(&f);
    mn_text_loss_params p = {.window = 64, .stride = 64, .n_vocab = f.n_vocab, .n_buckets = 1};
    mn_text_loss one = {0}, same = {0}, single = {0};
    double nats[4], n[4], squares = 0;
    p.max_windows = 4;
    assert_ok(mn_text_loss_add(f.session, &p, f.ids, N, NULL, NULL, &one, &err), err);
    p.max_windows = 1;
    for (int i = 0; i < 4; i++) {
        mn_text_loss window = {0};
        assert_ok(mn_text_loss_add(f.session, &p, f.ids + 63 * i, N - 63 * i, NULL, NULL, &window, &err), err);
        nats[i] = window.nats;
        n[i] = (double)window.n_tokens;
    }
    for (int i = 0; i < 4; i++) squares += pow(nats[i] - mn_text_loss_mean(&one) * n[i], 2);
    double wanted = sqrt(squares * 4 / 3) / (double)one.n_tokens;
    if (fabs(mn_text_loss_error(&one) - wanted) > 1e-3 * wanted)
        fail_msg("%g, wanted %g", mn_text_loss_error(&one), wanted);
    assert_ok(mn_text_loss_add(f.session, &p, f.ids, N, NULL, NULL, &single, &err), err);
    assert_true(isnan(mn_text_loss_error(&single)));
    for (int i = 0; i < 2; i++) assert_ok(mn_text_loss_add(f.session, &p, f.ids, N, NULL, NULL, &same, &err), err);
    assert_true(mn_text_loss_error(&same) < 1e-6);
    const mn_text_loss two = {
        .nats = 3e6, .n_tokens = 2000000, .windows = {.n_groups = 1}, .texts = {2, 5e12, 3e12, 2e12}};
    assert_true(fabs(mn_text_loss_error(&two) - 0.5) < 1e-9); /* means of 1 and 2, of a million tokens each */
    close_all(&f);
}

static void test_strides(void **state) {
    (void)state;
    fixture f;
    mn_error err;
    open_all(&f);
    static const int64_t strides[] = {64, 32, 16};
    for (int i = 0; i < 3; i++) {
        mn_text_loss loss = {0};
        int64_t n;
        mn_text_loss_params p = {.window = 64, .stride = strides[i], .n_vocab = f.n_vocab, .n_buckets = 8};
        assert_ok(mn_text_loss_add(f.session, &p, f.ids, N, NULL, NULL, &loss, &err), err);
        double nats = by_hand(&f, strides[i], &n);
        assert_int_equal(loss.n_tokens, n);
        assert_int_equal(loss.n_tokens, N);
        assert_true(fabs(nats - loss.nats) < 1e-5 * nats);
        assert_true(mn_text_loss_error(&loss) > 0 && mn_text_loss_error(&loss) < 1);
        assert_true(mn_text_loss_bits_per_byte(&loss) > 0.5 && mn_text_loss_bits_per_byte(&loss) < 5);
    }
    mn_text_loss_params p = {.window = 600, .stride = 1, .n_vocab = f.n_vocab, .n_buckets = 8};
    mn_text_loss loss = {0};
    assert_int_equal(mn_text_loss_add(f.session, &p, f.ids, N, NULL, NULL, &loss, &err), MN_ERR_ARGUMENT);
    p.window = 64;
    p.stride = 65;
    assert_int_equal(mn_text_loss_add(f.session, &p, f.ids, N, NULL, NULL, &loss, &err), MN_ERR_ARGUMENT);
    p.stride = 64;
    assert_int_equal(mn_text_loss_add(f.session, &p, f.ids, 1, NULL, NULL, &loss, &err), MN_ERR_ARGUMENT);
    close_all(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_loss),
        cmocka_unit_test(test_one_window_by_hand),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_strides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
