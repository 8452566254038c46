/* Status codes and error sentences, shared by every public call.
 *
 * Every function that can fail returns an mn_status and takes an optional mn_error last. On failure the error
 * holds one finished sentence: what failed, the value, the limit, what to do. The library never prints.
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

typedef struct mn_error {
    mn_status status;
    char text[640]; /* one sentence, NUL-terminated, no trailing newline */
} mn_error;

#ifdef __cplusplus
}
#endif
#endif
