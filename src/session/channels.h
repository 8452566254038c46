/* Harmony's channels (OpenAI 2025, the response format of gpt-oss): an answer is a row of messages, each with a
 * channel:
 *
 *   <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...<|return|>
 *
 * What is said in `final` is the answer; analysis and commentary are the model's way to it, and no part of what is
 * shown or of the conversation that goes on. */
#ifndef MN_SESSION_CHANNELS_H
#define MN_SESSION_CHANNELS_H

#include "tokenizer/tokenizer.h"

typedef struct mn_channels {
    int32_t channel, message, end, start; /* tokens; channel < 0: this vocabulary has no channels */
    enum { MN_CHANNEL_TEXT, MN_CHANNEL_NAME, MN_CHANNEL_HEADER } at;
    bool hidden;   /* the message under way is no part of the answer */
    char name[16]; /* of its channel, cut */
    size_t name_bytes;
} mn_channels;

/* For answers in a vocabulary; without channels all text is the answer. */
mn_channels mn_channels_of(const mn_tokenizer *tokenizer);
/* Takes the next token of the answer and its text; whether that is a part of what is shown. */
bool mn_channels_take(mn_channels *channels, int32_t token, const char *piece, size_t bytes);

#endif
