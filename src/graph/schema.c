/* The tables of a graph. */
#include "graph/schema.h"

static const mn_migration steps[] = {
    {.sql =
         "CREATE TABLE doc (id TEXT PRIMARY KEY, source TEXT, name TEXT, seq BIGINT, title TEXT, kind TEXT, "
         "  hash TEXT, bytes BIGINT);"
         "CREATE INDEX doc_source ON doc (source); CREATE INDEX doc_seq ON doc (seq);"
         "CREATE TABLE chunk (id TEXT PRIMARY KEY, doc TEXT, ord BIGINT, first_byte BIGINT, last_byte BIGINT, "
         "  title TEXT, speaker TEXT, session TEXT, time BIGINT, text TEXT);"
         "CREATE INDEX chunk_doc ON chunk (doc, ord);"
         "CREATE TABLE graph_state (name TEXT PRIMARY KEY, value BIGINT);"
         "CREATE TABLE derived_passage (n {id}, chunk TEXT, heads {blob}, links {blob});"
         "CREATE TABLE derived_fact (n {id}, passage BIGINT, first_byte BIGINT, last_byte BIGINT, keys {blob});"
         "CREATE TABLE derived_key (n {id}, form TEXT UNIQUE, text TEXT, n_facts BIGINT, facts {blob}, heads {blob});"
         "CREATE TABLE derived_term (term TEXT PRIMARY KEY, postings {blob});"
         "CREATE TABLE derived_array (name TEXT PRIMARY KEY, data {blob})"},
    /* Facts that a model took out of chunks, and the ledger of what it was asked (extract.h). */
    {.sql = "CREATE TABLE extraction (id TEXT PRIMARY KEY, chunk TEXT, recipe TEXT, model TEXT, state TEXT, "
            "  in_tokens BIGINT, out_tokens BIGINT);"
            "CREATE INDEX extraction_chunk ON extraction (chunk, recipe);"
            "CREATE TABLE extracted_fact (id TEXT PRIMARY KEY, chunk TEXT, text TEXT, keys TEXT, first_byte BIGINT, "
            "  last_byte BIGINT);"
            "CREATE INDEX extracted_fact_chunk ON extracted_fact (chunk);"
            "ALTER TABLE derived_fact ADD COLUMN text TEXT"},
};

mn_status mn_graph_migrate(mn_store *store, mn_error *err) {
    return mn_store_migrate(store, "graph", steps, sizeof steps / sizeof *steps, err);
}

mn_status mn_graph_state(mn_store *store, const char *name, int64_t *value, mn_error *err) {
    return mn_store_number(store, 0, value, err, "SELECT value FROM graph_state WHERE name = $1", "t", name);
}

mn_status mn_graph_set_state(mn_store *store, const char *name, int64_t value, mn_error *err) {
    return mn_store_run(store, err,
                        "INSERT INTO graph_state (name, value) VALUES ($1, $2) "
                        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                        "ti", name, value);
}

mn_status mn_graph_touch(mn_store *store, mn_error *err) {
    int64_t now;
    MN_TRY(mn_graph_state(store, "texts", &now, err));
    return mn_graph_set_state(store, "texts", now + 1, err);
}
