/* train/tape_recurrent: a model with compressive memories, by every update, against finite differences; recomputed,
 * by several threads; with hard writes, labels and prefixes. And train/memory_file, which makes the models.
 */
#include "support/gguf_edit.h"
#include "support/support.h"
#include "support/tape_case.h"

#include "kernels/kernels.h"
#include "model/forward.h"
#include "train/memory_file.h"
#include "train/memory_heads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT = 12, HEADS = 4, KV_HEADS = 2 };

static const char *mark_text; /* of the next model */

static const char *make_memory(const char *heads, mn_infini_rule rule, float threshold, int n_taps) {
    static char path[600];
    mn_gguf *in;
    mn_error err;
    mn_memory_start m = {SEGMENT, rule, heads, -0.3f, 0.5f, threshold, mark_text, n_taps};
    snprintf(path, sizeof path, "%s", temp_path("memory.gguf"));
    assert_ok(mn_gguf_open(tape_make_mnemo(HEADS, KV_HEADS), &in, &err), err);
    assert_ok(mn_memory_file_write(in, path, &m, &err), err);
    mn_gguf_close(in);
    return path;
}

/* Gates of all sizes, where they are not shut. */
static void draw_gates(tape_case *f) {
    const mn_model *m = &f->parameters.model;
    for (int64_t i = 0; i < f->parameters.n_items; i++) {
        const mn_parameter *p = &f->parameters.items[i];
        bool weights = strstr(p->name, "infini_write") && strstr(p->name, ".weight");
        if (weights) fill_normal(p->weights, (size_t)(p->n_in * p->n_out), 40 + (uint64_t)i);
        for (int64_t k = 0; weights && k < p->n_in * p->n_out; k++) {
            bool dead = m->weights.layers[p->name[4] - '0'].infini_write.b[k / p->n_in] < MN_SHUT_BIAS;
            p->weights[k] *= dead ? 0 : 0.3f;
        }
    }
}

static void open_wider(tape_case *f, const char *heads, mn_infini_rule rule, float threshold, int n_threads,
                       int n_taps) {
    tape_open(f, make_memory(heads, rule, threshold, n_taps), NULL, n_threads);
    assert_int_equal(f->parameters.model.config.infini.segment, SEGMENT);
    draw_gates(f);
}

static void open_memory(tape_case *f, const char *heads, mn_infini_rule rule, float threshold, int n_threads) {
    open_wider(f, heads, rule, threshold, n_threads, 0);
}

static void check_rule(mn_infini_rule rule, const char *name) {
    tape_case f;
    open_memory(&f, "*", rule, 0, 1);
    tape_check_set(&f, &f.parameters, name, 2e-3);
    tape_close(&f);
}

static void linear(void **state) {
    (void)state;
    check_rule(MN_INFINI_LINEAR, "linear");
}

static void delta(void **state) {
    (void)state;
    check_rule(MN_INFINI_DELTA, "delta");
}

static void delta_exact(void **state) {
    (void)state;
    check_rule(MN_INFINI_DELTA_EXACT, "delta-exact");
}

/* Gates below the threshold write nothing. Steps must not carry one across. */
static void threshold(void **state) {
    (void)state;
    tape_case f;
    open_memory(&f, "0.1 1.*", MN_INFINI_DELTA_EXACT, 0.5f, 1);
    tape_check_set(&f, &f.parameters, "threshold", 2e-5);
    tape_close(&f);
}

static void assert_same_gradients(const tape_case *a, const tape_case *b) {
    for (int64_t i = 0; i < a->parameters.n_items; i++) {
        const mn_parameter *p = &a->parameters.items[i];
        if (!p->frozen)
            assert_memory_equal(p->gradients, b->parameters.items[i].gradients,
                                (size_t)(p->n_in * p->n_out) * sizeof(float));
    }
}

/* Labels that say: every fifth token; prefixes of other rows, in the second document. */
typedef struct lesson {
    float labels[TAPE_N_CTX * TAPE_N_WINDOWS], weights[TAPE_N_CTX * TAPE_N_WINDOWS];
    int64_t rows[20];
    mn_memory_prefix prefixes[3];
} lesson;

