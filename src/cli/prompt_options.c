#include "cli/prompt_options.h"

#include "base/file.h"
#include "base/strbuf.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "tokenizer/named_template.h"
#include "tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TEMPLATE_BYTES = 256 << 10 };

bool mn_given_verbose_prompt;

const mn_option mn_prompt_option_rows[] = {
    MN_OPTION_TEXT("chat-template chat-template-file", &mn_given_model.chat_template, "NAME|FILE", NULL,
                   "chat template in the place of the model's: chatml llama3 gemma ... or a file (Jinja)"),
    MN_OPTION_FLAG("verbose-prompt", &mn_given_verbose_prompt, "show the prompt as the model sees it: text and ids"),
    MN_OPTIONS_END,
};

static mn_status no_such_template(const char *given, mn_error *err) {
    mn_strbuf names = MN_STRBUF_INIT;
    for (int i = 0; mn_named_template_at(i); i++)
        mn_strbuf_printf(&names, "%s%s", i ? " " : "", mn_named_template_at(i));
    mn_fail(err, MN_ERR_ARGUMENT, "there is neither a chat template nor a file called %.200s; built in are: %s.", given,
            names.data);
    mn_strbuf_release(&names);
    return MN_ERR_ARGUMENT;
}

mn_status mn_chat_template_given(const char *given, char **out, mn_error *err) {
    size_t bytes;
    *out = NULL;
    if (!given) return MN_OK;
    const char *source = strstr(given, "{{") || strstr(given, "{%") ? given : mn_named_template(given);
    if (source) {
        *out = strdup(source);
        return *out ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "no memory for a chat template.");
    }
    if (access(given, F_OK) != 0) return no_such_template(given, err);
    MN_TRY(mn_file_read(given, MAX_TEMPLATE_BYTES, out, &bytes, err));
    if (strlen(*out) == bytes) return MN_OK;
    free(*out);
    *out = NULL;
    return mn_fail(err, MN_ERR_FORMAT, "%s: holds zero bytes, so it is no chat template.", given);
}

/* kept: a control character that is printed as it is. */
static void print(FILE *out, const char *text, size_t bytes, const char *kept) {
    for (size_t at = 0, n; at < bytes; at += n) {
        int32_t c;
        n = mn_utf8_next(text + at, bytes - at, &c);
        if (c > 0 && c < 0x80 && strchr(kept, c))
            putc(c, out);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c == '\t')
            fputs("\\t", out);
        else if (c == '\\')
            fputs("\\\\", out);
        else if (c < ' ' || (c >= 0x7f && c < 0xa0) || c >= MN_UTF8_INVALID)
            for (size_t i = 0; i < n; i++) fprintf(out, "\\x%02x", (unsigned char)text[at + i]);
        else
            fwrite(text + at, 1, n, out);
    }
}

void mn_piece_print(FILE *out, const char *piece, size_t bytes) { print(out, piece, bytes, ""); }

void mn_prompt_show(const mn_tokenizer *tokenizer, const int32_t *ids, size_t n) {
    char *text;
    size_t bytes;
    if (!mn_given_verbose_prompt) return;
    fprintf(stderr, "prompt, %zu tokens:\n", n);
    if (mn_detokenize(tokenizer, ids, n, true, &text, &bytes, NULL) == MN_OK) {
        print(stderr, text, bytes, "\n\t\\");
        free(text);
    }
    mn_strbuf list = MN_STRBUF_INIT;
    for (size_t i = 0; i < n; i++) mn_strbuf_printf(&list, " %d", ids[i]);
    putc('\n', stderr);
    mn_say("ids:%s", list.data);
    mn_strbuf_release(&list);
}
