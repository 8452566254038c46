/* mnemo info: what a model file holds, and what this processor offers. */
#include "base/human.h"
#include "cli/info_rope.h"
#include "cli/info_scaling.h"
#include "cli/info_summary.h"
#include "cli/info_techniques.h"
#include "cli/json_text.h"
#include "cli/model_facts.h"
#include "cli/model_file.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include "base/checked.h"
#include "base/strbuf.h"
#include "kernels/cpu.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_ITEMS = 6 };

static void put_item(mn_strbuf *out, mn_gguf_type type, const unsigned char **at, int length_bytes) {
    char number[32];
    if (type == MN_GGUF_STRING) {
        mn_strbuf_putc(out, '"');
        info_put_safely(out, mn_gguf_next_string(at, length_bytes), INFO_SHOWN_CHARS);
        mn_strbuf_putc(out, '"');
        return;
    }
    mn_gguf_number_text(type, *at, number);
    mn_strbuf_puts(out, number);
    *at += mn_gguf_type_bytes(type);
}

static void print_key(const mn_gguf_kv *kv) {
    const unsigned char *at = kv->data;
    bool array = kv->type == MN_GGUF_ARRAY;
    mn_strbuf line = MN_STRBUF_INIT;
    info_put_safely(&line, kv->key, SIZE_MAX);
    mn_strbuf_printf(&line, " (%s%s) = ", mn_gguf_type_name(array ? kv->item_type : kv->type), array ? " array" : "");
    if (!array) put_item(&line, kv->type, &at, kv->length_bytes);
    for (uint64_t i = 0; array && i < MN_MIN(kv->n_items, (uint64_t)SHOWN_ITEMS); i++) {
        if (i) mn_strbuf_puts(&line, ", ");
        put_item(&line, kv->item_type, &at, kv->length_bytes);
    }
    if (array && kv->n_items > SHOWN_ITEMS)
        mn_strbuf_printf(&line, ", ... (%llu items)", (unsigned long long)kv->n_items);
    mn_print_line(stdout, 2, "%s", line.data);
    mn_strbuf_release(&line);
}

static void print_tensor(const mn_tensor *t) {
    mn_human bytes;
    mn_strbuf line = MN_STRBUF_INIT;
    info_put_safely(&line, (mn_gguf_string){t->name, strlen(t->name)}, SIZE_MAX);
    mn_strbuf_printf(&line, "  %s [", mn_dtype_get(t->type)->name);
    for (int i = t->n_dims - 1; i >= 0; i--) mn_strbuf_printf(&line, "%lld%s", (long long)t->ne[i], i ? ", " : "]");
    mn_print_line(stdout, 2, "%s %s", line.data, mn_human_bytes(bytes, t->bytes));
    mn_strbuf_release(&line);
}

/* Text that is no UTF-8 cannot stand in JSON and becomes null. */
static json_t *json_text(mn_gguf_string text) {
    json_t *value = text.data ? json_stringn(text.data, text.bytes) : NULL;
    return value ? value : json_null();
}

static json_t *json_item(mn_gguf_type type, const unsigned char **at, int length_bytes) {
    char number[32];
    if (type == MN_GGUF_STRING) return json_text(mn_gguf_next_string(at, length_bytes));
    mn_gguf_number_text(type, *at, number);
    json_t *value = json_loads(number, JSON_DECODE_ANY, NULL);
    *at += mn_gguf_type_bytes(type);
    return value ? value : json_null(); /* nan, inf */
}

/* A long array becomes {"n_items": N, "first": [...]}. */
static json_t *json_value(const mn_gguf_kv *kv) {
    const unsigned char *at = kv->data;
    if (kv->type != MN_GGUF_ARRAY) return json_item(kv->type, &at, kv->length_bytes);
    json_t *items = json_array();
    for (uint64_t i = 0; i < MN_MIN(kv->n_items, (uint64_t)SHOWN_ITEMS); i++)
        json_array_append_new(items, json_item(kv->item_type, &at, kv->length_bytes));
    if (kv->n_items <= SHOWN_ITEMS) return items;
    return json_pack("{s:I,s:o}", "n_items", (json_int_t)kv->n_items, "first", items);
}

