/* mnemo tokenize: a text's token ids. */
#include "cli/model_file.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "cli/prompt_options.h"
#include "tokenizer/chat_json.h"
#include "tokenizer/chat_tokens.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *model, *file, *text, *template;
    bool chat, no_bos, ids, pieces, special, json;
} settings;

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
            mn_piece_print(stdout, piece, bytes);
        }
        if (!s->json) putchar('\n');
    }
    if (s->json) puts("]}");
}

/* A conversation in JSON through the template. */
static mn_status tokenize_chat(const mn_tokenizer *tokenizer, const char *template, const char *text, size_t bytes,
                               int32_t **ids, size_t *n, mn_error *err) {
    mn_chat_json chat;
    mn_status status = mn_chat_json_parse(text, bytes, &chat, err);
    mn_chat_options options = {
        .add_generation_prompt = true, .tools_json = chat.tools_json, .variables_json = chat.variables_json};
    if (status == MN_OK)
        status = mn_chat_tokens(tokenizer, template, chat.messages, chat.n_messages, &options, ids, n, err);
    mn_chat_json_release(&chat);
    return status;
}

static mn_status tokenize(const settings *s, const mn_tokenizer *tokenizer, const char *template, mn_error *err) {
    char *read = NULL;
    size_t bytes = s->text ? strlen(s->text) : 0, n;
    int32_t *ids;
    if (!s->text) MN_TRY(mn_file_read(s->file ? s->file : "-", INT32_MAX, &read, &bytes, err));
    const char *text = s->text ? s->text : read;
    mn_status status = s->chat ? tokenize_chat(tokenizer, template, text, bytes, &ids, &n, err)
                               : mn_tokenize(tokenizer, text, bytes, !s->no_bos, s->special, &ids, &n, err);
    free(read);
    if (status != MN_OK) return status;
    print_ids(s, tokenizer, ids, n);
    free(ids);
    return fflush(stdout) ? mn_fail(err, MN_ERR_IO, "The ids could not all be written to standard output.") : MN_OK;
}

/* The template that was given, else the model's. */
static mn_status find_template(const settings *s, const mn_gguf *gguf, char **out, mn_error *err) {
    MN_TRY(mn_chat_template_given(s->template, out, err));
    if (!*out && s->chat) MN_TRY(mn_chat_template_load(gguf, out, err));
    if (*out || !s->chat) return MN_OK;
    return mn_fail(err, MN_ERR_UNSUPPORTED, "%s has no chat template; --chat-template gives one.", s->model);
}

static mn_status run(settings *s, mn_error *err) {
    mn_gguf *gguf;
    mn_tokenizer *tokenizer = NULL;
    char *template = NULL;
    MN_TRY(mn_model_file_find(&s->model, err));
    MN_TRY(mn_gguf_open(s->model, &gguf, err));
    mn_status status = find_template(s, gguf, &template, err);
    if (status == MN_OK) status = mn_tokenizer_create(gguf, &tokenizer, err);
    if (status == MN_OK) status = mn_cli_past_usage(tokenize(s, tokenizer, template, err), err);
    mn_tokenizer_destroy(tokenizer);
    free(template);
    mn_gguf_close(gguf);
    return status;
}

int cmd_tokenize(int argc, char **argv) {
    settings s = {0};
    const mn_option options[] = {
        MN_OPTION_TEXT("m model", &s.model, "FILE", NULL, "model file (GGUF); its vocabulary is enough"),
        MN_OPTION_TEXT("f file", &s.file, "FILE", NULL, "the text (without -f and -p: standard input)"),
        {.names = "p prompt",
         .kind = MN_OPT_TEXT,
         .to.text = &s.text,
         .value = "TEXT",
         .help = "the text itself",
         .traits = MN_OPT_MAY_BE_EMPTY},
        MN_OPTION_FLAG("no-bos", &s.no_bos, "leave out the tokens the model wants at a text's ends"),
        MN_OPTION_FLAG("special", &s.special, "read spellings of control tokens as those tokens"),
        MN_OPTION_FLAG("chat", &s.chat, "the text is a conversation in JSON; print the prompt that the model gets"),
        MN_OPTION_TEXT("chat-template chat-template-file", &s.template, "NAME|FILE", NULL,
                       "with --chat: in the place of the model's chat template"),
        MN_OPTION_FLAG("ids", &s.ids, "print ids alone (the default)"),
        MN_OPTION_FLAG("pieces", &s.pieces, "print each token's text behind its id"),
        MN_OPTION_FLAG("json", &s.json, "print one JSON object"),
        MN_OPTIONS_END,
    };
    const mn_usage usage = {
        .verb = "tokenize",
        .synopsis = "[MODEL] [-f FILE | [-p] TEXT] [--no-bos] [--special | --chat] [--pieces | --json]",
        .about = "Prints the token ids of a text, one a line. mnemo detokenize gives the text back, byte for byte.",
        .example = "mnemo tokenize -m models/default.gguf -p \"Once upon a time\" --pieces",
        .options = options,
        .words = "model prompt",
    };
    mn_text_list rest;
    int code = mn_options_parse(&usage, argc, argv, &rest);
    if (code >= 0) return code;
    if (s.file && s.text) return mn_cli_wrong(&usage, "-f and -p exclude each other.");
    if (s.template && !s.chat) return mn_cli_wrong(&usage, "--chat-template is for --chat.");
    if (s.chat && (s.no_bos || s.special))
        return mn_cli_wrong(&usage, "--no-bos and --special are not for --chat: the template decides.");
    if (s.pieces + s.ids + s.json > 1)
        return mn_cli_wrong(&usage, "of --ids, --pieces and --json only one can be given.");
    mn_error err;
    return run(&s, &err) == MN_OK ? MN_EXIT_DONE : mn_cli_fail("tokenize", &err);
}
