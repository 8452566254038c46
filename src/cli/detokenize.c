/* mnemo detokenize: the text of token ids. */
#include "cli/model_file.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "tokenizer/tokenizer.h"

#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct settings {
    const char *model, *file;
    bool special;
} settings;

/* Reads numbers separated by white space. text ends with a NUL; *ids has room for (bytes + 1) / 2 of them. */
static mn_status parse_ids(const char *text, size_t bytes, int32_t *ids, size_t *n, mn_error *err) {
    const char *at = text, *end = text + bytes;
    *n = 0;
    for (;;) {
        while (at < end && isspace((unsigned char)*at)) at++;
        if (at == end) return MN_OK;
        char *behind;
        int shown = 0;
        while (shown < 20 && at + shown < end && !isspace((unsigned char)at[shown])) shown++;
        errno = 0;
        long id = strtol(at, &behind, 10);
        if (behind == at || (behind < end && !isspace((unsigned char)*behind)))
            return mn_fail(err, MN_ERR_ARGUMENT, "Token %zu, \"%.*s\", is not a number.", *n, shown, at);
        if (errno || id < INT32_MIN || id > INT32_MAX)
            return mn_fail(err, MN_ERR_ARGUMENT, "Token %zu, \"%.*s\", is no token id.", *n, shown, at);
        ids[(*n)++] = (int32_t)id;
        at = behind;
    }
}

static mn_status detokenize(const settings *s, const mn_tokenizer *tokenizer, const char *list, size_t list_bytes,
                            mn_error *err) {
    char *text = NULL;
    size_t n, bytes = 0;
    int32_t *ids = malloc((list_bytes / 2 + 1) * sizeof *ids);
    if (!ids) return mn_fail(err, MN_ERR_MEMORY, "There is not enough memory for the ids.");
    mn_status status = parse_ids(list, list_bytes, ids, &n, err);
    if (status == MN_OK) status = mn_detokenize(tokenizer, ids, n, s->special, &text, &bytes, err);
    free(ids);
    if (status != MN_OK) return status;
    bool written = fwrite(text, 1, bytes, stdout) == bytes;
    /* A file gets the text to the byte; on a terminal the next line begins a new one. */
    if (written && bytes > 0 && text[bytes - 1] != '\n' && isatty(STDOUT_FILENO)) putchar('\n');
    written = written && !fflush(stdout);
    free(text);
    return written ? MN_OK : mn_fail(err, MN_ERR_IO, "The text could not be written to standard output.");
}

static mn_status run(const settings *s, mn_error *err) {
    mn_tokenizer *tokenizer;
    char *list;
    size_t bytes;
    MN_TRY(mn_tokenizer_open(s->model, &tokenizer, err));
    mn_status status = mn_file_read(s->file ? s->file : "-", SIZE_MAX / 8, &list, &bytes, err);
    if (status == MN_OK) {
        status = detokenize(s, tokenizer, list, bytes, err);
        free(list);
    }
    mn_tokenizer_destroy(tokenizer);
    return status;
}

int cmd_detokenize(int argc, char **argv) {
    settings s = {0};
    const mn_option options[] = {
        MN_OPTION_TEXT("m model", &s.model, "FILE", NULL, "model file (GGUF); its vocabulary is enough"),
        MN_OPTION_TEXT("f file", &s.file, "FILE", NULL, "ids separated by white space (standard input)"),
        MN_OPTION_FLAG("special", &s.special, "show control tokens, which are left out otherwise"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "detokenize",
        .synopsis = "[MODEL] [-f FILE] [--special]",
        .about = "Writes the text of token ids to standard output.",
        .example =
            "mnemo tokenize -m models/default.gguf -p \"Once upon a time\" | mnemo detokenize -m models/default.gguf",
        .options = options,
        .words = "model",
    };
    mn_text_list rest;
    int code = mn_options_parse(&usage, argc, argv, &rest);
    if (code >= 0) return code;
    mn_error err;
    mn_status status = mn_model_file_find(&s.model, &err);
    if (status == MN_OK) status = mn_cli_past_usage(run(&s, &err), &err);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("detokenize", &err);
}
