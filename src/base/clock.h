/* Monotonic time. */
#ifndef MN_BASE_CLOCK_H
#define MN_BASE_CLOCK_H

/* Seconds since an arbitrary start. */
double mn_clock_seconds(void);

#endif
