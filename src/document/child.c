#include "document/child.h"

#include "base/checked.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_MEMORY_BYTES ((rlim_t)1 << 32)

extern char **environ;

enum { IN, OUT, ERR }; /* and descriptors of the child */

typedef struct child {
    pid_t pid;
    int input, output[2], message[2]; /* -1 = closed */
} child;

static void close_one(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void close_all(child *c) {
    close_one(&c->input);
    for (int i = 0; i < 2; i++) {
        close_one(&c->output[i]);
        close_one(&c->message[i]);
    }
}

/* ---- starting ---- */

static bool fill(int fd, const char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        data += n;
        bytes -= (size_t)n;
    }
    return lseek(fd, 0, SEEK_SET) == 0;
}

static bool open_all(child *c, const void *data, size_t bytes) {
    c->input = memfd_create("document", MFD_CLOEXEC);
    return c->input >= 0 && fill(c->input, data, bytes) && pipe2(c->output, O_CLOEXEC) == 0 &&
           pipe2(c->message, O_CLOEXEC) == 0;
}

/* The three descriptors, and signals as a program expects them whatever this one did to its own. Returns errno. */
static int spawn(child *c, char *const argv[]) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    if (posix_spawn_file_actions_init(&actions)) return ENOMEM;
    if (posix_spawnattr_init(&attributes)) {
        posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    int error = posix_spawn_file_actions_adddup2(&actions, c->input, IN);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, c->output[1], OUT);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, c->message[1], ERR);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!error) error = posix_spawnp(&c->pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close_one(&c->input);
    close_one(&c->output[1]);
    close_one(&c->message[1]);
    return error;
}

static void limit(pid_t pid, int max_seconds) {
    struct rlimit seconds = {(rlim_t)max_seconds, (rlim_t)max_seconds}, memory = {MAX_MEMORY_BYTES, MAX_MEMORY_BYTES},
                  core = {0, 0};
    prlimit(pid, RLIMIT_CPU, &seconds, NULL);
    prlimit(pid, RLIMIT_AS, &memory, NULL);
    prlimit(pid, RLIMIT_CORE, &core, NULL);
}

/* ---- listening ---- */

static void take_message(mn_child_result *result, const char *text, size_t bytes) {
    size_t used = strlen(result->message);
    for (size_t i = 0; i < bytes && used + 1 < sizeof result->message; i++)
        result->message[used++] = text[i] >= ' ' && text[i] < 127 ? text[i] : ' ';
}

/* What one descriptor has to say; closes it at its end. */
static void take(int *fd, bool is_message, mn_strbuf *out, mn_child_result *result) {
    char chunk[1 << 16];
    ssize_t n = read(*fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) return;
    if (n <= 0)
        close_one(fd);
    else if (is_message)
        take_message(result, chunk, (size_t)n);
    else
        mn_strbuf_put(out, chunk, (size_t)n);
}

static void collect(child *c, double deadline, mn_strbuf *out, mn_child_result *result) {
    while (c->output[0] >= 0 || c->message[0] >= 0) {
        double left_ms = ceil((deadline - mn_clock_seconds()) * 1e3);
        struct pollfd fds[] = {{.fd = c->output[0], .events = POLLIN}, {.fd = c->message[0], .events = POLLIN}};
        result->is_late = left_ms <= 0;
        result->is_too_long = out->failed;
        if (result->is_late || result->is_too_long) return;
        if (poll(fds, 2, (int)MN_MIN(left_ms, 60e3)) < 0 && errno != EINTR) return;
        if (fds[0].revents) take(&c->output[0], false, out, result);
        if (fds[1].revents) take(&c->message[0], true, out, result);
    }
}

/* A child that closed its ends and lives on is killed like a late one. */
static int end(const child *c, bool is_killed, double deadline, mn_child_result *result) {
    int status;
    for (pid_t pid; (pid = waitpid(c->pid, &status, is_killed ? 0 : WNOHANG)) <= 0;) {
        if (pid < 0 && errno != EINTR) return -1;
        if (pid < 0) continue;
        if (mn_clock_seconds() > deadline) {
            kill(c->pid, SIGKILL);
            is_killed = result->is_late = true;
        } else {
            poll(NULL, 0, 1);
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

mn_status mn_child_run(char *const argv[], const void *data, size_t bytes, int max_seconds, mn_strbuf *out,
                       mn_child_result *result, mn_error *err) {
    child c = {.input = -1, .output = {-1, -1}, .message = {-1, -1}};
    double deadline = mn_clock_seconds() + max_seconds;
    *result = (mn_child_result){.exit_code = -1};
    int error = open_all(&c, data, bytes) ? spawn(&c, argv) : errno;
    if (error) {
        close_all(&c);
        result->is_missing = error == ENOENT;
        if (result->is_missing) return MN_OK;
        return mn_fail(err, MN_ERR_IO, "the program %s cannot be started: %s.", argv[0], strerror(error));
    }
    limit(c.pid, max_seconds);
    collect(&c, deadline, out, result);
    bool kill_it = c.output[0] >= 0 || c.message[0] >= 0;
    if (kill_it) kill(c.pid, SIGKILL);
    close_all(&c);
    result->exit_code = end(&c, kill_it, deadline, result);
    return MN_OK;
}
