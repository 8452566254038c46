/* Runs a fuzz target over every file of a corpus folder: what was once found stays found. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "fuzz/fuzz.h"

static int replay(const char *path) {
    char *data, *exact;
    size_t bytes;
    mn_error err;
    if (mn_file_read(path, 1 << 24, &data, &bytes, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    exact = malloc(bytes + !bytes); /* no byte more, so that a sanitizer sees any read past the end */
    memcpy(exact, data, bytes);
    LLVMFuzzerTestOneInput((const uint8_t *)exact, bytes);
    free(exact);
    free(data);
    return 0;
}

int main(int argc, char **argv) {
    int n_files = 0, n_failed = 0;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        n_failed += replay(path);
        n_files++;
    }
    closedir(dir);
    printf("%d inputs replayed\n", n_files);
    return n_failed || n_files == 0;
}