static void give_lesson(tape_case *f, lesson *l) {
    for (int i = 0; i < TAPE_N_CTX * TAPE_N_WINDOWS; i++) {
        l->labels[i] = i % 5 == 0;
        l->weights[i] = i % 3 == 0 ? 0 : 0.02f * (float)(1 + i % 4);
    }
    for (int i = 0; i < 20; i++) l->rows[i] = (7 * i) % (TAPE_N_CTX * TAPE_N_WINDOWS);
    l->prefixes[0] = (mn_memory_prefix){0};
    l->prefixes[1] = (mn_memory_prefix){11, 20, l->rows};
    l->prefixes[2] = (mn_memory_prefix){0, 3, l->rows};
    f->tape.memory = (mn_tape_memory){.hard = true,
                                      .labels = l->labels,
                                      .label_weights = l->weights,
                                      .n_hardest = 4,
                                      .hardest_weight = 0.1f,
                                      .prefixes = l->prefixes};
}

/* Everything at once: activations made again by two threads give the bits of those kept by one. */
static void recomputed(void **state) {
    (void)state;
    tape_case a, b;
    static lesson l;
    for (int round = 0; round < 2; round++) {
        open_memory(&a, "0.* 1.0", MN_INFINI_DELTA_EXACT, 0.5f, 1);
        open_memory(&b, "0.* 1.0", MN_INFINI_DELTA_EXACT, 0.5f, 2);
        if (round) give_lesson(&a, &l);
        if (round) give_lesson(&b, &l);
        assert_true(tape_differentiate(&a, false) == tape_differentiate(&b, true));
        assert_true(a.tape.memory.loss == b.tape.memory.loss);
        assert_true((a.tape.memory.loss > 0) == (round > 0));
        assert_same_gradients(&a, &b);
        tape_close(&a);
        tape_close(&b);
    }
}

/* The loss and the labels' part of it, with labels alone: against differences of both. The labels' loss is what the
 * backward pass adds up, so each point is one. Prefix rows are constants to the gradient and are left out here. */
static double both_losses(tape_case *f) {
    f->tape.memory.loss = 0;
    return tape_differentiate(f, false) + f->tape.memory.loss;
}

static void labels(void **state) {
    (void)state;
    tape_case f;
    static lesson l;
    open_memory(&f, "*", MN_INFINI_DELTA_EXACT, 0.5f, 1);
    give_lesson(&f, &l);
    f.tape.memory.prefixes = NULL;
    tape_check_total(&f, both_losses, "labels", 1e-4, 1e-2);
    tape_close(&f);
}

/* A prefix is what the memory would hold had these rows been read: with all gates of a document open, one whose keys
 * and values are its own first rows changes what comes after. And a prefix of nothing changes nothing. */
static void prefixes(void **state) {
    (void)state;
    tape_case f;
    static lesson l;
    open_memory(&f, "*", MN_INFINI_DELTA_EXACT, 0.5f, 1);
    give_lesson(&f, &l);
    double with = tape_differentiate(&f, false);
    for (int i = 0; i < 3; i++) l.prefixes[i].n = 0;
    double emptied = tape_differentiate(&f, false);
    f.tape.memory.prefixes = NULL;
    assert_true(tape_differentiate(&f, false) == emptied);
    assert_true(fabs(with - emptied) > 1e-5);
    tape_close(&f);
}

/* Heads that were not chosen: what they compute is softmax attention within segments, bit for bit, and no gradient
 * reaches their gates. */
