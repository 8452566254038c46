/* An engine is a loaded model: weights mapped read-only, tokenizer, threads. One engine serves many sessions.
 *
 * Threads: every call takes an engine from any thread, and from several at once. Calls that compute take turns inside
 * it, one step at a time, in the order in which they ask; so many threads are safe, and no faster than one.
 * mn_engine_close comes last: after every session of the engine is closed and every other call has returned.
 */
#ifndef MNEMO_ENGINE_H
#define MNEMO_ENGINE_H

#include <mnemo/status.h>
#include <mnemo/tokenizer.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mn_engine mn_engine;

typedef struct mn_engine_params {
    int n_threads; /* 0 = one per core */
    bool exact;    /* f32 arithmetic throughout, for reference logits */
    /* What the engine and its sessions may take together, weights included; 0 = what the machine has free when a
     * session is opened. */
    size_t memory_bytes;
    const char *chat_template; /* Jinja in the place of the file's chat template, copied; NULL = the file's */
    bool experts_on_disk;      /* weights of experts are left to the page cache, and asked for when they are chosen */
    const char *lora; /* adapters to add: "FILE[=SCALE],FILE[=SCALE]" (GGUF as llama.cpp writes it); NULL = none */
} mn_engine_params;

/* What the model file says of itself: plain figures for people and programs. Strings are borrowed from the
 * engine. */
typedef struct mn_model_info {
    const char *architecture, *name, *path;
    int64_t n_params, n_params_embedding, n_params_active; /* all; token table and output; used per token */
    size_t weight_bytes;
    int n_layers, n_heads, n_kv_heads, head_dim_k, head_dim_v, n_embd, n_ff, n_vocab;
    int n_experts, n_experts_used;
    int64_t n_ctx_train;      /* what the file calls its context length */
    const char *rope_scaling; /* "none", "yarn", ... ; without RoPE "alibi", "learned", "nope" where there is neither */
    double rope_factor;
    int64_t n_ctx_original;  /* before scaling; 0 = not stated */
    const char *weight_type; /* the type that holds most bytes */
} mn_model_info;

/* params may be NULL. The caller closes it after its sessions. */
mn_status mn_engine_open(const char *path, const mn_engine_params *params, mn_engine **out, mn_error *err);
void mn_engine_close(mn_engine *engine);
const mn_tokenizer *mn_engine_tokenizer(const mn_engine *engine);
mn_model_info mn_engine_info(const mn_engine *engine);
/* What to show to the user of a file that may not run as it was meant (keys and tensors that nothing here reads): the
 * index-th finished sentence, NULL behind the last; borrowed. */
const char *mn_engine_note(const mn_engine *engine, int index);
/* Text from the file, NULL when it has none; borrowed: the chat template, the template of `run -f FILE -p PROMPT`. */
const char *mn_engine_chat_template(const mn_engine *engine);
const char *mn_engine_ask_template(const mn_engine *engine);

#ifdef __cplusplus
}
#endif
#endif
