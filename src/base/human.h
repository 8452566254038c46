/* Figures as people read them. Each fills buf and returns it. */
#ifndef MN_BASE_HUMAN_H
#define MN_BASE_HUMAN_H

#include <stddef.h>
#include <stdint.h>

typedef char mn_human[32];

/* "917 bytes", "4.22 MiB" */
const char *mn_human_bytes(mn_human buf, size_t bytes);
/* "32 µs", "417 ms", "6.3 s", "2 min 5 s", "3 h 20 min", "12 days" */
const char *mn_human_seconds(mn_human buf, double seconds);
/* "917", "2.18 M", "383 M" */
const char *mn_human_count(mn_human buf, int64_t n);

#endif
