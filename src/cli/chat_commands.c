/* The commands of mnemo chat. */
#include "base/checked.h"
#include "cli/chat.h"
#include "base/human.h"
#include "base/nearest.h"
#include "cli/remedy.h"
#include "cli/terminal.h"
#include "cli/texts.h"
#include "cli/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUESTION_TOKENS = 64, MAX_ITEMS = 1000 };

/* ---- texts ---- */

/* MN_ERR_LIMIT when the conversation, whose last entry is the text, leaves no place for a question and an answer. */
static mn_status check_room(const chat *c, const char *path, size_t n, int64_t n_before, int64_t n_after,
                            mn_error *err) {
    int64_t n_ctx = mn_session_n_ctx(c->session), room = MN_MIN((int64_t)QUESTION_TOKENS, n_ctx / 8);
    mn_window_flags_text flags;
    if (n_after + room <= n_ctx) return MN_OK;
    bool helps = mn_window_flags(&mn_given_model, c->engine, n_after + MN_ANSWER_TOKENS, flags);
    return mn_fail(err, MN_ERR_LIMIT,
                   "%s: is %zu tokens, and %lld of the window of %lld are taken; with %lld for a question it does not "
                   "fit. %s%s%s.",
                   path, n, (long long)n_before, (long long)n_ctx, (long long)room,
                   helps ? "Chat with " : "Read a shorter text", helps ? flags : "",
                   n_before > 0 ? ", or /drop what was read before" : "");
}

static mn_status note_text(const chat *c, const char *text, size_t *n, mn_error *err) {
    int32_t *ids;
    const mn_tokenizer *tokenizer = mn_engine_tokenizer(c->engine);
    MN_TRY(mn_tokenize(tokenizer, text, strlen(text), false, false, &ids, n, err));
    mn_text_note_fallback(tokenizer, ids, *n);
    free(ids);
    return MN_OK;
}

mn_status chat_read_text(chat *c, const char *path, FILE *out, mn_error *err) {
    mn_strbuf text = MN_STRBUF_INIT;
    int64_t n_before = chat_n_tokens(c), n_after = 0;
    size_t n = 0;
    mn_status status = mn_text_read(path, false, &text, err);
    if (status == MN_OK) status = note_text(c, text.data, &n, err);
    if (status == MN_OK) status = mn_conversation_add(&c->talk, MN_ENTRY_TEXT, path, text.data, err);
    mn_strbuf_release(&text);
    MN_TRY(status);
    n_after = chat_n_tokens(c);
    status = check_room(c, path, n, n_before, n_after, err);
    if (status != MN_OK)
        mn_conversation_remove(&c->talk, c->talk.n - 1, 1);
    else
        mn_print_line(out, 2, "%s: %zu tokens; %lld of a window of %lld are taken", path, n, (long long)n_after,
                      (long long)mn_session_n_ctx(c->session));
    return status;
}

static mn_status command_read(chat *c, const char *path, mn_error *err) { return chat_read_text(c, path, stdout, err); }

/* ---- files ---- */

/* The KV cache lies beside the conversation, so that loading it prefills nothing again. */
static void cache_path(const char *path, char out[4096]) { snprintf(out, 4096, "%s.session", path); }

static void keep_path(chat *c, const char *path) {
    char *copy = strdup(path);
    if (!copy) return; /* then the next /save asks again */
    free(c->kept_in);
    c->kept_in = copy;
}

/* Whether the file holds the beginning of this conversation. */
static bool is_continued(const chat *c, const mn_conversation *held) {
    if (held->n > c->talk.n) return false;
    for (size_t i = 0; i < held->n; i++) {
        const mn_entry *a = &held->entries[i], *b = &c->talk.entries[i];
        if (a->kind != b->kind || strcmp(a->content, b->content)) return false;
    }
    return true;
}

/* What is in the way of a save: a file that is no conversation, or another one. */
static mn_status check_target(const chat *c, const char *path, const char *cache, mn_error *err) {
    struct stat st;
    mn_conversation held = {0};
    mn_error none;
    if (c->kept_in && !strcmp(c->kept_in, path)) return MN_OK;
    if (stat(path, &st)) {
        if (access(cache, F_OK)) return MN_OK;
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "%s: is there already and belongs to no conversation %s; name another file.", cache, path);
    }
    if (!S_ISREG(st.st_mode) || st.st_size == 0) return MN_OK;
    if (mn_conversation_load(&held, path, &none) != MN_OK)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "%s: holds something else than a conversation, and is kept; name another file.", path);
    bool same = is_continued(c, &held);
    size_t n = mn_conversation_n_messages(&held);
    mn_conversation_release(&held);
    if (same) return MN_OK;
    return mn_fail(err, MN_ERR_ARGUMENT,
                   "%s: holds another conversation (%zu messages), and is kept; name another file, or /save! %s.", path,
                   n, path);
}

