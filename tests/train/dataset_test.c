#include "support/support.h"

#include "train/dataset.h"
#include "train/permutation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N_CTX = 256 };

static const float role_weights[MN_ROLE_COUNT] = {0.3f, 0.15f, 0.01f, 0.02f, 1.5f, 3, 0.05f};

typedef struct window {
    int32_t tokens[N_CTX], targets[N_CTX], document[N_CTX];
    float weights[N_CTX];
    uint8_t roles[N_CTX];
    mn_train_window w;
} window;

static void window_init(window *x) {
    x->w = (mn_train_window){x->tokens, x->targets, x->weights, x->roles, x->document, 0};
}

static mn_tokenizer *open_tokenizer(void) {
    mn_tokenizer *t;
    mn_error err;
    assert_ok(mn_tokenizer_open(MNEMO_SOURCE_DIR "/models/default.gguf", &t, &err), err);
    return t;
}

static void add_source(mn_dataset *d, const char *name, double weight, const mn_needle_params *needles,
                       const char *path) {
    mn_source *s = &d->sources[d->n_sources++];
    mn_error err;
    s->name = name;
    s->weight = weight;
    s->is_needles = needles != NULL;
    if (needles) s->needles = *needles;
    memcpy(s->role_weights, role_weights, sizeof role_weights);
    assert_ok(mn_corpus_open(&path, 1, 600, &s->corpus, &err), err);
}

static const char *novel = MNEMO_SOURCE_DIR "/models/demo/pride-and-prejudice.txt";

static mn_needle_params params_of(mn_needle_kind kind) {
    return (mn_needle_params){.kind = kind,
                              .min_keys = 1,
                              .max_keys = 4,
                              .min_hops = 1,
                              .max_hops = 3,
                              .n_questions = 2,
                              .n_distractors = 2,
                              .filler = 0.2};
}

static void test_permutation_is_a_bijection(void **state) {
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 63, 64, 65, 1000, 4097};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (uint64_t seed = 0; seed < 3; seed++) {
            uint8_t *seen = calloc(sizes[s], 1);
            for (uint64_t i = 0; i < sizes[s]; i++) {
                uint64_t at = mn_permute(i, sizes[s], seed);
                assert_true(at < sizes[s]);
                assert_false(seen[at]);
                seen[at] = 1;
            }
            free(seen);
        }
}

static void test_pieces_cover_a_text(void **state) {
    (void)state;
    mn_corpus c;
    mn_mapfile map;
    mn_error err;
    assert_ok(mn_corpus_open(&novel, 1, 600, &c, &err), err);
    assert_ok(mn_mapfile_open(novel, &map, &err), err);
    size_t at = 0;
    for (int64_t i = 0; i < c.n_pieces; i++) {
        mn_corpus_piece p = mn_corpus_at(&c, i);
        assert_true(p.bytes <= 900);
        assert_memory_equal(p.text, map.data + at, p.bytes);
        at += p.bytes;
        assert_int_equal(p.begins_document, i == 0);
    }
    assert_int_equal(at, map.bytes);
    mn_mapfile_close(&map);
    mn_corpus_close(&c);
}

/* Same cursor, same window; a copy of the cursor in the middle goes on alike. */
static void test_windows_are_functions_of_the_cursor(void **state) {
    (void)state;
    mn_tokenizer *t = open_tokenizer();
    mn_dataset d = {.tokenizer = t, .seed = 7, .n_ctx = N_CTX, .validation_share = 0.1};
    mn_error err;
    add_source(&d, "novel", 1, NULL, novel);
    for (int k = 0; k < MN_NEEDLE_KIND_COUNT; k++) {
        mn_needle_params p = params_of((mn_needle_kind)k);
        add_source(&d, mn_needle_kind_name(p.kind), 0.5, &p, novel);
    }
    assert_ok(mn_dataset_check(&d, &err), err);
    mn_dataset_cursor c = {.source = -1}, saved = c;
    window *first = malloc(sizeof *first), *again = malloc(sizeof *again);
    window_init(first);
    window_init(again);
    int64_t filled = 0;
    for (int i = 0; i < 40; i++) {
        saved = c;
        assert_ok(mn_dataset_next(&d, &c, &first->w, &err), err);
        assert_ok(mn_dataset_next(&d, &saved, &again->w, &err), err);
        assert_memory_equal(&c, &saved, sizeof c);
        assert_memory_equal(first->tokens, again->tokens, sizeof first->tokens);
        assert_memory_equal(first->weights, again->weights, sizeof first->weights);
        filled += first->w.n_tokens;
        for (int j = 0; j < first->w.n_tokens; j++) {
            assert_true(first->document[j] <= j && first->document[first->document[j]] == first->document[j]);
            if (first->weights[j] > 0 && j + 1 < first->w.n_tokens) {
                assert_int_equal(first->targets[j], first->tokens[j + 1]);
                assert_true(first->weights[j] == role_weights[first->roles[j + 1]]);
            }
        }
    }
    assert_true(filled > 40 * N_CTX * 8 / 10);
    c = (mn_dataset_cursor){.source = d.n_sources}; /* of a training with more sources */
    assert_int_equal(mn_dataset_next(&d, &c, &first->w, &err), MN_ERR_ARGUMENT);
    free(first);
    free(again);
    mn_dataset_close(&d);
    mn_tokenizer_destroy(t);
}

