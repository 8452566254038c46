#include "cli/info_summary.h"

#include "base/checked.h"
#include "base/human.h"
#include "cli/info_scaling.h"
#include "cli/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

enum { LABEL_COLUMNS = 16 };

void info_put_safely(mn_strbuf *out, mn_gguf_string text, size_t max_chars) {
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text.data;
    utf8proc_ssize_t left = (utf8proc_ssize_t)text.bytes;
    for (; left > 0 && max_chars > 0; max_chars--) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(at, left, &c);
        if (c == '\n')
            mn_strbuf_puts(out, "\\n");
        else if (n < 1 || utf8proc_category(c) == UTF8PROC_CATEGORY_CC)
            mn_strbuf_putc(out, '?');
        else
            mn_strbuf_put(out, at, (size_t)n);
        at += MN_MAX(n, 1);
        left -= MN_MAX(n, 1);
    }
    if (left > 0) mn_strbuf_puts(out, "...");
}

void info_print_fact(const char *label, const char *format, ...) {
    va_list args;
    char *value;
    va_start(args, format);
    if (vasprintf(&value, format, args) >= 0) {
        mn_print_line(stdout, LABEL_COLUMNS, "%-*s%s", LABEL_COLUMNS, label, value);
        free(value);
    }
    va_end(args);
}

static void print_text(const char *label, mn_strbuf *text) {
    info_print_fact(label, "%s", text->data);
    mn_strbuf_release(text);
}

static void print_string(const char *label, mn_gguf_string value) {
    mn_strbuf text = MN_STRBUF_INIT;
    if (!value.data) return;
    info_put_safely(&text, value, INFO_SHOWN_CHARS);
    print_text(label, &text);
}

static void print_int(const char *label, int64_t value) {
    if (value >= 0) info_print_fact(label, "%lld", (long long)value);
}

static void print_params(const mn_model_facts *f) {
    mn_human all, rest, active;
    mn_strbuf text = MN_STRBUF_INIT;
    if (f->n_params == 0) return;
    mn_strbuf_printf(&text, "%s (%s without embeddings", mn_human_count(all, f->n_params),
                     mn_human_count(rest, f->n_params - f->n_params_embedding));
    if (f->n_experts > 0) mn_strbuf_printf(&text, "; %s used per token", mn_human_count(active, f->n_params_active));
    mn_strbuf_putc(&text, ')');
    print_text("parameters", &text);
}

static void print_heads(const mn_model_facts *f) {
    mn_strbuf text = MN_STRBUF_INIT;
    if (f->n_heads < 0) return;
    mn_strbuf_printf(&text, "%lld", (long long)f->n_heads);
    if (f->n_kv_heads >= 0) mn_strbuf_printf(&text, ", %lld for keys and values", (long long)f->n_kv_heads);
    if (f->head_dim_k >= 0) mn_strbuf_printf(&text, ", size %lld", (long long)f->head_dim_k);
    if (f->head_dim_v != f->head_dim_k) mn_strbuf_printf(&text, " (values %lld)", (long long)f->head_dim_v);
    print_text("heads", &text);
}

static void print_rope(const mn_model_facts *f) {
    mn_strbuf text = MN_STRBUF_INIT;
    mn_strbuf_puts(&text, "rope");
    if (f->rope_base > 0) mn_strbuf_printf(&text, ", base %.10g", f->rope_base);
    if (f->rope_dims > 0) mn_strbuf_printf(&text, ", %lld dimensions", (long long)f->rope_dims);
    if (f->rope_factors) mn_strbuf_puts(&text, ", with frequency factors");
    if (f->rope_scaling.data) mn_strbuf_puts(&text, ", ");
    info_put_safely(&text, f->rope_scaling, INFO_SHOWN_CHARS);
    if (f->rope_factor > 0) mn_strbuf_printf(&text, " factor %.10g", f->rope_factor);
    if (f->n_ctx_original > 0) mn_strbuf_printf(&text, " over %lld tokens", (long long)f->n_ctx_original);
    print_text("positions", &text);
}

static void print_positions(const mn_model_facts *f) {
    if (f->rope_base > 0 || f->rope_dims > 0)
        print_rope(f);
    else if (f->learned_positions || f->alibi)
        info_print_fact("positions", "%s", f->alibi ? "alibi" : "learned");
    else if (f->no_positions)
        info_print_fact("positions", "none");
}

static void print_types(const mn_model_facts *f) {
    mn_human bytes;
    for (int i = 0; i < MN_DTYPE_COUNT; i++)
        if (f->n_tensors[i])
            info_print_fact("tensors", "%lld %s, %s", (long long)f->n_tensors[i], mn_dtype_get(i)->name,
                            mn_human_bytes(bytes, f->tensor_bytes[i]));
}

static void print_tokenizer(const mn_model_facts *f) {
    mn_strbuf text = MN_STRBUF_INIT;
    if (f->tokenizer.data) {
        info_put_safely(&text, f->tokenizer, INFO_SHOWN_CHARS);
        if (f->tokenizer_pre.data) mn_strbuf_puts(&text, ", ");
        info_put_safely(&text, f->tokenizer_pre, INFO_SHOWN_CHARS);
        if (f->n_tokens >= 0) mn_strbuf_printf(&text, ", %lld tokens", (long long)f->n_tokens);
        print_text("tokenizer", &text);
    }
    info_print_fact("chat template", "%s",
                    f->chat_template  ? "yes"
                    : f->ask_template ? "no, but an ask template"
                                      : "no");
}

void info_print_summary(const mn_gguf *gguf, const mn_model_facts *f) {
    mn_human bytes;
    info_print_fact("file", "%s, GGUF version %d, %s", mn_gguf_path(gguf), mn_gguf_version(gguf),
                    mn_human_bytes(bytes, mn_gguf_file_bytes(gguf)));
    print_string("architecture", f->architecture);
    print_string("name", f->name);
    print_params(f);
    print_int("layers", f->n_layers);
    print_int("embedding", f->n_embd);
    print_heads(f);
    print_int("feed-forward", f->n_ff);
    if (f->n_experts > 0)
        info_print_fact("experts", "%lld, %lld used per token", (long long)f->n_experts, (long long)f->n_experts_used);
    print_string("expert load", f->expert_load);
    print_int("vocabulary", f->n_vocab);
    print_int("context", f->n_ctx);
    print_positions(f);
    print_types(f);
    print_tokenizer(f);
    info_print_scaling(f);
}
