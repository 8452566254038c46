/* Status codes and error sentences, shared by every public call.
 *
 * Every function that can fail returns an mn_status and takes an optional mn_error last. On failure the error
 * holds one finished sentence: what failed, the value, the limit, what to do. The library never prints.
 *
 * Threads: an mn_error belongs to the call that fills it; two calls at the same time take two.
 */
#ifndef MNEMO_STATUS_H
#define MNEMO_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mn_status {
    MN_OK = 0,
    MN_ERR_ARGUMENT = -10,    /* a value given by the caller is out of its range */
    MN_ERR_IO = -20,          /* the operating system refused: open, read, write, map */
    MN_ERR_FORMAT = -30,      /* a file's bytes break its format */
    MN_ERR_UNSUPPORTED = -40, /* well formed, but nothing here executes it */
    MN_ERR_MEMORY = -50,      /* an allocation failed */
    MN_ERR_LIMIT = -60,       /* more than a stated limit: context, size, depth */
    MN_ERR_CANCELLED = -70    /* the caller's progress callback asked to stop */
} mn_status;

/* What the caller can change so that it works, named by the fields of mn_session_params and mn_engine_params. The
 * sentence says it in words; a program may name its own control for it, as the command line names its flags. */
typedef enum mn_remedy_kind {
    MN_REMEDY_NONE = 0,
    MN_REMEDY_WINDOW,         /* n_ctx = value */
    MN_REMEDY_SMALLER_WINDOW, /* a smaller n_ctx */
    MN_REMEDY_LARGER_WINDOW,
    MN_REMEDY_SMALLER_BATCH, /* n_batch */
    MN_REMEDY_LARGER_BATCH,  /* of at least value rows */
    MN_REMEDY_THREADS,       /* n_threads = value; 0 = one per core */
    MN_REMEDY_YARN,          /* rope_scaling = "yarn" */
    MN_REMEDY_ROPE_SCALE,    /* rope_scale = value */
    MN_REMEDY_ORIGINAL_CTX,  /* yarn_orig_ctx: the window that was trained */
    MN_REMEDY_OWN_POSITIONS, /* none of mn_position_params */
    MN_REMEDY_SAME_READING,  /* n_ctx, position and attn as before */
    MN_REMEDY_Q8_CACHE,      /* type_k = type_v = "q8_0"; value > 0: with n_ctx = value */
    MN_REMEDY_F32_CACHE,     /* type_k = type_v = "f32" */
    MN_REMEDY_CACHE_TYPES,   /* type_k and type_v as the sentence names them */
    MN_REMEDY_KV_RAM,        /* kv_ram_bytes: more, or a value at all */
    MN_REMEDY_KV_DISK,       /* kv_disk: a directory, another one */
    MN_REMEDY_NO_KV_DISK,
    MN_REMEDY_ATTN,       /* attn in the place of attn_layers */
    MN_REMEDY_NO_ATTN,    /* neither */
    MN_REMEDY_SEGMENT,    /* attn = "infini:VALUE" */
    MN_REMEDY_NO_MAP,     /* position.map = NULL */
    MN_REMEDY_SMALL_MLPS, /* a model converted to have them */
    MN_REMEDY_PROMPT,     /* put it into the prompt */
    MN_REMEDY_NOT_RAW,    /* mn_compose_ask: raw = false */
    MN_REMEDY_ASK,        /* ask about a text instead of talking */
    MN_REMEDY_SMALLER_WEIGHTS,
    MN_REMEDY_REPLACE,  /* write over the file */
    MN_REMEDY_TEMPLATE, /* another chat_template */
    MN_REMEDY_RAW       /* mn_compose_ask: raw = true */
} mn_remedy_kind;

typedef struct mn_remedy {
    mn_remedy_kind kind;
    double value;
} mn_remedy;

enum { MN_MAX_REMEDIES = 3 };

typedef struct mn_error {
    mn_status status;
    mn_remedy remedies[MN_MAX_REMEDIES]; /* any of them would do; the rest MN_REMEDY_NONE */
    char text[640];                      /* one sentence in UTF-8, NUL-terminated, no trailing newline */
} mn_error;

#ifdef __cplusplus
}
#endif
#endif