static bool is_in_tokens(const mn_tokenizer *t, const int32_t *ids, size_t n, const char *text, char **whole) {
    size_t bytes;
    mn_error err;
    assert_ok(mn_detokenize(t, ids, n, false, whole, &bytes, &err), err);
    return strstr(*whole, text) != NULL;
}

/* Every value asked for stands in the haystack, and the tokens of role "value" spell it. */
static void test_answers_are_in_the_text(void **state) {
    (void)state;
    mn_tokenizer *t = open_tokenizer();
    mn_corpus corpus;
    mn_error err;
    assert_ok(mn_corpus_open(&novel, 1, 600, &corpus, &err), err);
    for (int k = 0; k < MN_NEEDLE_COPY; k++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            mn_needle_params p = params_of((mn_needle_kind)k);
            mn_document_draft d = MN_DOCUMENT_DRAFT_INIT;
            mn_random rng;
            p.corpus = &corpus;
            mn_random_seed(&rng, seed, 1);
            mn_needle_make(&rng, &p, 900, &d);
            assert_false(d.text.failed);
            const char *question = strstr(d.text.data, "\nQuestion: ");
            assert_non_null(question);
            size_t begin = 0, n_values = 0;
            for (int i = 0; i < d.n_runs; begin = d.runs[i++].end) {
                if (d.runs[i].role != MN_ROLE_VALUE || begin < (size_t)(question - d.text.data)) continue;
                char answer[512];
                snprintf(answer, sizeof answer, "%.*s", (int)strcspn(d.text.data + begin, ".\"\n"),
                         d.text.data + begin);
                const char *last = k == MN_NEEDLE_CHAIN ? strrchr(answer, ' ') : NULL,
                           *value = last ? last + 1 : answer;
                const char *found = strstr(d.text.data, value);
                assert_true(value[0] == 0 || (found && found < question));
                n_values += value[0] != 0;
            }
            assert_true(n_values >= 1);
            int32_t *ids;
            uint8_t *roles;
            size_t n;
            char *whole;
            assert_ok(mn_draft_tokenize(t, &d, true, true, &ids, &roles, &n, &err), err);
            assert_true(is_in_tokens(t, ids, n, d.text.data, &whole));
            assert_string_equal(whole, d.text.data);
            free(whole);
            /* the value tokens alone hold the values and no word of the question */
            size_t n_value_tokens = 0;
            for (size_t i = 0; i < n; i++) n_value_tokens += roles[i] == MN_ROLE_VALUE;
            assert_true(n_value_tokens >= n_values);
            free(ids);
            free(roles);
            mn_draft_release(&d);
        }
    mn_corpus_close(&corpus);
    mn_tokenizer_destroy(t);
}

/* The same texts by any compiler, whatever order it takes arguments in, and on any machine. */
static void test_texts_are_the_same_everywhere(void **state) {
    (void)state;
    mn_corpus corpus;
    mn_error err;
    uint64_t sum = 0xcbf29ce484222325u;
    assert_ok(mn_corpus_open(&novel, 1, 600, &corpus, &err), err);
    for (int k = 0; k <= MN_NEEDLE_COPY; k++)
        for (uint64_t seed = 0; seed < 50; seed++) {
            mn_needle_params p = params_of((mn_needle_kind)k);
            mn_document_draft d = MN_DOCUMENT_DRAFT_INIT;
            mn_random rng;
            p.corpus = &corpus;
            mn_random_seed(&rng, seed, 2);
            mn_needle_make(&rng, &p, 900, &d);
            for (size_t i = 0; i < d.text.bytes; i++) sum = (sum ^ (unsigned char)d.text.data[i]) * 0x100000001b3u;
            mn_draft_release(&d);
        }
    assert_int_equal(sum, 0xf2ad8b57c68ffba3u);
    mn_corpus_close(&corpus);
}

