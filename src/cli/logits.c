/* mnemo logits: what the model computes, as plain float32 rows. */
#include "base/file.h"
#include "cli/model_options.h"
#include "cli/verbs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 1 << 30 };

static const char *tokens_path, *at_list, *out_path;
static bool fast;

static const mn_option options[] = {
    MN_OPTION_TEXT("tokens", &tokens_path, "FILE", NULL, "token ids separated by white space; - is standard input"),
    MN_OPTION_TEXT("at", &at_list, "I,J,...", NULL, "write the logits after these tokens, counted from 0 (the last)"),
    MN_OPTION_WRITTEN("o output", &out_path, "OUT", "float32 little-endian rows [n_at, n_vocab]"),
    MN_OPTION_FLAG("fast", &fast, "the arithmetic of generation, instead of f32 throughout"),
    MN_OPTION_GROUP(mn_model_option_rows),
    MN_OPTION_GROUP(mn_position_option_rows),
    MN_OPTIONS_END,
};

static const mn_usage usage = {
    .verb = "logits",
    .synopsis = "[MODEL] --tokens FILE [--at I,J,...] -o OUT [options]",
    .about = "Feeds token ids as they are and writes the logits after some of them. Computes in f32 with an f32 KV "
             "cache, unless --fast or -ctk and -ctv ask for another. The window is the text's length, also where that "
             "is beyond what the model was made for, unless -c gives one.",
    .example = "mnemo logits -m model.gguf --tokens ids.txt --at 0,63 -o logits.bin",
    .options = options,
    .words = "model",
};

/* Reads integers separated by any of `separators` into *out (caller frees). */
static mn_status parse_integers(const char *text, const char *separators, const char *what, int64_t **out, int64_t *n,
                                mn_error *err) {
    size_t capacity = 64;
    *out = malloc(capacity * sizeof **out);
    *n = 0;
    for (const char *p = text + strspn(text, separators); *out && *p; p += strspn(p, separators)) {
        char *end;
        errno = 0;
        long long value = strtoll(p, &end, 10);
        if (end == p || errno || (*end && !strchr(separators, *end)))
            return mn_fail(err, MN_ERR_ARGUMENT, "%s: \"%.20s\" is no number (entry %lld).", what, p, (long long)*n);
        if ((size_t)*n == capacity) {
            int64_t *grown = realloc(*out, (capacity *= 2) * sizeof **out);
            if (!grown) free(*out);
            *out = grown;
            if (!grown) break;
        }
        (*out)[(*n)++] = value;
        p = end;
    }
    return *out ? MN_OK : mn_fail(err, MN_ERR_MEMORY, "%s: no memory for its numbers.", what);
}

typedef struct job {
    mn_engine *engine;
    mn_session *session;
    int64_t *ids, *at;
    int64_t n_ids, n_at;
    int32_t *tokens;
    uint8_t *want;
    float *rows; /* [n_at, n_vocab] */
    int n_vocab;
} job;

static void keep_row(void *arg, int64_t index, const float *logits) {
    job *j = arg;
    for (int64_t k = 0; k < j->n_at; k++)
        if (j->at[k] == index) memcpy(j->rows + k * j->n_vocab, logits, (size_t)j->n_vocab * sizeof *logits);
}

static mn_status read_tokens(job *j, mn_error *err) {
    char *text = NULL;
    size_t bytes;
    MN_TRY(mn_file_read(tokens_path, MAX_TEXT_BYTES, &text, &bytes, err));
    mn_status status = strlen(text) == bytes ? parse_integers(text, " \t\r\n\f\v", tokens_path, &j->ids, &j->n_ids, err)
                                             : mn_fail(err, MN_ERR_FORMAT, "%s: is not text.", tokens_path);
    free(text);
    MN_TRY(status);
    if (j->n_ids == 0)
        return mn_fail(err, MN_ERR_ARGUMENT, "%s: holds no token ids; at least one is needed.", tokens_path);
    j->tokens = calloc((size_t)j->n_ids, sizeof *j->tokens);
    if (!j->tokens) return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld tokens.", (long long)j->n_ids);
    for (int64_t i = 0; i < j->n_ids; i++) j->tokens[i] = (int32_t)j->ids[i]; /* checked when the model is there */
    return MN_OK;
}

static mn_status read_places(job *j, mn_error *err) {
    char last[32];
    snprintf(last, sizeof last, "%lld", (long long)j->n_ids - 1);
    MN_TRY(parse_integers(at_list ? at_list : last, ", ", "--at", &j->at, &j->n_at, err));
    j->want = calloc((size_t)j->n_ids, 1);
    if (!j->want) return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld tokens.", (long long)j->n_ids);
    if (j->n_at == 0) return mn_fail(err, MN_ERR_ARGUMENT, "--at names no place; give at least one, as in --at 0.");
    for (int64_t k = 0; k < j->n_at; k++) {
        if (j->at[k] < 0 || j->at[k] >= j->n_ids)
            return mn_fail(err, MN_ERR_ARGUMENT, "--at %lld: the text has tokens 0 to %lld.", (long long)j->at[k],
                           (long long)j->n_ids - 1);
        j->want[j->at[k]] = 1;
    }
    return MN_OK;
}

static mn_status write_rows(const job *j, mn_error *err) {
    mn_writer writer;
    MN_TRY(mn_writer_open(out_path, &writer, err));
    mn_writer_put(&writer, j->rows, (size_t)j->n_at * (size_t)j->n_vocab * sizeof *j->rows);
    return mn_writer_commit(&writer, err);
}

static mn_status check_tokens(const job *j, mn_error *err) {
    for (int64_t i = 0; i < j->n_ids; i++)
        if (j->ids[i] < 0 || j->ids[i] >= j->n_vocab)
            return mn_fail(err, MN_ERR_FORMAT, "%s: token %lld has id %lld; this model's ids are 0 to %d.", tokens_path,
                           (long long)i, (long long)j->ids[i], j->n_vocab - 1);
    return MN_OK;
}

static mn_status run(job *j, mn_error *err) {
    MN_TRY(mn_cli_past_usage(read_tokens(j, err), err));
    MN_TRY(read_places(j, err));
    if (mn_given_model.n_ctx == 0) {
        mn_given_model.n_ctx = j->n_ids;
        mn_given_model.beyond = true;
    }
    MN_TRY(mn_model_options_open(&mn_given_model, !fast, &j->engine, &j->session, err));
    j->n_vocab = mn_engine_info(j->engine).n_vocab;
    j->rows = calloc((size_t)j->n_at, (size_t)j->n_vocab * sizeof *j->rows);
    if (!j->rows) return mn_fail(err, MN_ERR_MEMORY, "no memory for %lld rows of logits.", (long long)j->n_at);
    MN_TRY(check_tokens(j, err));
    MN_TRY(mn_cli_past_usage(mn_session_extend(j->session, j->tokens, j->n_ids, j->want, keep_row, NULL, j, err), err));
    return write_rows(j, err);
}

int cmd_logits(int argc, char **argv) {
    mn_text_list positional;
    int code = mn_options_parse(&usage, argc, argv, &positional);
    if (code >= 0) return code;
    if (!tokens_path || !out_path) return mn_cli_wrong(&usage, tokens_path ? "needs -o OUT." : "needs --tokens FILE.");
    job j = {0};
    mn_error err;
    mn_status status = run(&j, &err);
    mn_session_close(j.session);
    mn_engine_close(j.engine);
    free(j.ids);
    free(j.at);
    free(j.tokens);
    free(j.want);
    free(j.rows);
    return status == MN_OK ? MN_EXIT_DONE : mn_cli_fail("logits", &err);
}
