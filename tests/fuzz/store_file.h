/* A new SQLite store for each input, in a folder of this process. */
#ifndef MN_TESTS_FUZZ_STORE_FILE_H
#define MN_TESTS_FUZZ_STORE_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "graph/schema.h"
#include "memory/memory.h"
#include "store/vectors.h"

static char fuzz_folder[64];

static inline void remove_folder(void) {
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", fuzz_folder);
    if (system(command)) return;
}

static inline void fuzz_path(char out[128], const char *name) {
    if (!*fuzz_folder) {
        snprintf(fuzz_folder, sizeof fuzz_folder, "/tmp/mnemo-fuzz-XXXXXX");
        if (!mkdtemp(fuzz_folder) || atexit(remove_folder)) abort();
    }
    snprintf(out, 128, "%s/%s", fuzz_folder, name);
}

/* With the tables of all rooms. */
static inline mn_store *fuzz_store(void) {
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[128], name[16];
    mn_store *store;
    mn_error err;
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "f.db%s", suffixes[i]);
        fuzz_path(path, name);
        unlink(path);
    }
    fuzz_path(path, "f.db");
    if (mn_store_open(path, NULL, &store, &err) || mn_graph_migrate(store, &err) || mn_memory_migrate(store, &err) ||
        mn_vectors_migrate(store, &err))
        abort();
    return store;
}

static inline FILE *fuzz_input(const uint8_t *data, size_t bytes) {
    static char nothing[1];
    FILE *in = bytes ? fmemopen((void *)(uintptr_t)data, bytes, "r") : fmemopen(nothing, 1, "w+");
    if (!in) abort();
    return in;
}

/* A failure is a sentence. */
static inline mn_status said(mn_status status, const mn_error *err) {
    if (status != MN_OK && !err->text[0]) abort();
    return status;
}

#endif
