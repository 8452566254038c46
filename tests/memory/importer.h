/* A store with an agent whose recall takes messages in. */
#ifndef MN_TESTS_IMPORTER_H
#define MN_TESTS_IMPORTER_H

#include "store/stores.h"

#include "memory/import.h"
#include "memory/recall_index.h"

static mn_error import_err;

static inline mn_store *with_importer(const char *file, int64_t *agent) {
    mn_store *store = new_store(file);
    assert_ok(mn_memory_migrate(store, &import_err), import_err);
    assert_ok(mn_agent_find_or_add(store, "ann", agent, &import_err), import_err);
    return store;
}

static inline mn_status import_text(mn_store *store, int64_t agent, const char *text, size_t bytes,
                                    mn_import_figures *figures) {
    const mn_import_options options = {.name = "talk.jsonl"};
    FILE *in = fmemopen((void *)text, bytes, "r");
    assert_non_null(in);
    *figures = (mn_import_figures){0};
    mn_status status = mn_messages_import(store, agent, in, &options, figures, &import_err);
    fclose(in);
    return status;
}

#endif
