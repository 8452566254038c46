/* Signals: a program that is ended leaves no temporary files, and one may be asked to stop at the next good place. */
#ifndef MN_CLI_SIGNALS_H
#define MN_CLI_SIGNALS_H

#include <stdbool.h>

/* Called first. SIGINT, SIGTERM and SIGHUP remove temporary files and end the program as they would; a file that grows
 * beyond the limit of its size fails to be written instead of ending the program (SIGXFSZ); a mapped file that is cut
 * while it is in use ends it with a sentence that names the file (SIGBUS). */
void mn_signals_start(void);

/* From now on the first SIGINT (Ctrl-C) only makes mn_signals_interrupted true; the next one ends the program. */
void mn_signals_catch_interrupt(void);
/* Whether there was one since. */
bool mn_signals_interrupted(void);
/* From now on the first SIGINT ends the program again. */
void mn_signals_release_interrupt(void);

#endif
