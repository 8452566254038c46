/* Standard streams: there from the start, and checked at the end. */
#ifndef MN_CLI_STREAMS_H
#define MN_CLI_STREAMS_H

#include "base/status.h"

/* Called first. Descriptors 0 to 2 that are closed get /dev/null, so that no file that is opened later takes their
 * place and receives what was meant for them; writing to a closed standard output still fails. A reader that goes away
 * makes writes fail instead of ending the program (SIGPIPE). */
void mn_streams_start(void);

/* Called last: an error when something written to standard output did not arrive. */
mn_status mn_streams_finish(mn_error *err);

/* What to do with the first failure of a write to standard output, for verbs that can stop early. */
mn_status mn_streams_failed(mn_error *err);

#endif
