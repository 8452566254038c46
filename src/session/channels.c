#include "session/channels.h"

#include <string.h>

static int32_t find(const mn_tokenizer *t, const char *spelling) {
    return mn_tokenizer_find_special(t, spelling, strlen(spelling));
}

mn_channels mn_channels_of(const mn_tokenizer *t) {
    mn_channels c = {find(t, "<|channel|>"), find(t, "<|message|>"), find(t, "<|end|>"), find(t, "<|start|>"),
                     .at = MN_CHANNEL_TEXT};
    if (c.message < 0 || c.end < 0 || c.start < 0) c.channel = -1;
    return c;
}

static void add_name(mn_channels *c, const char *piece, size_t bytes) {
    size_t room = sizeof c->name - c->name_bytes, n = bytes < room ? bytes : room;
    memcpy(c->name + c->name_bytes, piece, n);
    c->name_bytes += n;
}

/* "final", whatever follows it behind a blank: a recipient, a type. */
static bool is_final(const mn_channels *c) {
    static const char final[] = "final";
    size_t n = sizeof final - 1;
    return c->name_bytes >= n && !memcmp(c->name, final, n) && (c->name_bytes == n || c->name[n] == ' ');
}

bool mn_channels_take(mn_channels *c, int32_t token, const char *piece, size_t bytes) {
    if (c->channel < 0) return true;
    bool marker = token == c->channel || token == c->message || token == c->end || token == c->start;
    if (token == c->channel) {
        c->at = MN_CHANNEL_NAME;
        c->name_bytes = 0;
    } else if (token == c->message) {
        c->hidden = c->at == MN_CHANNEL_NAME && !is_final(c);
        c->at = MN_CHANNEL_TEXT;
    } else if (marker) {
        c->at = MN_CHANNEL_HEADER;
    } else if (c->at == MN_CHANNEL_NAME) {
        add_name(c, piece, bytes);
    }
    return !marker && c->at == MN_CHANNEL_TEXT && !c->hidden;
}
