/* Functions that edit core memory: MemGPT's and Letta's, under their names. */
#include "memory/agent_inside.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- what they share ---- */

/* The block that "label" (or "name", as MemGPT called it) means. */
static mn_status find_block(mn_agent *a, const json_t *arguments, mn_block **out, mn_error *err) {
    const char *label = json_string_value(json_object_get(arguments, "label"));
    mn_strbuf labels = MN_STRBUF_INIT;
    if (!label) label = json_string_value(json_object_get(arguments, "name"));
    if (!label) return mn_fail(err, MN_ERR_ARGUMENT, "The argument \"label\", a block's, is missing.");
    *out = mn_block_find(&a->blocks, label);
    if (*out) return MN_OK;
    for (size_t i = 0; i < a->blocks.n; i++)
        mn_strbuf_printf(&labels, "%s%s", labels.bytes ? ", " : "", a->blocks.items[i].label);
    mn_status status = mn_fail(err, MN_ERR_ARGUMENT, "There is no block \"%.60s\"; there are: %s.", label, labels.data);
    mn_strbuf_release(&labels);
    return status;
}

static mn_status put_value(mn_agent *a, mn_block *block, const char *value, mn_function_result *out, mn_error *err) {
    if (!mn_agent_blocks_fit(a, block->label, value))
        return mn_fail(err, MN_ERR_LIMIT,
                       "With this value core memory would fill more than half of the window of %lld tokens; shorten "
                       "it. Nothing was changed.",
                       (long long)a->params.window_tokens);
    MN_TRY(a->is_rehearsal ? mn_block_rehearse(block, value, err)
                           : mn_core_set(a->store, a->row.id, block, value, "agent", err));
    out->edits_blocks = true;
    mn_strbuf_printf(&out->text, "The block \"%s\" has %lld of %lld characters now.", block->label,
                     (long long)mn_text_chars(value), (long long)block->limit_chars);
    return MN_OK;
}

/* Takes over the text, NULL = no memory. */
static mn_status put_built(mn_agent *a, mn_block *block, mn_strbuf *value, mn_function_result *out, mn_error *err) {
    mn_status status = value->failed ? mn_fail(err, MN_ERR_MEMORY, "There is no memory for a block.")
                                     : put_value(a, block, value->data, out, err);
    mn_strbuf_release(value);
    return status;
}

/* value with new_text in the place of [at, at + bytes). */
static mn_status put_spliced(mn_agent *a, mn_block *block, size_t at, size_t bytes, const char *new_text,
                             mn_function_result *out, mn_error *err) {
    mn_strbuf value = MN_STRBUF_INIT;
    mn_strbuf_put(&value, block->value, at);
    mn_strbuf_puts(&value, new_text);
    mn_strbuf_puts(&value, block->value + at + bytes);
    return put_built(a, block, &value, out, err);
}

/* ---- append and replace ---- */

static mn_status append(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    mn_block *block;
    const char *content;
    mn_strbuf value = MN_STRBUF_INIT;
    MN_TRY(find_block(a, arguments, &block, err));
    MN_TRY(mn_argument_text(arguments, "content", &content, err));
    mn_strbuf_printf(&value, "%s%s%s", block->value, *block->value ? "\n" : "", content);
    return put_built(a, block, &value, out, err);
}

static mn_status replace(mn_agent *a, const json_t *arguments, const char *old_name, const char *new_name,
                         bool must_be_unique, mn_function_result *out, mn_error *err) {
    mn_block *block;
    const char *old_text, *new_text;
    MN_TRY(find_block(a, arguments, &block, err));
    MN_TRY(mn_argument_text(arguments, old_name, &old_text, err));
    MN_TRY(mn_argument_text(arguments, new_name, &new_text, err));
    const char *at = *old_text ? strstr(block->value, old_text) : NULL;
    if (!at)
        return mn_fail(err, MN_ERR_ARGUMENT, "The block \"%.60s\" does not hold \"%.100s\"; it must match exactly%s.",
                       block->label, old_text, !strncmp(old_text, "Line ", 5) ? ", without a line's number" : "");
    if (must_be_unique && strstr(at + 1, old_text))
        return mn_fail(err, MN_ERR_ARGUMENT, "The block \"%.60s\" holds \"%.100s\" more than once; give more of it.",
                       block->label, old_text);
    return put_spliced(a, block, (size_t)(at - block->value), strlen(old_text), new_text, out, err);
}

static mn_status core_replace(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    return replace(a, arguments, "old_content", "new_content", false, out, err);
}

static mn_status memory_replace(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    return replace(a, arguments, "old_string", "new_string", true, out, err);
}

/* ---- insert, rethink ---- */

/* Behind line insert_line, 0 = before the first, -1 = at the end. */
static mn_status insert(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    mn_block *block;
    const char *text;
    mn_strbuf value = MN_STRBUF_INIT;
    MN_TRY(find_block(a, arguments, &block, err));
    MN_TRY(mn_argument_text(arguments, "new_string", &text, err));
    int64_t line = mn_argument_int(arguments, "insert_line", -1, 1000000, -1);
    const char *at = block->value;
    for (int64_t i = 0; i < line && *at; i++) {
        const char *end = strchr(at, '\n');
        at = end ? end + 1 : at + strlen(at);
    }
    if (line < 0) at += strlen(at);
    size_t before = (size_t)(at - block->value);
    mn_strbuf_put(&value, block->value, before);
    if (before && block->value[before - 1] != '\n') mn_strbuf_putc(&value, '\n');
    mn_strbuf_puts(&value, text);
    if (*at) mn_strbuf_printf(&value, "\n%s", at);
    return put_built(a, block, &value, out, err);
}

