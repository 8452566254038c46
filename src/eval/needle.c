/* Needles in the forms that our own models know (docs/training.md): one fact, eight keys, four numbers, chains of three
 * hops, four values, JSON pairs, the pass key in prose and in filler (Mohtashami and Jaggi 2023, arXiv:2305.16300). The
 * question is put by the model's ask template, which opens the answer itself. */
#include "eval/haystacks.h"
#include "eval/tasks.h"
#include "train/haystack.h"
#include "train/needles.h"

#include <stdlib.h>
#include <string.h>

enum { UNIT_BYTES = 32 };

/* One sentence at a depth of the haystack, prose or filler. */
static void make_single(const mn_task_world *w, mn_random *rng, int64_t units, bool filler, const char *needle,
                        mn_task_sample *out) {
    mn_strbuf hay = MN_STRBUF_INIT;
    static size_t none;
    size_t *ends = NULL;
    int64_t n_ends = 0, at;
    mn_random lines;
    mn_random_seed(&lines, mn_random_u64(rng), 13);
    if (filler) {
        static const char sentence[] =
            "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ";
        ends = malloc(((size_t)units + 1) * sizeof *ends);
        for (; ends && n_ends < units; n_ends++) {
            mn_strbuf_puts(&hay, sentence);
            ends[n_ends] = hay.bytes;
        }
        if (!ends) hay.failed = true;
    } else {
        mn_essay(&lines, w->corpus, units, &hay, &ends, &n_ends);
    }
    mn_draw_places(rng, n_ends, w->depth, &at, 1);
    out->depth = n_ends ? (double)at / (double)n_ends : 0;
    mn_put_needles(&out->document, hay.data, ends ? ends : &none, n_ends, &at, &needle, 1);
    while (out->document.bytes && strchr(" \n", out->document.data[out->document.bytes - 1])) out->document.bytes--;
    if (out->document.bytes) out->document.data[out->document.bytes] = 0;
    if (hay.failed) out->document.failed = true;
    free(ends);
    mn_strbuf_release(&hay);
}

static void make_needle(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    mn_word name = mn_draw_name(rng, w->corpus, MN_WORDS_EVAL), value = mn_draw_digits(rng, 5);
    mn_strbuf needle = MN_STRBUF_INIT;
    mn_strbuf_printf(&needle, "The secret number of %s is %s. ", name.text, value.text);
    make_single(w, rng, units, false, needle.data, out);
    mn_strbuf_printf(&out->question, "What is the secret number of %s?", name.text);
    mn_task_add_reference(out, value.text);
    mn_strbuf_release(&needle);
}

static void make_pass(const mn_task_world *w, mn_random *rng, int64_t units, bool filler, mn_task_sample *out) {
    mn_word value = mn_draw_digits(rng, 5);
    mn_strbuf needle = MN_STRBUF_INIT;
    mn_strbuf_printf(&needle, "The pass key is %s. Remember it. %s is the pass key. ", value.text, value.text);
    make_single(w, rng, units, filler, needle.data, out);
    mn_strbuf_puts(&out->question, "What is the pass key?");
    mn_task_add_reference(out, value.text);
    mn_strbuf_release(&needle);
}

static void make_passkey(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    make_pass(w, rng, units, false, out);
}

static void make_passkey_filler(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    make_pass(w, rng, units, true, out);
}

/* A document of the training's maker with one question, taken apart again. */
static void make_made(const mn_task_world *w, mn_random *rng, int64_t units, mn_needle_params p, mn_task_sample *out) {
    static const char mark[] = "\nQuestion: ", answer_mark[] = "\nAnswer: ";
    mn_document_draft d = MN_DOCUMENT_DRAFT_INIT;
    p.corpus = w->corpus;
    p.side = MN_WORDS_EVAL;
    p.n_questions = 1;
    mn_needle_make(rng, &p, (size_t)units * UNIT_BYTES, &d);
    const char *question = d.text.failed ? NULL : strstr(d.text.data, mark),
               *answer = question ? strstr(question, answer_mark) : NULL;
    if (!answer) {
        out->document.failed = true;
        mn_document_draft *gone = &d;
        mn_draft_release(gone);
        return;
    }
    mn_strbuf_put(&out->document, d.text.data, (size_t)(question - d.text.data));
    question += sizeof mark - 1;
    mn_strbuf_put(&out->question, question, (size_t)(answer - question));
    size_t begin = 0, asked = (size_t)(answer - d.text.data);
    for (int i = 0; i < d.n_runs; begin = d.runs[i++].end) {
        if (d.runs[i].role != MN_ROLE_VALUE || d.runs[i].end <= asked) continue;
        size_t from = begin > asked ? begin : asked, n = strcspn(d.text.data + from, ".\"\n");
        char value[256];
        const char *text = d.text.data + from;
        if (n == 0 || n >= sizeof value || from + n > d.runs[i].end) continue;
        memcpy(value, text, n);
        value[n] = 0;
        char *last = strrchr(value, ' ');
        mn_task_add_reference(out, last ? last + 1 : value); /* of a chain the number at its end */
    }
    mn_draft_release(&d);
}

static void make_keys(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    make_made(
        w, rng, units,
        (mn_needle_params){.kind = MN_NEEDLE_KEY_VALUE, .min_keys = 8, .max_keys = 8, .min_hops = 1, .max_hops = 1},
        out);
}

/* Numbers in the usual wording: what a memory of fixed size is trained to hold several of. */
static void make_facts(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    make_made(w, rng, units,
              (mn_needle_params){.kind = MN_NEEDLE_KEY_VALUE,
                                 .min_keys = 4,
                                 .max_keys = 4,
                                 .min_hops = 1,
                                 .max_hops = 1,
                                 .digits = true,
                                 .usual_wording = true},
              out);
}

static void make_chain(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    make_made(w, rng, units,
              (mn_needle_params){.kind = MN_NEEDLE_CHAIN, .min_keys = 1, .max_keys = 1, .min_hops = 3, .max_hops = 3},
              out);
}

static void make_values(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    make_made(w, rng, units,
              (mn_needle_params){.kind = MN_NEEDLE_VALUES, .min_keys = 4, .max_keys = 4, .min_hops = 1, .max_hops = 1},
              out);
}

static void make_json(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    make_made(w, rng, units,
              (mn_needle_params){.kind = MN_NEEDLE_JSON, .min_keys = 4, .max_keys = 4, .min_hops = 1, .max_hops = 1},
              out);
}

#define OURS(id, label, what, tokens, unit, least, by_depth)                                                           \
    const mn_task mn_task_##id = {label,     what,    unit, MN_SCORE_ALL, tokens, true, least, INT64_C(1) << 22,       \
                                  make_##id, by_depth};

OURS(needle, "needle", "one secret number in prose", 24, "sentences", 0, true)
OURS(passkey, "passkey", "the pass key in prose", 16, "sentences", 0, true)
OURS(passkey_filler, "passkey-filler", "the pass key in repeated filler", 16, "lines", 0, true)
OURS(keys, "keys", "one of eight keys in prose", 24, "of 32 bytes", 16, false)
OURS(facts, "facts", "one of four numbers in prose", 24, "of 32 bytes", 8, false)
OURS(chain, "chain", "the value of a chain of three hops in prose", 72, "of 32 bytes", 8, false)
OURS(values, "values", "four values of one key in prose", 144, "of 32 bytes", 16, false)
OURS(json, "json", "one of four JSON pairs in prose", 32, "of 32 bytes", 8, false)
