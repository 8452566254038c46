/* mnemo tokenize: a text's token ids. */
#include "cli/model_file.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *model, *file, *text;
    bool no_bos, ids, pieces, special, json;
} settings;

/* A piece on one line: what is not printable shows as an escape. */
static void print_piece(const char *piece, size_t bytes) {
    for (size_t at = 0, n; at < bytes; at += n) {
        int32_t c;
        n = mn_utf8_next(piece + at, bytes - at, &c);
        if (c == '\n')
            fputs("\\n", stdout);
        else if (c == '\t')
            fputs("\\t", stdout);
        else if (c == '\\')
            fputs("\\\\", stdout);
        else if (c < ' ' || c == 0x7f || c >= MN_UTF8_INVALID)
            printf("\\x%02x", (unsigned char)piece[at]);
        else
            fwrite(piece + at, 1, n, stdout);
    }
}

static void print_ids(const settings *s, const mn_tokenizer *tokenizer, const int32_t *ids, size_t n) {
    if (s->json) printf("{\"n_tokens\": %zu, \"ids\": [", n);
    for (size_t i = 0; i < n; i++) {
        if (s->json)
            printf("%s%d", i ? ", " : "", ids[i]);
        else
            printf("%d", ids[i]);
        if (s->pieces && !s->json) {
            size_t bytes;
            const char *piece = mn_token_piece(tokenizer, ids[i], true, &bytes);
            putchar('\t');
            print_piece(piece, bytes);
        }
        if (!s->json) putchar('\n');
    }
    if (s->json) puts("]}");
}

static mn_status tokenize(const settings *s, const mn_tokenizer *tokenizer, mn_error *err) {
    char *read = NULL;
    size_t bytes = s->text ? strlen(s->text) : 0, n;
    int32_t *ids;
    if (!s->text) MN_TRY(mn_file_read(s->file ? s->file : "-", INT32_MAX, &read, &bytes, err));
    mn_status status = mn_tokenize(tokenizer, s->text ? s->text : read, bytes, !s->no_bos, s->special, &ids, &n, err);
    free(read);
    if (status != MN_OK) return status;
    print_ids(s, tokenizer, ids, n);
    free(ids);
    return fflush(stdout) ? mn_fail(err, MN_ERR_IO, "The ids could not all be written to standard output.") : MN_OK;
}

int cmd_tokenize(int argc, char **argv) {
    settings s = {0};
    const mn_option options[] = {
        MN_OPTION_TEXT("m model", &s.model, "MODEL", NULL, "GGUF file; its vocabulary is enough"),
        MN_OPTION_TEXT("f file", &s.file, "FILE", NULL, "the text (without -f and -p: standard input)"),
        {.names = "p prompt",
         .kind = MN_OPT_TEXT,
         .to.text = &s.text,
         .value = "TEXT",
         .help = "the text itself",
         .traits = MN_OPT_MAY_BE_EMPTY},
        MN_OPTION_FLAG("no-bos", &s.no_bos, "leave out the tokens the model wants at a text's ends"),
        MN_OPTION_FLAG("special", &s.special, "read spellings of control tokens as those tokens"),
        MN_OPTION_FLAG("ids", &s.ids, "print ids alone (the default)"),
        MN_OPTION_FLAG("pieces", &s.pieces, "print each token's text behind its id"),
        MN_OPTION_FLAG("json", &s.json, "print one JSON object"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "tokenize",
        .synopsis = "[MODEL] [-f FILE | [-p] TEXT] [--no-bos] [--special] [--pieces | --json]",
        .about = "Prints the token ids of a text, one a line. mnemo detokenize gives the text back, byte for byte.",
        .example = "mnemo tokenize -m models/default.gguf -p \"Once upon a time\" --pieces",
        .options = options,
        .words = "model prompt",
    };
    mn_text_list rest;
    int code = mn_options_parse(&usage, argc, argv, &rest);
    if (code >= 0) return code;
    if (s.file && s.text) return mn_cli_wrong(&usage, "-f and -p exclude each other.");
    if (s.pieces + s.ids + s.json > 1)
        return mn_cli_wrong(&usage, "of --ids, --pieces and --json only one can be given.");
    mn_tokenizer *tokenizer = NULL;
    mn_error err;
    mn_status status = mn_model_file_find(&s.model, &err);
    if (status == MN_OK) status = mn_tokenizer_open(s.model, &tokenizer, &err);
    if (status == MN_OK) status = mn_cli_past_usage(tokenize(&s, tokenizer, &err), &err);
    mn_tokenizer_destroy(tokenizer);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("tokenize", &err);
}
