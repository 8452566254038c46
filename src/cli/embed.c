/* mnemo embed: vectors of texts, as JSON. */
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "cli/texts.h"
#include "cli/verbs.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/strbuf.h"

#include <mnemo/embed.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINES_BYTES = 1 << 30 };

typedef struct settings {
    mn_text_list files;
    const char *lines, *pooling;
    bool exact;
    mn_embed_params params;
} settings;

/* The texts, and the memory they stand in. */
typedef struct text_set {
    mn_embed_text *items;
    size_t n, capacity;
    mn_strbuf files; /* all of them, one after another */
    char *lines;
} text_set;

static mn_status add(text_set *t, const char *text, size_t bytes, mn_error *err) {
    if (t->n == t->capacity) {
        size_t capacity = MN_MAX(2 * t->capacity, (size_t)64);
        mn_embed_text *grown = realloc(t->items, capacity * sizeof *grown);
        if (!grown) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu texts.", capacity);
        t->items = grown;
        t->capacity = capacity;
    }
    t->items[t->n++] = (mn_embed_text){.text = text, .bytes = bytes};
    return MN_OK;
}

/* A text for each line; a line without anything is a text too. */
static mn_status add_lines(text_set *t, const char *path, mn_error *err) {
    size_t bytes;
    MN_TRY(mn_file_read(path, MAX_LINES_BYTES, &t->lines, &bytes, err));
    for (char *at = t->lines, *end = t->lines + bytes; at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        MN_TRY(add(t, at, n - (n > 0 && at[n - 1] == '\r'), err));
        at += n + 1;
    }
    return MN_OK;
}

/* Files are read into one buffer, whose address is known when the last is there. */
static mn_status add_files(text_set *t, const mn_text_list *files, mn_error *err) {
    size_t ends[MN_MAX_TEXTS];
    for (int i = 0; i < files->n; i++) {
        MN_TRY(mn_text_read(files->items[i], false, &t->files, err));
        ends[i] = t->files.bytes;
    }
    for (int i = 0; i < files->n; i++) {
        size_t begin = i ? ends[i - 1] : 0;
        MN_TRY(add(t, t->files.data + begin, ends[i] - begin, err));
    }
    return MN_OK;
}

static mn_status read_texts(const settings *s, const mn_text_list *words, text_set *t, mn_error *err) {
    for (int i = 0; i < words->n; i++) MN_TRY(add(t, words->items[i], strlen(words->items[i]), err));
    MN_TRY(add_files(t, &s->files, err));
    if (s->lines || t->n == 0) MN_TRY(add_lines(t, s->lines ? s->lines : "-", err));
    return t->n ? MN_OK : mn_fail(err, MN_ERR_FORMAT, "There is no text: give words, -f FILE or --lines FILE.");
}

/* As OpenAI's endpoint for embeddings answers. */
static void print(const char *model, const text_set *t, const float *vectors, int n_embd) {
    long long n_tokens = 0;
    printf("{\"object\": \"list\", \"model\": \"%s\", \"data\": [", model);
    for (size_t i = 0; i < t->n; i++) {
        printf("%s\n{\"object\": \"embedding\", \"index\": %zu, \"embedding\": [", i ? "," : "", i);
        for (int d = 0; d < n_embd; d++)
            printf("%s%.8g", d ? ", " : "", (double)vectors[i * (size_t)n_embd + (size_t)d]);
        fputs("]}", stdout);
        n_tokens += t->items[i].n_tokens;
    }
    printf("\n], \"usage\": {\"prompt_tokens\": %lld, \"total_tokens\": %lld}}\n", n_tokens, n_tokens);
}

static mn_status embed(const settings *s, text_set *t, mn_engine *engine, mn_error *err) {
    mn_model_info info = mn_engine_info(engine);
    float *vectors = calloc(t->n, (size_t)info.n_embd * sizeof *vectors);
    if (!vectors) return mn_fail(err, MN_ERR_MEMORY, "no memory for %zu vectors of %d numbers.", t->n, info.n_embd);
    mn_status status = mn_embed(engine, &s->params, t->items, (int64_t)t->n, vectors, err);
    if (status == MN_OK) print(info.architecture, t, vectors, info.n_embd);
    free(vectors);
    return status;
}

static mn_status run(settings *s, const mn_text_list *words, mn_error *err) {
    text_set texts = {0};
    mn_engine *engine = NULL;
    mn_status status = read_texts(s, words, &texts, err);
    if (status == MN_OK) status = mn_model_options_engine(&mn_given_model, s->exact, &engine, err);
    s->params.n_ctx = mn_given_model.n_ctx;
    if (status == MN_OK) status = mn_cli_past_usage(embed(s, &texts, engine, err), err);
    mn_engine_close(engine);
    mn_strbuf_release(&texts.files);
    free(texts.lines);
    free(texts.items);
    return status;
}

int cmd_embed(int argc, char **argv) {
    settings s = {0};
    bool json = false;
    const mn_option options[] = {
        MN_OPTION_TEXTS("f file", &s.files, "FILE", "a document as one text"),
        MN_OPTION_TEXT("lines", &s.lines, "FILE", NULL, "a text for each line (- is standard input)"),
        MN_OPTION_TEXT("pooling", &s.pooling, "KIND", NULL, "mean cls last (what the model's file says)"),
        MN_OPTION_FLAG("cut", &s.params.cut, "of a text beyond the model's window its beginning counts"),
        MN_OPTION_FLAG("raw", &s.params.is_not_scaled, "leave the vectors' lengths as they are"),
        MN_OPTION_FLAG("exact", &s.exact, "f32 arithmetic throughout"),
        MN_OPTION_FLAG("json", &json, "the output is JSON (it always is)"),
        MN_OPTION_HEADING("model"),
        MN_OPTION_TEXT("m model", &mn_given_model.model, "FILE", NULL,
                       "an encoder, or any other model (GGUF); the one that ships with mnemo otherwise"),
        MN_OPTION_INT("t threads", &mn_given_model.n_threads, "N", "0", 0, 1024, "threads; 0: one per core"),
        MN_OPTION_INT("c ctx-size", &mn_given_model.n_ctx, "N", "0", 0, 1e12,
                      "tokens of a text at most; 0: the model's"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "embed",
        .synopsis = "[-m MODEL] [TEXT...] [-f FILE]... [--lines FILE] [options]",
        .about =
            "Prints a vector for each text, of length 1, as OpenAI's endpoint for embeddings answers: texts of like "
            "meaning lie in like directions. Encoders (bert, nomic-bert) were trained for it; of other models the "
            "mean of the states after the last layer is taken.",
        .example = "mnemo embed -m bge-small.gguf \"the cat sat\" \"a cat was sitting\"",
        .options = options,
        .max_positional = MN_MAX_TEXTS,
    };
    mn_text_list words;
    mn_error err;
    int code = mn_options_parse(&usage, argc, argv, &words);
    if (code >= 0) return code;
    int pooling = s.pooling ? mn_pooling_find(s.pooling) : MN_POOLING_DEFAULT;
    if (pooling < 0) return mn_cli_wrong(&usage, "--pooling is mean, cls or last.");
    s.params.pooling = (mn_pooling)pooling;
    return run(&s, &words, &err) == MN_OK ? MN_EXIT_DONE : mn_cli_fail("embed", &err);
}
