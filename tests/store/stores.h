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

/* Where the store of this name is, for mn_store_open: a file, or a server with the schema. */
static inline void place_of(const char *name, char *out, size_t bytes) {
    if (!server_folder) {
        snprintf(out, bytes, "%s", temp_path(name));
        return;
    }
    int n = snprintf(out, bytes, "postgresql://tester@/postgres?host=%s&options=-csearch_path%%3D", server_folder);
    char *schema = out + n;
    snprintf(schema, bytes - (size_t)n, "%.*s", (int)strcspn(name, "."), name);
    for (char *p = schema; *p; p++)
        if (*p == '-') *p = '_';
}

static inline mn_store *new_schema(const char *name) {
    char place[512], sql[256];
    mn_store *store;
    mn_error why;
    place_of(name, place, sizeof place);
    const char *schema = strstr(place, "%3D") + 3;
    snprintf(sql, sizeof sql, "DROP SCHEMA IF EXISTS %s CASCADE; CREATE SCHEMA %s", schema, schema);
    assert_ok(mn_store_open(place, NULL, &store, &why), why);
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