static void dead_heads(void **state) {
    (void)state;
    tape_case f;
    mn_error err;
    open_memory(&f, "0.2", MN_INFINI_DELTA_EXACT, 0.5f, 1);
    const mn_model *m = &f.parameters.model;
    assert_true(mn_memory_writes(m, 0, 1) && !mn_memory_writes(m, 0, 0) && !mn_memory_writes(m, 1, 1));
    assert_true(mn_memory_layer_is_alive(m, 0) && !mn_memory_layer_is_alive(m, 1));
    tape_differentiate(&f, false);
    for (int64_t i = 0; i < f.parameters.n_items; i++) {
        const mn_parameter *p = &f.parameters.items[i];
        if (strncmp(p->name, "blk.1.infini", 12)) continue;
        for (int64_t k = 0; k < p->n_in * p->n_out; k++) assert_true(p->gradients[k] == 0);
    }
    /* The same as the CPU's own operations give. */
    const mn_train_window *w = &f.batch.windows[1];
    mn_backend cpu = mn_backend_cpu(&f.compute);
    mn_sequence sequence;
    mn_sequence_params params = {&m->config.rope, mn_attn_of_model(&m->config), TAPE_N_CTX, MN_F32, MN_F32};
    assert_ok(mn_sequence_init(&sequence, &m->config, &params, &err), err);
    int64_t wanted[TAPE_N_CTX], n_vocab = m->config.n_vocab;
    float *logits = malloc((size_t)(TAPE_N_CTX * n_vocab) * sizeof *logits);
    for (int i = 0; i < TAPE_N_CTX; i++) wanted[i] = i;
    mn_slice slice = {&sequence, 0, TAPE_N_CTX};
    mn_batch batch = {w->tokens, TAPE_N_CTX, &slice, 1, wanted, TAPE_N_CTX, logits, NULL};
    assert_ok(mn_forward(&cpu, m, &batch, &err), err);
    double sum = 0, weights = 0;
    for (int i = 0; i < TAPE_N_CTX; i++) {
        const float *x = logits + i * n_vocab;
        double total = 0;
        for (int64_t k = 0; k < n_vocab; k++) total += exp((double)x[k]);
        sum += (double)w->weights[i] * (log(total) - (double)x[w->targets[i]]);
        weights += (double)w->weights[i];
    }
    double all = f.batch.sum_weights;
    f.tape.loss = (mn_loss){0};
    assert_ok(mn_train_batch_score(&f.batch, 1, 1, &f.tape, &err), err);
    assert_true(fabs(f.tape.loss.loss - sum) < 1e-5 * sum && weights < all);
    free(logits);
    mn_sequence_release(&sequence);
    tape_close(&f);
}

/* Cut after two segments, the gradient is another; cut after more than there are, the same bits. */
static void detached(void **state) {
    (void)state;
    tape_case a, b;
    open_memory(&a, "*", MN_INFINI_DELTA, 0, 1);
    open_memory(&b, "*", MN_INFINI_DELTA, 0, 1);
    b.tape.memory.detach_segments = 100;
    assert_true(tape_differentiate(&a, false) == tape_differentiate(&b, false));
    assert_same_gradients(&a, &b);
    b.tape.memory.detach_segments = 1;
    tape_differentiate(&b, false);
    double difference = 0;
    for (int64_t i = 0; i < a.parameters.n_items; i++)
        for (int64_t k = 0; k < a.parameters.items[i].n_in; k++)
            difference += fabs((double)a.parameters.items[i].gradients[k] - (double)b.parameters.items[i].gradients[k]);
    assert_true(difference > 1e-6);
    tape_close(&a);
    tape_close(&b);
}

/* Taps that are added change nothing before they have learnt, and have the gradients they should have. */
static void wider(void **state) {
    (void)state;
    tape_case narrow, wide;
    open_memory(&narrow, "*", MN_INFINI_DELTA_EXACT, 0, 1);
    int n_taps = narrow.parameters.model.config.n_conv_taps;
    open_wider(&wide, "*", MN_INFINI_DELTA_EXACT, 0, 1, n_taps + 3);
    assert_int_equal(wide.parameters.model.config.n_conv_taps, n_taps + 3);
    const mn_layer *a = &narrow.parameters.model.weights.layers[1], *b = &wide.parameters.model.weights.layers[1];
    for (int i = 0; i < 3 * (n_taps + 3); i++) {
        int channel = i / (n_taps + 3), tap = i % (n_taps + 3);
        assert_true(b->k_conv[i] == (tap < n_taps ? a->k_conv[channel * n_taps + tap] : 0));
    }
    assert_true(tape_differentiate(&narrow, false) == tape_differentiate(&wide, false));
    tape_check_set(&wide, &wide.parameters, "wider", 2e-3);
    tape_close(&narrow);
    tape_close(&wide);
}

