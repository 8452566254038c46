#include "cli/terminal.h"
#include "cli/model_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* From the folder of the binary: the source it was built in, the prefix it was installed to, its own folder. Then the
 * source, wherever it was built. */
static const char *const places[] = {"../models", "../share/mnemo/models", "models", ".", MNEMO_MODELS_DIR};

/* The folder of the running binary; false where the system does not tell. */
static bool find_folder(char out[PATH_MAX]) {
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n <= 0) return false;
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (slash) *slash = '\0';
    return slash;
}

bool mn_shipped_file_find(const char *name, char out[PATH_MAX]) {
    char folder[PATH_MAX], candidate[2 * PATH_MAX];
    if (!find_folder(folder)) strcpy(folder, ".");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bool absolute = places[i][0] == '/';
        snprintf(candidate, sizeof candidate, "%s%s%s/%s", absolute ? "" : folder, absolute ? "" : "/", places[i],
                 name);
        if (!access(candidate, R_OK) && realpath(candidate, out)) return true;
    }
    return false;
}

mn_status mn_model_file_find(const char **path, mn_error *err) {
    static char found[PATH_MAX];
    if (*path) return MN_OK;
    if (!mn_shipped_file_find("default.gguf", found))
        return mn_fail(err, MN_ERR_ARGUMENT, "no model was named; use -m FILE.gguf, or set MNEMO_MODEL.");
    mn_say("mnemo: no model was named; this is %s (-m FILE names another).", found);
    *path = found;
    return MN_OK;
}
