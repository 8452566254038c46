#include "cli/plan_text.h"

#include "cli/terminal.h"
#include "cli/texts.h"
#include "cli/window.h"
#include "session/compose.h"

#include <stdlib.h>
#include <string.h>

enum { QUESTION_TOKENS = 64 };

static mn_status count_file(const mn_engine *engine, const char *path, mn_strbuf *document, FILE *out, mn_error *err) {
    const mn_tokenizer *tokenizer = mn_engine_tokenizer(engine);
    size_t begin = document->bytes, n;
    int32_t *ids;
    MN_TRY(mn_text_read(path, false, document, err));
    size_t bytes = document->bytes - begin;
    MN_TRY(mn_tokenize(tokenizer, document->data + begin, bytes, false, false, &ids, &n, err));
    mn_text_note_fallback(tokenizer, ids, n);
    free(ids);
    if (out)
        mn_print_line(out, 2, "%s: %zu tokens, %zu bytes (%.1f bytes a token)", path, n, bytes,
                      n ? (double)bytes / (double)n : 0);
    return MN_OK;
}

static mn_status count(const mn_engine *engine, const mn_text_list *files, mn_strbuf *document, FILE *out,
                       int64_t *n_tokens, mn_error *err) {
    mn_tokens tokens;
    for (int i = 0; i < files->n; i++) {
        if (i > 0) mn_strbuf_putc(document, '\n');
        MN_TRY(count_file(engine, files->items[i], document, out, err));
    }
    MN_TRY(mn_compose_ask(engine, NULL, document->data, "?", false, &tokens, err));
    *n_tokens = (int64_t)tokens.n;
    free(tokens.data);
    return MN_OK;
}

mn_status mn_plan_count_texts(const mn_engine *engine, const mn_text_list *files, FILE *out, int64_t *n_tokens,
                              int64_t *n_ctx, mn_error *err) {
    mn_strbuf document = MN_STRBUF_INIT;
    mn_status status = count(engine, files, &document, out, n_tokens, err);
    mn_strbuf_release(&document);
    MN_TRY(status);
    *n_ctx = *n_tokens + QUESTION_TOKENS + MN_ANSWER_TOKENS;
    return MN_OK;
}
