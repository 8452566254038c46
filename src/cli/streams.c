#include "cli/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void mn_streams_start(void) {
    /* Opened the wrong way round, 1 refuses writes and 0 is at its end. */
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", modes[fd]) != fd) return;
    signal(SIGPIPE, SIG_IGN);
}

mn_status mn_streams_failed(mn_error *err) {
    return mn_fail(err, MN_ERR_IO, "not all could be written to standard output%s%s.", errno ? ": " : "",
                   errno ? strerror(errno) : "");
}

mn_status mn_streams_finish(mn_error *err) {
    bool failed = ferror(stdout);
    errno = 0;
    if (fclose(stdout) == 0 && !failed) return MN_OK;
    return mn_streams_failed(err);
}