static mn_status save(chat *c, const char *path, mn_error *err) {
    char cache[4096];
    cache_path(path, cache);
    MN_TRY(mn_conversation_save(&c->talk, path, err));
    keep_path(c, path);
    printf("saved %zu messages to %s\n", mn_conversation_n_messages(&c->talk), path);
    return mn_session_save(c->session, cache, err);
}

static mn_status command_save(chat *c, const char *path, mn_error *err) {
    char cache[4096];
    cache_path(path, cache);
    MN_TRY(check_target(c, path, cache, err));
    return save(c, path, err);
}

/* Over another conversation; never over what is none. */
static mn_status command_replace(chat *c, const char *path, mn_error *err) {
    mn_conversation held = {0};
    mn_error none;
    if (mn_conversation_load(&held, path, &none) != MN_OK) return command_save(c, path, err);
    mn_conversation_release(&held);
    return save(c, path, err);
}

static mn_status command_load(chat *c, const char *path, mn_error *err) {
    char cache[4096];
    mn_error note;
    mn_sentence sentence;
    cache_path(path, cache);
    MN_TRY(mn_conversation_load(&c->talk, path, err));
    if (access(cache, R_OK) == 0 && mn_session_restore(c->session, cache, &note) != MN_OK)
        mn_say("mnemo: the text will be read again: %s", mn_cli_sentence(sentence, &note));
    keep_path(c, path);
    printf("loaded %zu messages\n", mn_conversation_n_messages(&c->talk));
    return MN_OK;
}

/* ---- taking back ---- */

static bool ends_with(const chat *c, mn_entry_kind kind) {
    return c->talk.n && c->talk.entries[c->talk.n - 1].kind == kind;
}

static mn_status command_regen(chat *c, const char *argument, mn_error *err) {
    (void)argument;
    if (!ends_with(c, MN_ENTRY_ANSWER)) return mn_fail(err, MN_ERR_ARGUMENT, "there is no answer to make again.");
    mn_conversation_remove(&c->talk, c->talk.n - 1, 1);
    return chat_answer(c, err);
}

static mn_status command_undo(chat *c, const char *argument, mn_error *err) {
    (void)argument;
    if (!ends_with(c, MN_ENTRY_ANSWER) && !ends_with(c, MN_ENTRY_TEXT))
        return mn_fail(err, MN_ERR_ARGUMENT, "there is nothing to take back.");
    size_t n = ends_with(c, MN_ENTRY_TEXT) || c->talk.n < 2 ? 1 : 2;
    const mn_entry *first = &c->talk.entries[c->talk.n - n];
    if (n == 1)
        printf("forgot the text %s\n", first->name ? first->name : "that was read");
    else
        printf("forgot the question and its answer: %.60s\n", first->content);
    mn_conversation_remove(&c->talk, c->talk.n - n, n);
    return MN_OK;
}

static mn_status command_drop(chat *c, const char *argument, mn_error *err) {
    chat_item item;
    chat_item_name name;
    char *end;
    errno = 0;
    long number = *argument ? strtol(argument, &end, 10) : 1;
    if (*argument && (*end || errno || number < 1 || number > MAX_ITEMS))
        return mn_fail(err, MN_ERR_ARGUMENT, "/drop takes the number of something that /ctx lists, not \"%.20s\".",
                       argument);
    if (!chat_item_at(c, (int)number - 1, &item))
        return mn_fail(err, MN_ERR_ARGUMENT, "there is no number %ld to drop; /ctx lists what fills the window.",
                       number);
    printf("forgot %s\n", chat_item_text(c, &item, name));
    mn_conversation_remove(&c->talk, item.first, item.n);
    return MN_OK;
}

mn_status chat_start(chat *c, mn_error *err) {
    mn_conversation_release(&c->talk);
    free(c->kept_in);
    c->kept_in = NULL;
    return c->system_prompt ? mn_conversation_add(&c->talk, MN_ENTRY_SYSTEM, NULL, c->system_prompt, err) : MN_OK;
}

static mn_status command_clear(chat *c, const char *argument, mn_error *err) {
    (void)argument;
    return chat_start(c, err);
}

/* ---- the rest ---- */

