/* Multi-round co-reference (after Gemini's and OpenAI's MRCR, 2024 and 2025): a long conversation of writing requests,
 * a form and a topic each, of which 2, 4 or 8 are the same; asked for the i-th of those texts, behind a given random
 * string. The texts are passages of the corpus. */
#include "eval/haystacks.h"
#include "eval/tasks.h"
#include "train/haystack.h"

#include <stdlib.h>
#include <string.h>

enum { PASSAGE_BYTES = 320, MOST = 8 };

static const char *const forms[] = {"poem",   "short story", "letter", "riddle",
                                    "speech", "diary entry", "song",   "news report"};

static const char *const ordinals[MOST] = {"first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"};

typedef struct request {
    const char *form;
    mn_word topic;
} request;

static request draw_request(mn_random *rng, const mn_corpus *corpus) {
    const char *form = forms[mn_random_below(rng, sizeof forms / sizeof *forms)];
    return (request){form, mn_draw_word(rng, corpus, MN_WORDS_EVAL)};
}

/* A passage without line ends. */
static void draw_passage(mn_random *rng, const mn_corpus *corpus, mn_strbuf *out) {
    mn_strbuf_reset(out);
    mn_haystack_prose(rng, corpus, PASSAGE_BYTES, out);
    for (size_t i = 0; i < out->bytes; i++)
        if ((unsigned char)out->data[i] < ' ') out->data[i] = ' ';
    while (out->bytes && out->data[out->bytes - 1] == ' ') out->data[--out->bytes] = 0;
    size_t blanks = strspn(out->data, " ");
    memmove(out->data, out->data + blanks, out->bytes + 1 - blanks);
    out->bytes -= blanks;
}

static void put_round(mn_strbuf *out, const request *r, const char *text) {
    mn_strbuf_printf(out, "User: Write a %s about %s.\nAssistant: %s\n", r->form, r->topic.text, text);
}

static void make(const mn_task_world *w, mn_random *rng, int64_t units, int n, mn_task_sample *out) {
    request wanted = draw_request(rng, w->corpus);
    mn_word code = mn_draw_hex(rng, 10);
    int asked = (int)mn_random_below(rng, (uint32_t)n), next = 0;
    int64_t at[MOST];
    mn_random places, others;
    mn_strbuf text = MN_STRBUF_INIT, answer = MN_STRBUF_INIT;
    mn_random_seed(&places, mn_random_u64(rng), 14);
    mn_random_seed(&others, mn_random_u64(rng), 15);
    mn_draw_places(&places, units, -1, at, n);
    mn_strbuf_puts(&out->document, "Here is a conversation. Some of its requests are the same.\n\n");
    for (int64_t i = 0; i <= units; i++) {
        for (; next < n && at[next] == i; next++) {
            draw_passage(rng, w->corpus, &text);
            put_round(&out->document, &wanted, text.data);
            if (next == asked) mn_strbuf_puts(&answer, text.data);
        }
        if (i == units) break;
        request other = draw_request(&others, w->corpus);
        if (!strcmp(other.topic.text, wanted.topic.text)) other.topic = mn_draw_hex(&others, 8);
        draw_passage(&others, w->corpus, &text);
        put_round(&out->document, &other, text.data);
    }
    mn_strbuf_printf(&out->question, "Write %s, then give back the %s %s about %s of the conversation, word for word.",
                     code.text, ordinals[asked], wanted.form, wanted.topic.text);
    mn_task_add_reference(out, code.text);
    mn_task_add_reference(out, answer.data);
    if (text.failed || answer.failed) out->document.failed = true;
    mn_strbuf_release(&text);
    mn_strbuf_release(&answer);
}

#define MRCR(n)                                                                                                        \
    static void make_##n(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {                 \
        make(w, rng, units, n, out);                                                                                   \
    }                                                                                                                  \
    const mn_task mn_task_mrcr_##n = {"mrcr_" #n, "one of " #n " texts asked for in the same words",                   \
                                      "rounds",   MN_SCORE_SIMILAR,                                                    \
                                      160,        false,                                                               \
                                      0,          INT64_C(1) << 16,                                                    \
                                      make_##n,   false};

MRCR(2)
MRCR(4)
MRCR(8)
