#include "cli/terminal.h"
#include "cli/texts.h"

#include <mnemo/document.h>

#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>

enum { PATIENCE_MS = 3000, FEW_TOKENS = 16 };

mn_status mn_text_read(const char *path, bool raw, mn_strbuf *out, mn_error *err) {
    const char *name = strcmp(path, "-") ? path : "standard input";
    mn_document document;
    MN_TRY(mn_document_read(path, &(mn_document_options){.verbatim = raw}, &document, err));
    for (size_t i = 0; i < document.n_notes; i++) mn_say("mnemo: %s: %s.", name, document.notes[i]);
    mn_strbuf_put(out, document.text, document.bytes);
    mn_document_release(&document);
    return out->failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for the text of %s.", name) : MN_OK;
}

/* ---- standard input that no -f - asks for ---- */

static bool is_file_or_pipe(void) {
    struct stat st;
    return fstat(STDIN_FILENO, &st) == 0 && (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

/* Bytes that could be read now. */
static int64_t n_waiting(void) {
    struct stat st;
    int n = 0;
    if (fstat(STDIN_FILENO, &st)) return 0;
    if (S_ISREG(st.st_mode)) {
        off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
        return at >= 0 && at < st.st_size ? st.st_size - at : 0;
    }
    return ioctl(STDIN_FILENO, FIONREAD, &n) == 0 ? n : 0;
}

/* Whether anything comes, be it the end. A pipe that was inherited by chance (of cron, ssh, a test) may stay open and
 * silent for ever: with has_other it is given up. */
static bool wait_for_input(bool has_other) {
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(&fd, 1, PATIENCE_MS)) return true;
    if (has_other)
        mn_say("mnemo: nothing came on standard input in 3 s, so it is not read; -f - waits for it.");
    else
        mn_say("mnemo: waiting for a text on standard input.");
    return !has_other;
}

static mn_status read_piped(bool raw, bool has_other, bool quiet, mn_strbuf *out, int *n_texts, mn_error *err) {
    if (!is_file_or_pipe() || !wait_for_input(has_other)) return MN_OK;
    int first = getc(stdin);
    if (first == EOF) return MN_OK;
    ungetc(first, stdin);
    MN_TRY(mn_text_read("-", raw, out, err));
    *n_texts = 1;
    if (!quiet) mn_say("mnemo: the text is standard input, %zu bytes.", out->bytes);
    return MN_OK;
}

mn_status mn_texts_read(const mn_text_list *files, bool raw, bool has_other, bool quiet, mn_strbuf *out, int *n_texts,
                        mn_error *err) {
    bool takes_input = false;
    *n_texts = 0;
    if (files->n == 0) return read_piped(raw, has_other, quiet, out, n_texts, err);
    for (int i = 0; i < files->n; i++) takes_input |= !strcmp(files->items[i], "-");
    for (; *n_texts < files->n; ++*n_texts) {
        if (*n_texts > 0) mn_strbuf_putc(out, '\n');
        MN_TRY(mn_text_read(files->items[*n_texts], raw, out, err));
    }
    if (!takes_input && !quiet && is_file_or_pipe() && n_waiting() > 0)
        mn_say("mnemo: standard input holds a text too, which is not read; -f - adds it.");
    return MN_OK;
}

/* ---- what a vocabulary makes of a text ---- */

/* A byte, or a part of a character. */
static bool is_broken(const mn_tokenizer *tokenizer, int32_t id) {
    size_t bytes;
    const char *piece = mn_token_piece(tokenizer, id, false, &bytes);
    utf8proc_int32_t c;
    for (size_t at = 0; at < bytes;) {
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)piece + at, (utf8proc_ssize_t)(bytes - at), &c);
        if (n < 1) return true;
        at += (size_t)n;
    }
    return id == mn_tokenizer_specials(tokenizer)->unknown;
}

void mn_text_note_fallback(const mn_tokenizer *tokenizer, const int32_t *ids, size_t n) {
    size_t n_broken = 0;
    for (size_t i = 0; i < n; i++) n_broken += is_broken(tokenizer, ids[i]);
    if (n < FEW_TOKENS || n_broken < n / 4) return;
    mn_say("mnemo: %.0f %% of the text's %zu tokens are bytes and parts of characters: the model's vocabulary hardly "
           "knows this language or script, and the model has hardly learned it.",
           100.0 * (double)n_broken / (double)n, n);
}

/* ---- escapes ---- */

/* The byte that an escape stands for; *p, at the letter behind the backslash, moves to its last character. */
static char escaped(const char **p) {
    static const char letters[] = "nrtabfv\\\"'", bytes[] = "\n\r\t\a\b\f\v\\\"'";
    const char *letter = strchr(letters, **p);
    if (letter) return bytes[letter - letters];
    char digits[3] = {(*p)[1], (*p)[1] ? (*p)[2] : '\0', '\0'};
    if (**p != 'x' || !isxdigit((unsigned char)digits[0])) return '\0';
    if (!isxdigit((unsigned char)digits[1])) digits[1] = '\0';
    *p += strlen(digits);
    return (char)strtol(digits, NULL, 16);
}

const char *mn_text_unescape(const char *text) {
    mn_strbuf out = MN_STRBUF_INIT;
    if (!text) return NULL;
    for (const char *p = text; *p; p++) {
        const char *end = p + 1;
        char byte = *p == '\\' && *end ? escaped(&end) : '\0';
        if (byte) p = end;
        mn_strbuf_putc(&out, byte ? byte : *p);
    }
    return mn_strbuf_detach(&out, NULL);
}
