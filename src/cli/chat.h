/* Inside mnemo chat: its state, what fills its window, and its commands. */
#ifndef MN_CLI_CHAT_H
#define MN_CLI_CHAT_H

#include "session/conversation.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "session/compose.h"

#include <stdio.h>

typedef struct chat {
    mn_engine *engine;
    mn_session *session;
    const char *system_prompt; /* NULL = none */
    mn_conversation talk;
    mn_strbuf answer;
    mn_progress progress;
    uint64_t seed;     /* of the first answer */
    int64_t n_answers; /* given so far: each has a seed of its own */
    char *kept_in;     /* the file that /save or /load named last and that holds this conversation; NULL = none */
    bool raw, done;    /* raw: the conversation is one text, without any template */
} chat;

/* ---- chat.c ---- */

bool chat_has_template(const chat *c);
/* Answers the last entry, a question, and keeps the answer. */
mn_status chat_answer(chat *c, mn_error *err);

/* ---- chat_window.c: what fills the window ---- */

/* The tokens of the conversation as the model will see it, its last question included when it ends with one. */
mn_status chat_compose(const chat *c, mn_tokens *out, mn_error *err);
/* How many these are; texts that were read count, asked about or not. 0 when nothing was read or said. */
int64_t chat_n_tokens(const chat *c);

/* What can be dropped, in order: a text, or a question with its answer. A model without chat template sees texts and
 * the last question only, so that only texts can. */
typedef struct chat_item {
    size_t first, n; /* entries */
    int64_t n_tokens;
} chat_item;

/* The index-th item; false behind the last. */
bool chat_item_at(const chat *c, int index, chat_item *out);
/* "the text note.txt (23 tokens)", "the question \"What is ...\" and its answer (31 tokens)" */
typedef char chat_item_name[160];
const char *chat_item_text(const chat *c, const chat_item *item, chat_item_name out);
/* MN_ERR_LIMIT when n_tokens of a prompt leave no place for an answer, with what can be dropped and which flags would
 * do. */
mn_status chat_check_window(const chat *c, int64_t n_tokens, mn_error *err);

/* ---- chat_commands.c ---- */

/* Reads a text to talk about and says on `out` how long it is. One that leaves no place for a question is refused. */
mn_status chat_read_text(chat *c, const char *path, FILE *out, mn_error *err);
/* A conversation of nothing but the system prompt. */
mn_status chat_start(chat *c, mn_error *err);
/* Runs a line that begins with '/'. */
mn_status chat_command(chat *c, const char *line, mn_error *err);

#endif