static json_t *json_keys(const mn_gguf *gguf) {
    json_t *keys = json_object();
    for (int64_t i = 0; i < mn_gguf_n_kv(gguf); i++) {
        const mn_gguf_kv *kv = mn_gguf_kv_at(gguf, i);
        char *name = strndup(kv->key.data, kv->key.bytes);
        if (!name || json_object_set_new(keys, name, json_value(kv)))
            json_object_set_new(keys, mn_gguf_show(kv->key).text, json_null());
        free(name);
    }
    return keys;
}

static json_t *json_tensors(const mn_gguf *gguf) {
    json_t *tensors = json_array();
    for (int64_t i = 0; i < mn_gguf_n_tensors(gguf); i++) {
        const mn_tensor *t = mn_gguf_tensor_at(gguf, i);
        json_t *shape = json_array();
        for (int d = t->n_dims - 1; d >= 0; d--) json_array_append_new(shape, json_integer(t->ne[d]));
        json_array_append_new(
            tensors, json_pack("{s:o,s:s,s:o,s:I}", "name", json_text((mn_gguf_string){t->name, strlen(t->name)}),
                               "type", mn_dtype_get(t->type)->name, "shape", shape, "bytes", (json_int_t)t->bytes));
    }
    return tensors;
}

static json_t *json_types(const mn_model_facts *f) {
    json_t *types = json_object();
    for (int i = 0; i < MN_DTYPE_COUNT; i++)
        if (f->n_tensors[i])
            json_object_set_new(types, mn_dtype_get(i)->name,
                                json_pack("{s:I,s:I}", "n_tensors", (json_int_t)f->n_tensors[i], "bytes",
                                          (json_int_t)f->tensor_bytes[i]));
    return types;
}

static json_t *json_int_or_null(int64_t value) { return value < 0 ? json_null() : json_integer(value); }

static json_t *json_summary(const mn_gguf *gguf, const mn_model_facts *f) {
    json_t *root = json_object();
    const struct {
        const char *name;
        int64_t value;
    } ints[] = {
        {"version", mn_gguf_version(gguf)},
        {"file_bytes", (int64_t)mn_gguf_file_bytes(gguf)},
        {"n_params", f->n_params},
        {"n_params_embedding", f->n_params_embedding},
        {"n_params_active", f->n_params_active},
        {"n_layers", f->n_layers},
        {"n_embd", f->n_embd},
        {"n_heads", f->n_heads},
        {"n_kv_heads", f->n_kv_heads},
        {"head_dim_k", f->head_dim_k},
        {"head_dim_v", f->head_dim_v},
        {"n_ff", f->n_ff},
        {"n_experts", f->n_experts},
        {"n_experts_used", f->n_experts_used},
        {"n_vocab", f->n_vocab},
        {"n_tokens", f->n_tokens},
        {"n_ctx", f->n_ctx},
        {"n_ctx_original", f->n_ctx_original},
        {"rope_dims", f->rope_dims},
    };
    const struct {
        const char *name;
        mn_gguf_string value;
    } strings[] = {
        {"architecture", f->architecture},   {"name", f->name},
        {"rope_scaling", f->rope_scaling},   {"tokenizer", f->tokenizer},
        {"tokenizer_pre", f->tokenizer_pre},
    };
    json_object_set_new(root, "path", mn_json_name(mn_gguf_path(gguf)));
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        json_object_set_new(root, strings[i].name, json_text(strings[i].value));
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        json_object_set_new(root, ints[i].name, json_int_or_null(ints[i].value));
    json_object_set_new(root, "rope_freq_base", f->rope_base > 0 ? json_real(f->rope_base) : json_null());
    json_object_set_new(root, "rope_factor", f->rope_factor > 0 ? json_real(f->rope_factor) : json_null());
    json_object_set_new(root, "chat_template", json_boolean(f->chat_template));
    json_object_set_new(root, "ask_template", json_boolean(f->ask_template));
    json_object_set_new(root, "types", json_types(f));
    info_put_scaling(root, f);
    return root;
}

typedef struct info_args {
    const char *path;
    bool cpu, techniques, archs, keys, tensors, rope, json;
    mn_info_rope_args rope_args;
} info_args;