static mn_status command_ctx(chat *c, const char *argument, mn_error *err) {
    int64_t used = chat_n_tokens(c), n_ctx = mn_session_n_ctx(c->session);
    int columns = mn_terminal_columns(stdout);
    char line[200];
    mn_human kv;
    chat_item item;
    chat_item_name name;
    (void)argument, (void)err;
    snprintf(line, sizeof line, "%lld of %lld tokens (%.0f%%), made for %lld; KV cache %s; %zu messages",
             (long long)used, (long long)n_ctx, 100.0 * (double)used / (double)n_ctx,
             (long long)mn_engine_info(c->engine).n_ctx_train, mn_human_bytes(kv, mn_session_kv_bytes(c->session)),
             mn_conversation_n_messages(&c->talk));
    mn_print_folded(stdout, line, 0, 2, columns);
    putchar('\n');
    for (int i = 0; i < MAX_ITEMS && chat_item_at(c, i, &item); i++) {
        printf("%3d  ", i + 1);
        mn_print_folded(stdout, chat_item_text(c, &item, name), 5, 5, columns);
        putchar('\n');
    }
    return MN_OK;
}

static mn_status command_exit(chat *c, const char *argument, mn_error *err) {
    (void)argument, (void)err;
    c->done = true;
    return MN_OK;
}

static mn_status command_help(chat *c, const char *argument, mn_error *err);

static const struct command {
    const char *name, *argument; /* NULL = none; [N] = may be left out */
    const char *help;
    mn_status (*run)(chat *c, const char *argument, mn_error *err);
} commands[] = {
    {"/help", NULL, "this list", command_help},
    {"/read", "FILE", "read a text to talk about", command_read},
    {"/ctx", NULL, "how full the window is, and what fills it", command_ctx},
    {"/drop", "[N]", "forget number N of what /ctx lists (the first)", command_drop},
    {"/undo", NULL, "take back the last question and its answer, or the text read last", command_undo},
    {"/regen", NULL, "answer the last question again", command_regen},
    {"/clear", NULL, "forget everything said and read", command_clear},
    {"/save", "FILE", "keep the conversation, and what was computed for it", command_save},
    {"/save!", "FILE", "the same in the place of another conversation", command_replace},
    {"/load", "FILE", "go on with a kept conversation", command_load},
    {"/exit", NULL, "leave", command_exit},
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static mn_status command_help(chat *c, const char *argument, mn_error *err) {
    (void)c, (void)argument, (void)err;
    for (int i = 0; i < N_COMMANDS; i++) {
        printf("  %-6s %-5s ", commands[i].name, commands[i].argument ? commands[i].argument : "");
        mn_print_folded(stdout, commands[i].help, 15, 15, mn_terminal_columns(stdout));
        putchar('\n');
    }
    return MN_OK;
}

static mn_status no_command(const char *name, int name_bytes, mn_error *err) {
    char word[64];
    snprintf(word, sizeof word, "%.*s", name_bytes, name);
    mn_nearest nearest = {.given = word};
    for (int i = 0; i < N_COMMANDS; i++) mn_nearest_try(&nearest, commands[i].name);
    if (nearest.best)
        return mn_fail(err, MN_ERR_ARGUMENT, "there is no command %s; is %s meant? /help lists them.", word,
                       nearest.best);
    return mn_fail(err, MN_ERR_ARGUMENT, "there is no command %s; /help lists them.", word);
}

/* What stands behind a command, without blanks around it; of a pair of quotation marks what is between them. */
static char *argument_of(const char *text) {
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r", text[n - 1])) n--;
    bool quoted = n > 2 && (*text == '"' || *text == '\'') && text[n - 1] == *text;
    return quoted ? strndup(text + 1, n - 2) : strndup(text, n);
}

static mn_status run_command(chat *c, const char *line, size_t name_bytes, const char *argument, mn_error *err) {
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strlen(commands[i].name) != name_bytes || strncmp(commands[i].name, line, name_bytes)) continue;
        if (commands[i].argument && commands[i].argument[0] != '[' && !*argument)
            return mn_fail(err, MN_ERR_ARGUMENT, "%s needs a %s.", commands[i].name, commands[i].argument);
        return commands[i].run(c, argument, err);
    }
    return no_command(line, (int)name_bytes, err);
}

mn_status chat_command(chat *c, const char *line, mn_error *err) {
    size_t name_bytes = strcspn(line, " \t");
    char *argument = argument_of(line + name_bytes);
    if (!argument) return mn_fail(err, MN_ERR_MEMORY, "no memory for a command.");
    mn_status status = run_command(c, line, name_bytes, argument, err);
    free(argument);
    return status;
}
