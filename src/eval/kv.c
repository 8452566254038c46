/* Recall by position (Liu et al. 2023, "Lost in the Middle", arXiv:2307.03172): pairs of UUIDs as one JSON object;
 * asked for the value of one key, at a given depth. */
#include "eval/haystacks.h"
#include "eval/tasks.h"

static void make(const mn_task_world *w, mn_random *rng, int64_t units, mn_task_sample *out) {
    mn_random pairs;
    int64_t at;
    mn_word key = mn_draw_uuid(rng), value = mn_draw_uuid(rng);
    mn_draw_places(rng, units - 1, w->depth, &at, 1);
    mn_random_seed(&pairs, mn_random_u64(rng), 12);
    mn_strbuf_puts(&out->document, "Find the value of a key in the JSON object below.\n\n{");
    for (int64_t i = 0; i < units; i++) {
        mn_word k = mn_draw_uuid(&pairs), v = mn_draw_uuid(&pairs);
        if (i == at) {
            k = key;
            v = value;
        }
        mn_strbuf_printf(&out->document, "%s\"%s\": \"%s\"", i ? ",\n " : "", k.text, v.text);
    }
    mn_strbuf_puts(&out->document, "}\n");
    mn_strbuf_printf(&out->question, "What is the value of key \"%s\"?", key.text);
    mn_strbuf_printf(&out->prefix, "\"%s\":", key.text);
    mn_task_add_reference(out, value.text);
    out->depth = units > 1 ? (double)at / (double)(units - 1) : 0;
}

const mn_task mn_task_kv = {"kv",    "the value of one of many UUIDs in a JSON object",
                            "pairs", MN_SCORE_ALL,
                            64,      false,
                            1,       INT64_C(1) << 20,
                            make,    true};
