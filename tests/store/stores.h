/* The stores that the tests of this room run on: a new SQLite file. */
#ifndef MN_TESTS_STORES_H
#define MN_TESTS_STORES_H

#include "support/support.h"

#include "store/store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A store that holds nothing; the caller closes it. */
static inline mn_store *new_store(const char *name) {
    char journal[4096];
    mn_store *store = NULL;
    mn_error err;
    const char *path = temp_path(name);
    unlink(path);
    static const char *const suffixes[] = {"-wal", "-shm"};
    for (int i = 0; i < 2; i++) {
        snprintf(journal, sizeof journal, "%s%s", path, suffixes[i]);
        unlink(journal);
    }
    assert_ok(mn_store_open(path, NULL, &store, &err), err);
    return store;
}

#endif
