/* The sources of a configuration, opened. */
#include "train/config.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of a piece of text: somewhat more than a window holds, so that most windows are one piece. */
static size_t piece_bytes(int64_t window) { return (size_t)MN_MAX(window * 4, 256); }

typedef struct path_list {
    char text[MN_MAX_PATHS][MN_PATH_BYTES];
    const char *items[MN_MAX_PATHS];
    int n;
} path_list;

static mn_status split(const mn_source_config *s, path_list *out, mn_error *err) {
    char none[MN_PATH_BYTES];
    const char *rest = s->paths;
    for (out->n = 0; out->n < MN_MAX_PATHS && mn_train_next_path(&rest, out->text[out->n], MN_PATH_BYTES); out->n++)
        out->items[out->n] = out->text[out->n];
    if (!mn_train_next_path(&rest, none, sizeof none)) return MN_OK;
    return mn_fail(err, MN_ERR_LIMIT, "[source %s] has more than %d paths; put the files into a folder.", s->name,
                   MN_MAX_PATHS);
}

static mn_needle_kind kind_of(const char *name) {
    int k = 0;
    while (k < MN_NEEDLE_KIND_COUNT - 1 && strcmp(name, mn_needle_kind_name((mn_needle_kind)k))) k++;
    return (mn_needle_kind)k;
}

static mn_status open_source(const mn_train_config *c, const mn_source_config *s, mn_source *out, mn_error *err) {
    path_list *paths = calloc(1, sizeof *paths); /* too much for a stack */
    *out = (mn_source){.name = s->name, .weight = s->weight, .is_needles = s->needles != NULL};
    if (s->needles)
        out->needles = (mn_needle_params){.kind = kind_of(s->needles),
                                          .min_keys = (int)s->min_keys,
                                          .max_keys = (int)s->max_keys,
                                          .min_hops = (int)s->min_hops,
                                          .max_hops = (int)s->max_hops,
                                          .n_questions = (int)s->questions,
                                          .n_distractors = (int)s->distractors,
                                          .filler = s->filler,
                                          .digits = s->digits,
                                          .usual_wording = s->usual_wording};
    for (int r = 0; r < MN_ROLE_COUNT; r++)
        out->role_weights[r] = (float)(s->role_weights[r] >= 0 ? s->role_weights[r] : c->role_weights[r]);
    mn_status status = paths ? split(s, paths, err) : mn_fail(err, MN_ERR_MEMORY, "no memory for paths.");
    if (status == MN_OK) status = mn_corpus_open(paths->items, paths->n, piece_bytes(c->window), &out->corpus, err);
    free(paths);
    return status;
}

static mn_dataset without_sources(const mn_train_config *c, const mn_tokenizer *tokenizer,
                                  const mn_chat_template *chat_template) {
    return (mn_dataset){.tokenizer = tokenizer,
                        .chat_template = chat_template,
                        .seed = (uint64_t)c->seed,
                        .n_ctx = c->window,
                        .validation_share = c->validation_share,
                        .holds_out_files = c->validation_split == MN_SPLIT_FILES};
}

mn_status mn_dataset_configure(const mn_train_config *c, const mn_tokenizer *tokenizer,
                               const mn_chat_template *chat_template, mn_dataset *out, mn_error *err) {
    *out = without_sources(c, tokenizer, chat_template);
    for (int i = 0; i < c->n_sources; i++) {
        MN_TRY(open_source(c, &c->sources[i], &out->sources[i], err));
        out->n_sources++;
    }
    return MN_OK;
}

mn_status mn_dataset_configure_prose(const mn_train_config *c, const mn_tokenizer *tokenizer,
                                     const mn_chat_template *chat_template, mn_dataset *out, mn_error *err) {
    mn_source_config prose = {.name = "prose", .paths = c->memory.prose ? c->memory.prose : c->sources[0].paths};
    prose.weight = 1;
    *out = without_sources(c, tokenizer, chat_template);
    MN_TRY(open_source(c, &prose, &out->sources[0], err));
    out->n_sources = 1;
    return mn_dataset_check(out, err);
}
