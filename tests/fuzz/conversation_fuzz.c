/* Fuzz target: any bytes as a saved conversation. What loads makes messages, and is the same after it was saved. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "session/conversation.h"

static void check_same(const mn_conversation *a, const mn_conversation *b) {
    if (a->n != b->n) abort();
    for (size_t i = 0; i < a->n; i++) {
        const mn_entry *x = a->entries + i, *y = b->entries + i;
        if (x->kind != y->kind || strcmp(x->content, y->content) || !x->name != !y->name) abort();
        if (x->name && strcmp(x->name, y->name)) abort();
    }
}

static void check_messages(const mn_conversation *c) {
    mn_strbuf document = MN_STRBUF_INIT;
    mn_chat_message *messages;
    size_t n;
    mn_error err;
    if (mn_conversation_messages(c, &messages, &n, &err) || n > c->n || mn_conversation_n_messages(c) > c->n) abort();
    for (size_t i = 0; i < n; i++)
        if (!messages[i].role || !messages[i].content) abort();
    mn_conversation_free_messages(messages, n);
    mn_conversation_document(c, &document);
    if (document.failed) abort();
    mn_strbuf_release(&document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static memory_file file = {-1, ""};
    static char saved[] = "/dev/shm/mnemo-fuzz-XXXXXX";
    static bool has_name;
    mn_conversation c = {0}, again = {0};
    mn_error err = {0};
    if (file.fd < 0) file = memory_file_new();
    if (!has_name) {
        int fd = mkstemp(saved);
        if (fd < 0) abort();
        close(fd);
        unlink(saved);
        has_name = true;
    }
    memory_file_set(&file, data, bytes);
    if (mn_conversation_load(&c, file.path, &err) == MN_OK) {
        check_messages(&c);
        if (mn_conversation_save(&c, saved, &err) || mn_conversation_load(&again, saved, &err)) abort();
        check_same(&c, &again);
        unlink(saved);
    } else if (!err.text[0] || c.n) {
        abort();
    }
    mn_conversation_release(&c);
    mn_conversation_release(&again);
    return 0;
}