static void print_json(json_t *root) {
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

static void print_model_json(const info_args *args, const mn_gguf *gguf, const mn_model_facts *facts) {
    json_t *root = json_summary(gguf, facts);
    if (args->keys) json_object_set_new(root, "keys", json_keys(gguf));
    if (args->tensors) json_object_set_new(root, "tensors", json_tensors(gguf));
    print_json(root);
}

static void print_model(const info_args *args, const mn_gguf *gguf, const mn_model_facts *facts) {
    if (!args->keys && !args->tensors) info_print_summary(gguf, facts);
    for (int64_t i = 0; args->keys && i < mn_gguf_n_kv(gguf); i++) print_key(mn_gguf_kv_at(gguf, i));
    for (int64_t i = 0; args->tensors && i < mn_gguf_n_tensors(gguf); i++) print_tensor(mn_gguf_tensor_at(gguf, i));
}

static mn_status show_model(const info_args *args, mn_error *err) {
    mn_gguf *gguf = NULL;
    mn_model_facts facts;
    MN_TRY(mn_gguf_open(args->path, &gguf, err));
    if (args->rope) {
        mn_status status = mn_info_rope(gguf, &args->rope_args, err);
        mn_gguf_close(gguf);
        return status;
    }
    mn_model_facts_read(gguf, &facts);
    if (args->json)
        print_model_json(args, gguf, &facts);
    else
        print_model(args, gguf, &facts);
    mn_gguf_close(gguf);
    return MN_OK;
}

static mn_status show_cpu(bool json, mn_error *err) {
    mn_cpu_level chosen = MN_CPU_GENERIC;
    json_t *levels = json_array();
    mn_status status = mn_cpu_choose(&chosen, err);
    for (int i = 0; i < MN_CPU_LEVEL_COUNT && !status; i++) {
        if (!mn_cpu_supports((mn_cpu_level)i)) continue;
        json_array_append_new(levels, json_string(mn_cpu_level_name((mn_cpu_level)i)));
        if (!json) printf("%s%s\n", mn_cpu_level_name((mn_cpu_level)i), i == (int)chosen ? " (used)" : "");
    }
    if (!status && json) print_json(json_pack("{s:O,s:s}", "levels", levels, "used", mn_cpu_level_name(chosen)));
    json_decref(levels);
    return status;
}

int cmd_info(int argc, char **argv) {
    info_args args = {0};
    mn_error err;
    mn_text_list none;
    const mn_option options[] = {
        MN_OPTION_TEXT("m model", &args.path, "FILE", NULL, "model file (GGUF); of a split model any part"),
        MN_OPTION_FLAG("keys", &args.keys, "list the metadata"),
        MN_OPTION_FLAG("tensors", &args.tensors, "list the tensors, shapes outermost first"),
        {.names = "cpu",
         .kind = MN_OPT_FLAG,
         .to.flag = &args.cpu,
         .help = "which instruction sets this processor has, and which is used",
         .traits = MN_OPT_NOT_FROM_ENV}, /* MNEMO_CPU chooses one */
        MN_OPTION_FLAG("archs", &args.archs, "the architectures that run"),
        MN_OPTION_FLAG("techniques", &args.techniques, "the table of techniques, as Markdown"),
        MN_OPTION_FLAG("rope", &args.rope, "the wavelength of each pair of dimensions under each RoPE scaling"),
        MN_OPTION_INT("c ctx-size", &args.rope_args.n_ctx, "N", NULL, 1, 1e12, "the window that --rope scales to"),
        MN_OPTION_WRITTEN("svg", &args.rope_args.svg, "FILE", "draw what --rope prints"),
        MN_OPTION_FLAG("json", &args.json, "print one JSON object"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "info",
        .synopsis =
            "[MODEL] [--keys] [--tensors] [--rope [-c N] [--svg FILE]] [--json] | --cpu | --archs | --techniques",
        .about = "Says what a model file holds, without running it.",
        .example = "mnemo info model.gguf",
        .options = options,
        .words = "model"};
    int code = mn_options_parse(&usage, argc, argv, &none);
    if (code >= 0) return code;
    if (args.archs + args.techniques + args.cpu > 1)
        return mn_cli_wrong(&usage, "of --cpu, --archs and --techniques only one can be given.");
    if (args.archs) mn_info_archs(args.json);
    if (args.techniques) mn_info_techniques(args.json);
    if (args.archs || args.techniques) return MN_EXIT_DONE;
    args.rope_args.json = args.json;
    mn_status status = args.cpu ? show_cpu(args.json, &err) : mn_model_file_find(&args.path, &err);
    if (!args.cpu && status == MN_OK) status = show_model(&args, &err);
    return status ? mn_cli_fail("info", &err) : MN_EXIT_DONE;
}