/* Numbers alone, in the usual wording: every value stands behind "of KEY is". */
static void test_usual_numbers(void **state) {
    (void)state;
    mn_corpus corpus;
    mn_error err;
    assert_ok(mn_corpus_open(&novel, 1, 600, &corpus, &err), err);
    for (uint64_t seed = 0; seed < 100; seed++) {
        mn_needle_params p = params_of(MN_NEEDLE_KEY_VALUE);
        mn_document_draft d = MN_DOCUMENT_DRAFT_INIT;
        mn_random rng;
        p.corpus = &corpus;
        p.digits = p.usual_wording = true;
        mn_random_seed(&rng, seed, 1);
        mn_needle_make(&rng, &p, 900, &d);
        for (int i = 1; i < d.n_runs; i++) {
            const char *value = d.text.data + d.runs[i - 1].end;
            size_t bytes = d.runs[i].end - d.runs[i - 1].end;
            if (d.runs[i].role != MN_ROLE_NEEDLE_VALUE) continue;
            assert_int_equal(strspn(value, "0123456789"), bytes);
            assert_memory_equal(value - 4, " is ", 4);
        }
        mn_draft_release(&d);
    }
    mn_corpus_close(&corpus);
}

/* A name may be two words; each is of the side. */
static bool name_is_of(mn_word name, mn_word_side side) {
    char *second = strchr(name.text, ' ');
    if (second) *second++ = 0;
    return mn_word_is_of(name.text, side) && (!second || mn_word_is_of(second, side));
}

/* Training never sees a name of evaluation. */
static void test_sides_share_no_word(void **state) {
    (void)state;
    mn_corpus corpus;
    mn_error err;
    mn_random rng;
    assert_ok(mn_corpus_open(&novel, 1, 600, &corpus, &err), err);
    mn_random_seed(&rng, 3, 3);
    for (int i = 0; i < 300; i++) {
        mn_word a = mn_draw_name(&rng, &corpus, MN_WORDS_TRAIN), b = mn_draw_name(&rng, &corpus, MN_WORDS_EVAL);
        assert_true(name_is_of(a, MN_WORDS_TRAIN) && !name_is_of(a, MN_WORDS_EVAL));
        assert_true(name_is_of(b, MN_WORDS_EVAL));
        assert_true(strlen(a.text) >= 2);
    }
    mn_corpus_close(&corpus);
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_bad_data(void **state) {
    (void)state;
    char folder[] = "/tmp/mnemo-dataset-XXXXXX", path[128];
    const char *paths[] = {folder};
    mn_corpus c;
    mn_error err;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(mn_corpus_open(paths, 1, 600, &c, &err), MN_ERR_ARGUMENT);
    snprintf(path, sizeof path, "%s/empty.txt", folder);
    write_text(path, "");
    assert_int_equal(mn_corpus_open(paths, 1, 600, &c, &err), MN_ERR_ARGUMENT);
    snprintf(path, sizeof path, "%s/lines.jsonl", folder);
    write_text(path, "{\"text\": \"one\"}\n\n  \n{\"text\": \"two\"}\nnot json\n");
    assert_ok(mn_corpus_open(paths, 1, 600, &c, &err), err);
    assert_int_equal(c.n_pieces, 3);
    assert_true(mn_corpus_at(&c, 1).is_jsonl);
    mn_corpus_close(&c);

    mn_tokenizer *t = open_tokenizer();
    mn_dataset d = {.tokenizer = t, .seed = 1, .n_ctx = N_CTX};
    window *x = malloc(sizeof *x);
    window_init(x);
    assert_int_equal(mn_dataset_check(&d, &err), MN_ERR_ARGUMENT);
    add_source(&d, "lines", 1, NULL, folder);
    mn_dataset_cursor cursor = {.source = -1};
    assert_int_equal(mn_dataset_next(&d, &cursor, &x->w, &err), MN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "lines.jsonl"));
    d.validation = true;
    assert_int_equal(mn_dataset_check(&d, &err), MN_ERR_ARGUMENT); /* a share of 0 holds nothing out */
    mn_dataset_close(&d);
    mn_tokenizer_destroy(t);
    free(x);
    unlink(path);
    snprintf(path, sizeof path, "%s/empty.txt", folder);
    unlink(path);
    rmdir(folder);
}

