/* Memory on large pages, where the system has them. */
#ifndef MN_BASE_HUGE_H
#define MN_BASE_HUGE_H

#include <stddef.h>

/* Memory that free() gives back, NULL when there is none. bytes: a multiple of 64, as is the address. From 4 MiB on the
 * system is asked for pages of 2 MiB: what is read from all over it would otherwise wait for the place of each small
 * page to be found. Those that were never written to are not taken from the machine. */
void *mn_huge_alloc(size_t bytes);

#endif
