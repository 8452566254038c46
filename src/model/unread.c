#include "model/unread.h"

#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 8 };

/* Keys of which it is known that they change nothing: the ranks of RWKV-7 are those of its tensors, and the epsilon of
 * LayerNorm also stands where all norms are RMSNorm. */
static const char *const idle_keys[] = {
    "tensor_data_layout",       "attention.layer_norm_epsilon",           "attention.decay_lora_rank",
    "attention.iclr_lora_rank", "attention.value_residual_mix_lora_rank", "attention.gate_lora_rank"};

typedef struct name_list {
    mn_strbuf text;
    int64_t n;
} name_list;

static void add_name(name_list *list, mn_gguf_string name) {
    if (list->n++ < MAX_NAMES) mn_strbuf_printf(&list->text, "%s%s", list->n > 1 ? ", " : "", mn_gguf_show(name).text);
}

/* "a, b and 3 more" */
static const char *end_list(name_list *list) {
    if (list->n > MAX_NAMES) mn_strbuf_printf(&list->text, " and %lld more", (long long)(list->n - MAX_NAMES));
    return list->text.failed ? "some" : list->text.data;
}

/* Whether the key is "ARCH.SUFFIX" and may matter. */
static bool belongs_to(const char *arch, mn_gguf_string key) {
    size_t bytes = strlen(arch);
    if (key.bytes <= bytes || memcmp(key.data, arch, bytes) || key.data[bytes] != '.') return false;
    const char *suffix = key.data + bytes + 1;
    size_t suffix_bytes = key.bytes - bytes - 1;
    for (size_t i = 0; i < sizeof idle_keys / sizeof *idle_keys; i++)
        if (suffix_bytes == strlen(idle_keys[i]) && !memcmp(suffix, idle_keys[i], suffix_bytes)) return false;
    return true;
}

static void note_keys(const mn_model *m, mn_notes *notes) {
    name_list unread = {MN_STRBUF_INIT, 0};
    for (int64_t i = 0; i < mn_gguf_n_kv(m->gguf); i++) {
        mn_gguf_string key = mn_gguf_kv_at(m->gguf, i)->key;
        if (!mn_gguf_was_read(m->gguf, i) && belongs_to(m->config.arch, key)) add_name(&unread, key);
    }
    if (unread.n)
        mn_notes_add(notes, "%s: nothing here reads %s; if the model needs %s, its answers will be worse than it can.",
                     mn_gguf_path(m->gguf), end_list(&unread), unread.n > 1 ? "them" : "it");
    mn_strbuf_release(&unread.text);
}

/* Blocks that guess further tokens stand behind the layers, and nothing misses them. */
static bool is_behind_layers(const mn_model *m, const char *name) {
    return !strncmp(name, "blk.", 4) && strtol(name + 4, NULL, 10) >= m->config.n_layers;
}

static void note_tensors(const mn_model *m, mn_notes *notes) {
    name_list unbound = {MN_STRBUF_INIT, 0};
    for (int64_t i = 0; i < mn_gguf_n_tensors(m->gguf); i++) {
        const char *name = mn_gguf_tensor_at(m->gguf, i)->name;
        if (!m->weights.is_bound[i] && !is_behind_layers(m, name))
            add_name(&unbound, (mn_gguf_string){name, strlen(name)});
    }
    if (unbound.n)
        mn_notes_add(notes,
                     "%s: %s models have no use here for the tensors %s; if this one needs them, its answers will "
                     "be worse than it can.",
                     mn_gguf_path(m->gguf), m->config.arch, end_list(&unbound));
    mn_strbuf_release(&unbound.text);
}

void mn_model_note_unread(const mn_model *m, mn_notes *notes) {
    note_keys(m, notes);
    note_tensors(m, notes);
}
