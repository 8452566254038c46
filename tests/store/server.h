/* A PostgreSQL server for a test, on a socket in a temporary folder. As root it runs as the service user postgres. */
#ifndef MN_TESTS_SERVER_H
#define MN_TESTS_SERVER_H

#include <glob.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64], programs[256], as_user[64];

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...) {
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command);
}

/* The folder of initdb and postgres; false where they are not installed, or root has no user to run them as. */
static bool find_server(void) {
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found)) return false;
    snprintf(programs, sizeof programs, "%s", found.gl_pathv[found.gl_pathc - 1]);
    *strrchr(programs, '/') = '\0';
    globfree(&found);
    if (geteuid() != 0) return true;
    snprintf(as_user, sizeof as_user, "runuser -u postgres --");
    return getpwnam("postgres") && !shell("command -v runuser >/dev/null");
}

/* Starts it on the data that there are. */
static int resume_server(void) {
    return shell("cd %s && %s %s/pg_ctl -D %s/data -w -o \"-k %s -c listen_addresses='' -c fsync=off\" "
                 "-l %s/server.log start >/dev/null 2>&1",
                 folder, as_user, programs, folder, folder, folder);
}

/* Ends it at once; its data stay. */
static inline void halt_server(void) {
    shell("cd %s && %s %s/pg_ctl -D %s/data -m immediate stop >/dev/null 2>&1", folder, as_user, programs, folder);
}

/* Ends every connection that there is. */
static inline int cut_connections(void) {
    return shell("cd %s && %s %s/psql -h %s -U tester -q -d postgres -c \"SELECT pg_terminate_backend(pid) FROM "
                 "pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()\" "
                 ">/dev/null 2>&1",
                 folder, as_user, programs, folder);
}

static bool start_server(void) {
    snprintf(folder, sizeof folder, "/tmp/mnemo-pg-XXXXXX");
    if (!mkdtemp(folder)) return false;
    if (*as_user && shell("chown postgres %s", folder)) return false;
    return !shell("cd %s && %s %s/initdb -D %s/data -A trust -U tester --no-sync >%s/log 2>&1", folder, as_user,
                  programs, folder, folder) &&
           !resume_server();
}

static void stop_server(void) {
    halt_server();
    shell("rm -rf %s", folder);
}

#endif
