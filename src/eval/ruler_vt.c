/* Variable tracking (RULER, section 3): a chain of assignments in repeated noise; asked for every variable that has the
 * value. One worked example of shorter names comes first. */
#include "eval/haystacks.h"
#include "eval/ruler.h"

#include <stdio.h>
#include <stdlib.h>

enum { VARIABLES = 5, EXAMPLE_LINES = 5, LINE_BYTES = 128 };

static const char noise[] =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n";

typedef struct chain {
    mn_word names[VARIABLES], value;
    char lines[VARIABLES][LINE_BYTES];
} chain;

static chain draw_chain(mn_random *rng, int name_letters) {
    chain c;
    c.value = mn_draw_digits(rng, 5);
    mn_word last;
    for (int i = 0; i < VARIABLES; i++) {
        mn_word name = mn_draw_capitals(rng, name_letters);
        if (i == 0)
            snprintf(c.lines[i], LINE_BYTES, "VAR %.47s = %.47s\n", name.text, c.value.text);
        else
            snprintf(c.lines[i], LINE_BYTES, "VAR %.47s = VAR %.47s\n", name.text, last.text);
        c.names[i] = last = name;
    }
    return c;
}

/* The chain's lines, in their order, among so many of noise; the depth of the first. */
static double put_text(mn_random *rng, const chain *c, int64_t units, mn_strbuf *out) {
    int64_t at[VARIABLES];
    int next = 0;
    mn_draw_places(rng, units, -1, at, VARIABLES);
    for (int64_t i = 0; i <= units; i++) {
        while (next < VARIABLES && at[next] == i) mn_strbuf_puts(out, c->lines[next++]);
        if (i < units) mn_strbuf_puts(out, noise);
    }
    return units ? (double)at[0] / (double)units : 0;
}

static void put_question(const chain *c, mn_strbuf *out) {
    mn_strbuf_printf(out, "Find all variables that are assigned the value %s in the text above.", c->value.text);
}

static void put_prefix(const chain *c, mn_strbuf *out) {
    mn_strbuf_printf(out,
                     "By following the assignments in the text, %d variables have the value %s. They are:", VARIABLES,
                     c->value.text);
}

static void put_example(mn_random *rng, mn_strbuf *out) {
    chain c = draw_chain(rng, 3);
    put_text(rng, &c, EXAMPLE_LINES, out);
    put_question(&c, out);
    mn_strbuf_putc(out, ' ');
    put_prefix(&c, out);
    for (int i = 0; i < VARIABLES; i++) mn_strbuf_printf(out, " %s", c.names[i].text);
    mn_strbuf_puts(out, "\n\n");
}

static void make(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    (void)w;
    mn_random example, places;
    mn_random_seed(&example, mn_random_u64(rng), 3);
    mn_random_seed(&places, mn_random_u64(rng), 4);
    chain c = draw_chain(rng, 5);
    mn_strbuf_puts(&out->document, "Follow the assignments of variables that are hidden in the following text.\n\n");
    out->context_begin = out->document.bytes;
    mn_strbuf_puts(&out->query, c.value.text);
    put_example(&example, &out->document);
    out->depth = put_text(&places, &c, units, &out->document);
    put_question(&c, &out->question);
    put_prefix(&c, &out->prefix);
    for (int i = 0; i < VARIABLES; i++) mn_task_add_reference(out, c.names[i].text);
}

const mn_task mn_task_vt = {"vt",    "all variables of a chain of five assignments in noise",
                            "lines", MN_SCORE_ALL,
                            30,      false,
                            1,       INT64_C(1) << 22,
                            make,    false};
