/* The stores that the tests of this room run on: a new SQLite file, or a new schema of a PostgreSQL server. */
#ifndef MN_TESTS_STORES_H
#define MN_TESTS_STORES_H

#include "support/support.h"

#include "store/store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The folder of a PostgreSQL server's socket; NULL = SQLite. */
static const char *server_folder;

static inline mn_store *new_schema(const char *name) {
    char url[256], schema[64], sql[256];
    mn_store *store;
    mn_error why;
    snprintf(schema, sizeof schema, "%.*s", (int)strcspn(name, "."), name);
    for (char *p = schema; *p; p++)
        if (*p == '-') *p = '_';
    snprintf(url, sizeof url, "postgresql://tester@/postgres?host=%s", server_folder);
    assert_ok(mn_store_open(url, NULL, &store, &why), why);
    snprintf(sql, sizeof sql, "DROP SCHEMA IF EXISTS %s CASCADE; CREATE SCHEMA %s; SET search_path = %s", schema,
             schema, schema);
    assert_ok(mn_store_exec(store, sql, &why), why);
    return store;
}

/* A store that holds nothing; the caller closes it. */
static inline mn_store *new_store(const char *name) {
    char journal[4096];
    mn_store *store = NULL;
    mn_error why;
    if (server_folder) return new_schema(name);
    const char *path = temp_path(name);
    unlink(path);
    static const char *const suffixes[] = {"-wal", "-shm"};
    for (int i = 0; i < 2; i++) {
        snprintf(journal, sizeof journal, "%s%s", path, suffixes[i]);
        unlink(journal);
    }
    assert_ok(mn_store_open(path, NULL, &store, &why), why);
    return store;
}

#endif
