/* mnemo read: what its files share. */
#ifndef MN_CLI_READ_H
#define MN_CLI_READ_H

#include <stdbool.h>
#include <stdint.h>

#ifdef MNEMO_HAVE_GRAPH
#include "graph/graph.h"
#include "llm/llm.h"

#include <jansson.h>

typedef struct read_settings {
    const char *store, *question, *rank, *endpoint, *endpoint_model, *svg, *html, *embed, *embed_type;
    int64_t k, chunk_bytes, n_paths, path_calls, window, max_calls, max_tokens;
    bool json, shows_walk, extracts;
} read_settings;
extern read_settings read_given;

/* A passage as search and ask print it: file, begin, end, score, text, and a title or speaker if it has one. */
json_t *read_passage_json(const mn_passage *passage, double score);
/* mnemo read show; key NULL = all of it, or the walk of the question. */
mn_status read_show(mn_graph *graph, const char *key, mn_error *err);
/* Lets searches rank by vectors of --embed's model too, made where passages have none; nothing without --embed. *engine
 * is closed by the caller after the graph, also after a failure; NULL = none. */
mn_status read_rank_near(mn_graph *graph, mn_engine **engine, mn_error *err);
/* The model that -m or --endpoint name. */
typedef struct read_model {
    mn_engine *engine; /* NULL: an endpoint, or none */
    mn_llm *llm;       /* NULL: none */
} read_model;
/* *reads_only: it has no chat template, and follows no instructions. */
mn_status read_open_model(read_model *m, bool *reads_only, mn_error *err);
void read_close_model(read_model *m);
/* mnemo read index --extract. */
mn_status read_extract(mn_store *store, mn_error *err);
/* mnemo read ask. */
mn_status read_ask(mn_graph *graph, mn_store *store, mn_error *err);
#endif

#endif
