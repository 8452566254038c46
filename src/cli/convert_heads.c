/* mnemo convert --heads: heads that cache less. */
#include "base/strbuf.h"
#include "cli/convert.h"
#include "cli/terminal.h"

#include "convert/heads.h"
#include "convert/latent.h"

#include <stdlib.h>

static mn_status calibrate(const mn_heads_wish *wish, mn_engine *engine, const mn_change_text *text,
                           mn_moments *moments, mn_error *err) {
    const mn_special_tokens *specials = mn_tokenizer_specials(mn_engine_tokenizer(engine));
    bool needed = !wish->n_kv_heads || wish->regroup;
    if (!text->tokens || !needed) return mn_moments_of_norms(&engine->model, moments, err);
    return mn_moments_measure(&engine->compute, &engine->model, text->tokens, text->n_measured, text->window,
                              specials->add_bos ? specials->bos : -1, moments, err);
}

static mn_status write_heads(void *arg, mn_engine *engine, const mn_change_text *text, const char *path,
                             mn_error *err) {
    mn_heads_wish *wish = arg;
    mn_moments moments = {0};
    mn_notes notes = {0};
    wish->notes = &notes;
    mn_status status = mn_heads_check(&engine->model, wish, err);
    if (status == MN_OK) status = calibrate(wish, engine, text, &moments, err);
    if (status == MN_OK) status = mn_heads_write(&engine->model, wish, &moments, path, err);
    for (int i = 0; status == MN_OK && mn_notes_at(&notes, i); i++) mn_say("note: %s", mn_notes_at(&notes, i));
    mn_moments_release(&moments);
    mn_notes_release(&notes);
    return status;
}

/* Latents are trained at size 1 and written small. */
static mn_status finish_latent(void *arg, const char *from, const char *to, mn_error *err) {
    (void)arg;
    return mn_latent_finish(from, to, err);
}

mn_status mn_convert_heads(const mn_change_order *order, const mn_heads_options *o, mn_error *err) {
    mn_heads_wish wish = {0};
    mn_strbuf name = MN_STRBUF_INIT;
    MN_TRY(mn_heads_parse(o->wish, o->method, &wish, err));
    wish.regroup = o->regroup;
    wish.type = order->type;
    if (wish.method == MN_HEADS_TRANSMLA && !order->calibrate)
        return mn_fail(err, MN_ERR_ARGUMENT,
                       "transmla finds what to keep by running a text: give --calibrate TEXT, or "
                       "--method mha2mla, which can do without.");
    mn_strbuf_printf(&name, "%s%s%s%s", o->wish, o->method ? "-" : "", o->method ? o->method : "",
                     o->regroup ? "-regrouped" : "");
    mn_change change = {
        .name = name.data, .arg = &wish, .write = write_heads, .finish = wish.n_kv_heads ? NULL : finish_latent};
    mn_status status =
        name.failed ? mn_fail(err, MN_ERR_MEMORY, "no memory for names of files.") : mn_change_run(&change, order, err);
    mn_strbuf_release(&name);
    return status;
}
