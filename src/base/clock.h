/* Time that has passed, and time that a thread has computed. */
#ifndef MN_BASE_CLOCK_H
#define MN_BASE_CLOCK_H

/* Seconds since an arbitrary start. */
double mn_clock_seconds(void);
/* CPU time of the calling thread: what other programs take from it does not count, nor what it waits for. */
double mn_clock_thread_seconds(void);

#endif