/* Marks begin segments in documents as in the texts of sessions, and gradients stop where they do. */
static void marked(void **state) {
    (void)state;
    tape_case f;
    mark_text = "?\nA";
    open_memory(&f, "*", MN_INFINI_DELTA_EXACT, 0, 1);
    mark_text = NULL;
    const mn_segment_mark *mark = &f.parameters.model.config.infini.mark;
    double before = tape_score(&f);
    assert_in_range(mark->n, 3, MN_MAX_MARK);
    for (int i = 0; i < mark->n; i++)
        f.batch.windows[0].tokens[26 + i] = f.batch.windows[1].tokens[5 + i] = mark->ids[i];
    double with = tape_differentiate(&f, true);
    assert_true(with == tape_differentiate(&f, false) && with != before);
    tape_check_set(&f, &f.parameters, "marked", 2e-3);
    int n = mark->n;
    f.parameters.model.config.infini.mark.n = f.batch.params.attn.infini.mark.n = 0;
    for (int i = 0; i < f.batch.n_sequences; i++) f.batch.sequences[i].attn.infini.mark.n = 0;
    assert_true(n > 0 && with != tape_score(&f));
    tape_close(&f);
}

static void refuse(const char *heads, mn_status status, const char *word) {
    mn_gguf *in;
    mn_error err;
    mn_memory_start m = {
        SEGMENT, MN_INFINI_DELTA_EXACT, heads, 0, 0, 0, mark_text, heads && !strcmp(heads, "*") ? 2 : 0};
    const char *path = heads ? tape_make_mnemo(HEADS, KV_HEADS) : data_path("golden/tiny-llama.gguf");
    assert_ok(mn_gguf_open(path, &in, &err), err);
    assert_int_equal(mn_memory_file_write(in, temp_path("no.gguf"), &m, &err), status);
    assert_non_null(strstr(err.text, word));
    mn_gguf_close(in);
}

/* Filters that are longer than the file's keys say. */
static void refused_filters(void **state) {
    (void)state;
    mn_gguf *whole, *in;
    mn_error err;
    char path[600];
    mn_memory_start m = {SEGMENT, MN_INFINI_DELTA_EXACT, "*", 0, 0, 0, NULL, 4};
    snprintf(path, sizeof path, "%s", temp_path("long-filters.gguf"));
    assert_ok(mn_gguf_open(tape_make_mnemo(HEADS, KV_HEADS), &whole, &err), err);
    gguf_edit_write(whole, path, NULL, &EDIT_U32("mnemo.attention.short_conv", 3), 1);
    mn_gguf_close(whole);
    assert_ok(mn_gguf_open(path, &in, &err), err);
    assert_int_equal(mn_memory_file_write(in, temp_path("no.gguf"), &m, &err), MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "convolutions have 3 taps"));
    mn_gguf_close(in);
}

static void refused(void **state) {
    (void)state;
    refuse("0.9", MN_ERR_ARGUMENT, "0.9");
    refuse("2.0", MN_ERR_ARGUMENT, "2.0");
    refuse("0.1 x", MN_ERR_ARGUMENT, "\"x\"");
    refuse(NULL, MN_ERR_UNSUPPORTED, "llama");
    refuse("*", MN_ERR_ARGUMENT, "memory.taps is 2");
    mark_text = "a mark of far more words than any that stands in front of a question should";
    refuse("0.1", MN_ERR_ARGUMENT, "memory.mark has");
    mark_text = "0123456789 0123456789";
    refuse("0.1", MN_ERR_ARGUMENT, "memory.mark, \"0123");
    mark_text = NULL;
    assert_true(mn_memory_names_head("*.1 0.3", 5, 1) && mn_memory_names_head("*.1 0.3", 0, 3));
    assert_false(mn_memory_names_head("*.1 0.3", 1, 3) || mn_memory_names_head("0.1x", 0, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear),          cmocka_unit_test(delta),    cmocka_unit_test(delta_exact),
        cmocka_unit_test(threshold),       cmocka_unit_test(labels),   cmocka_unit_test(recomputed),
        cmocka_unit_test(prefixes),        cmocka_unit_test(detached), cmocka_unit_test(dead_heads),
        cmocka_unit_test(wider),           cmocka_unit_test(marked),   cmocka_unit_test(refused),
        cmocka_unit_test(refused_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
