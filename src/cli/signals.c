#include "cli/signals.h"

#include "base/file.h"
#include "cli/options.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void handle(int signal_number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(signal_number, &action, NULL);
}

/* SA_RESETHAND has restored the default, which the second signal meets once this returns. */
static void end(int signal_number) {
    mn_writer_remove_all();
    raise(signal_number);
}

static void handle_end(int signal_number) {
    struct sigaction old;
    bool ignored = sigaction(signal_number, NULL, &old) == 0 && old.sa_handler == SIG_IGN; /* nohup */
    if (!ignored) handle(signal_number, end, (int)SA_RESETHAND);
}

static void say(const char *text) {
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written; /* nobody is left to be told */
}

/* Only of files: a fault elsewhere ends the program as it would. */
static void end_by_file(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    const char *path = mn_mapfile_path_at(info->si_addr);
    if (!path) {
        handle(signal_number, SIG_DFL, 0);
        raise(signal_number);
        return;
    }
    mn_writer_remove_all();
    say("\nmnemo: ");
    say(path);
    say(": was cut short while it was in use, or its disk cannot read it; put the file back and run the command "
        "again.\n");
    _exit(MN_EXIT_FAILED);
}

void mn_signals_start(void) {
    struct sigaction on_bus_error = {.sa_sigaction = end_by_file, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &on_bus_error, NULL);

    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) handle_end(ending[i]);
    handle(SIGXFSZ, SIG_IGN, 0);
}

static void note_interrupt(int signal_number) {
    interrupted = 1;
    handle(signal_number, end, (int)SA_RESETHAND);
}

void mn_signals_catch_interrupt(void) {
    interrupted = 0;
    handle(SIGINT, note_interrupt, SA_RESTART);
}

bool mn_signals_interrupted(void) { return interrupted; }

void mn_signals_release_interrupt(void) { handle(SIGINT, end, (int)SA_RESETHAND); }