static mn_status rethink(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    mn_block *block;
    const char *text;
    MN_TRY(find_block(a, arguments, &block, err));
    MN_TRY(mn_argument_text(arguments, "new_memory", &text, err));
    return put_value(a, block, text, out, err);
}

/* ---- patches ---- */

/* A piece of a patch: what stands there, and what is to stand there. */
typedef struct hunk {
    mn_strbuf old_text, new_text;
} hunk;

static void add_line(mn_strbuf *text, const char *line, size_t bytes) {
    if (text->bytes) mn_strbuf_putc(text, '\n');
    mn_strbuf_put(text, line, bytes);
}

/* Takes the lines of a hunk from *at on: ' ' in both, '-' in the old text, '+' in the new; up to a line of @@ or the
 * end. Lines of headers are passed over. */
static void take_hunk(const char **at, hunk *h) {
    while (**at) {
        const char *line = *at;
        size_t bytes = strcspn(line, "\n");
        *at = line + bytes + (line[bytes] == '\n');
        if (!strncmp(line, "@@", 2)) {
            if (h->old_text.bytes || h->new_text.bytes) return;
            continue;
        }
        if (!strncmp(line, "---", 3) || !strncmp(line, "+++", 3) || !strncmp(line, "***", 3)) continue;
        if (*line != '+') add_line(&h->old_text, line + (bytes > 0), bytes - (bytes > 0));
        if (*line != '-') add_line(&h->new_text, line + (bytes > 0), bytes - (bytes > 0));
    }
}

/* Puts the hunk's new text in the place of its old one, which stands there once; a hunk that only adds goes to the end.
 */
static mn_status apply_hunk(mn_strbuf *value, const hunk *h, mn_error *err) {
    mn_strbuf next = MN_STRBUF_INIT;
    const char *old_text = h->old_text.data, *at = h->old_text.bytes ? strstr(value->data, old_text) : NULL;
    if (h->old_text.bytes && (!at || strstr(at + 1, old_text)))
        return mn_fail(err, MN_ERR_ARGUMENT, "A piece of the patch matches %s: \"%.100s\". Nothing was changed.",
                       at ? "more than once" : "nowhere", old_text);
    size_t before = at ? (size_t)(at - value->data) : value->bytes;
    mn_strbuf_put(&next, value->data, before);
    if (!at && value->bytes) mn_strbuf_putc(&next, '\n');
    mn_strbuf_put(&next, h->new_text.data, h->new_text.bytes);
    mn_strbuf_puts(&next, value->data + before + (at ? h->old_text.bytes : 0));
    mn_strbuf_release(value);
    *value = next;
    return MN_OK;
}

static mn_status apply_patch(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    mn_block *block;
    const char *patch;
    mn_strbuf value = MN_STRBUF_INIT;
    MN_TRY(find_block(a, arguments, &block, err));
    MN_TRY(mn_argument_text(arguments, "patch", &patch, err));
    mn_strbuf_puts(&value, block->value);
    mn_status status = MN_OK;
    while (*patch && status == MN_OK) {
        hunk h = {MN_STRBUF_INIT, MN_STRBUF_INIT};
        take_hunk(&patch, &h);
        if (h.old_text.bytes || h.new_text.bytes) status = apply_hunk(&value, &h, err);
        mn_strbuf_release(&h.old_text);
        mn_strbuf_release(&h.new_text);
    }
    if (status == MN_OK) return put_built(a, block, &value, out, err);
    mn_strbuf_release(&value);
    return status;
}

static mn_status finish_edits(mn_agent *a, const json_t *arguments, mn_function_result *out, mn_error *err) {
    (void)a, (void)arguments, (void)err;
    out->is_finished = true;
    mn_strbuf_puts(&out->text, "Done.");
    return MN_OK;
}

#define TEXT(name) "\"" name "\": {\"type\": \"string\"}"
#define LABEL TEXT("label")

enum { EVERYONE = MN_FOR_TALK | MN_FOR_SLEEP };

const mn_function mn_core_functions[] = {
    {"core_memory_append", "Adds a line to a block of core memory.", "{" LABEL ", " TEXT("content") "}",
     "[\"label\", \"content\"]", EVERYONE, append},
    {"core_memory_replace", "Replaces text in a block, matched exactly; an empty new text deletes it.",
     "{" LABEL ", " TEXT("old_content") ", " TEXT("new_content") "}", "[\"label\", \"old_content\", \"new_content\"]",
     EVERYONE, core_replace},
    {"memory_replace", "The same for text that stands there once only.",
     "{" LABEL ", " TEXT("old_string") ", " TEXT("new_string") "}", "[\"label\", \"old_string\", \"new_string\"]",
     EVERYONE, memory_replace},
    {"memory_insert", "Inserts text behind a line of a block (0 = at the beginning, -1 = at the end).",
     "{" LABEL ", " TEXT("new_string") ", \"insert_line\": {\"type\": \"integer\"}}", "[\"label\", \"new_string\"]",
     EVERYONE, insert},
    {"memory_rethink", "Writes a block anew.", "{" LABEL ", " TEXT("new_memory") "}", "[\"label\", \"new_memory\"]",
     EVERYONE, rethink},
    {"memory_apply_patch", "Changes a block by a patch: lines that begin with a blank stay, - go, + come.",
     "{" LABEL ", " TEXT("patch") "}", "[\"label\", \"patch\"]", EVERYONE, apply_patch},
    {"memory_finish_edits", "Says that memory is in order.", "{}", "[]", MN_FOR_SLEEP, finish_edits},
    {0},
};
