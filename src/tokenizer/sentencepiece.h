/* A SentencePiece model file (.model, protobuf), as the tokenizer keys of a GGUF. */
#ifndef MN_TOKENIZER_SENTENCEPIECE_H
#define MN_TOKENIZER_SENTENCEPIECE_H

#include "model/gguf.h"

/* Whether a file's name ends as SentencePiece's do. */
bool mn_sentencepiece_is(const char *path);

/* Puts tokenizer.ggml.* of the model at `path`: BPE with scores, byte fallback, identity normalisation, which is what
 * spm.c runs. Errors: a file that is no such model or is cut, a unigram model (trained with another --model_type), a
 * normaliser that changes the text, no pieces, a piece type or special id out of range; sentences name the file. */
mn_status mn_sentencepiece_put(const char *path, mn_gguf_writer *writer, mn_error *err);

#endif