/* Texts of a few pieces have something to validate with; the same piece whatever the seed. */
static void test_short_texts_are_split(void **state) {
    (void)state;
    mn_tokenizer *t = open_tokenizer();
    mn_error err;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        mn_dataset d = {.tokenizer = t, .seed = seed, .n_ctx = N_CTX, .validation_share = 1e-6}, v;
        add_source(&d, "novel", 1, NULL, novel);
        v = d;
        v.validation = true;
        assert_ok(mn_dataset_check(&d, &err), err);
        assert_ok(mn_dataset_check(&v, &err), err);
        window *x = malloc(sizeof *x);
        window_init(x);
        mn_dataset_cursor cursor = {.source = -1};
        assert_ok(mn_dataset_next(&v, &cursor, &x->w, &err), err);
        mn_corpus_piece held_out = mn_corpus_at(&d.sources[0].corpus, d.sources[0].corpus.least_piece);
        char *text;
        size_t bytes, n = 0;
        while (n + 1 < N_CTX && x->document[n] == 0) n++;
        assert_ok(mn_detokenize(t, x->tokens, n, false, &text, &bytes, &err), err);
        assert_non_null(memmem(held_out.text, held_out.bytes, text + 8, 40));
        free(text);
        free(x);
        mn_dataset_close(&d);
    }
    mn_tokenizer_destroy(t);
}

static void write_words(const char *path, const char *word) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 4000; i++) fprintf(f, "%s %d\n", word, i);
    fclose(f);
}

/* Whole files are held out: what one side reads of a file the other never does. */
static void test_files_are_split(void **state) {
    (void)state;
    mn_tokenizer *t = open_tokenizer();
    mn_error err;
    char folder[4096], path[2][4200];
    static const char *const words[2] = {"apple", "stone"};
    snprintf(folder, sizeof folder, "%s", temp_path("files"));
    assert_int_equal(mkdir(folder, 0777), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/%d.txt", folder, i);
        write_words(path[i], words[i]);
    }
    int seen[2][2] = {{0}}; /* [side][word] */
    for (int side = 0; side < 2; side++) {
        mn_dataset d = {.tokenizer = t, .n_ctx = N_CTX, .validation_share = 1e-6, .holds_out_files = true};
        add_source(&d, "files", 1, NULL, folder);
        d.validation = side;
        assert_ok(mn_dataset_check(&d, &err), err);
        window *x = malloc(sizeof *x);
        window_init(x);
        mn_dataset_cursor cursor = {.source = -1};
        for (int i = 0; i < 40; i++) {
            char *text;
            size_t bytes;
            assert_ok(mn_dataset_next(&d, &cursor, &x->w, &err), err);
            assert_ok(mn_detokenize(t, x->tokens, (size_t)x->w.n_tokens, false, &text, &bytes, &err), err);
            for (int word = 0; word < 2; word++) seen[side][word] += strstr(text, words[word]) != NULL;
            free(text);
        }
        free(x);
        mn_dataset_close(&d);
    }
    assert_true((seen[0][0] > 0) != (seen[0][1] > 0));
    assert_true((seen[0][0] > 0) != (seen[1][0] > 0) && (seen[0][1] > 0) != (seen[1][1] > 0));
    for (int i = 0; i < 2; i++) unlink(path[i]);
    rmdir(folder);
    mn_tokenizer_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permutation_is_a_bijection),
        cmocka_unit_test(test_pieces_cover_a_text),
        cmocka_unit_test(test_windows_are_functions_of_the_cursor),
        cmocka_unit_test(test_answers_are_in_the_text),
        cmocka_unit_test(test_texts_are_the_same_everywhere),
        cmocka_unit_test(test_usual_numbers),
        cmocka_unit_test(test_sides_share_no_word),
        cmocka_unit_test(test_short_texts_are_split),
        cmocka_unit_test(test_files_are_split),
        cmocka_unit_test(test_bad_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
