/* mnemo tokenize: a text's token ids. */
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
        {"m model", MN_OPT_TEXT, &s.model, "MODEL", "GGUF file; its vocabulary is enough", 0, 0},
        {"f file", MN_OPT_TEXT, &s.file, "FILE", "the text (without -f and -p: standard input)", 0, 0},
        {"p prompt", MN_OPT_TEXT, &s.text, "TEXT", "the text itself", 0, 0},
        {"no-bos", MN_OPT_FLAG, &s.no_bos, NULL, "leave out the tokens the model wants at a text's ends", 0, 0},
        {"special", MN_OPT_FLAG, &s.special, NULL, "read spellings of control tokens as those tokens", 0, 0},
        {"ids", MN_OPT_FLAG, &s.ids, NULL, "print ids alone (the default)", 0, 0},
        {"pieces", MN_OPT_FLAG, &s.pieces, NULL, "print each token's text behind its id", 0, 0},
        {"json", MN_OPT_FLAG, &s.json, NULL, "print one JSON object", 0, 0},
        {0},
    };
    const mn_usage usage = {
        .verb = "tokenize",
        .synopsis = "-m MODEL [-f FILE | -p TEXT] [--no-bos] [--special] [--pieces | --json]",
        .about = "Prints the token ids of a text, one a line. mnemo detokenize gives the text back, byte for byte.",
        .example = "mnemo tokenize -m models/default.gguf -p \"Once upon a time\" --pieces",
        .options = options,
    };
    mn_text_list rest;
    int code = mn_options_parse(&usage, argc, argv, &rest);
    if (code >= 0) return code;
    if (!s.model || (s.file && s.text) || s.pieces + s.ids + s.json > 1) {
        fprintf(stderr, "mnemo tokenize: %s\ntry: mnemo tokenize --help\n",
                !s.model           ? "a model is needed: -m MODEL."
                : s.file && s.text ? "-f and -p exclude each other."
                                   : "of --ids, --pieces and --json only one can be given.");
        return MN_EXIT_USAGE;
    }
    mn_tokenizer *tokenizer = NULL;
    mn_error err;
    mn_status status = mn_tokenizer_open(s.model, &tokenizer, &err);
    if (status == MN_OK) status = tokenize(&s, tokenizer, &err);
    mn_tokenizer_destroy(tokenizer);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("tokenize", &err);
}
