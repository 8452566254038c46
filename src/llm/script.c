/* A function in the place of a model, for tests and policies without one. */
#include "llm/kind.h"

#include <stdlib.h>
#include <string.h>

typedef struct script {
    mn_llm_script_fn *fn;
    void *arg;
} script;

static mn_status ask(void *self, const mn_llm_request *request, mn_llm_reply *reply, mn_error *err) {
    const script *s = self;
    MN_TRY(s->fn(s->arg, request, reply, err));
    if (request->text && reply->content && *reply->content &&
        !request->text(request->text_arg, reply->content, strlen(reply->content)))
        reply->finish = MN_LLM_STOPPED;
    return MN_OK;
}

mn_status mn_llm_open_script(const char *name, int64_t n_ctx, mn_llm_script_fn *fn, void *arg, mn_llm **out,
                             mn_error *err) {
    static const mn_llm_kind kind = {.ask = ask, .close = free};
    script *s = malloc(sizeof *s);
    *out = NULL;
    if (!s) return mn_fail(err, MN_ERR_MEMORY, "There is no memory for the model %s.", name);
    *s = (script){fn, arg};
    return mn_llm_create(&kind, s, name, n_ctx, out, err);
}

#ifndef MNEMO_HAVE_CURL
mn_status mn_llm_open_endpoint(const mn_endpoint_params *params, mn_llm **out, mn_error *err) {
    *out = NULL;
    return mn_fail(err, MN_ERR_UNSUPPORTED, "This build cannot reach %s: install libcurl4-openssl-dev and build again.",
                   params->url ? params->url : "an endpoint");
}
#endif
