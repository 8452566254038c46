/* How much memory there is. */
#ifndef MN_BASE_RAM_H
#define MN_BASE_RAM_H

#include <stddef.h>

/* Bytes that programs may still take without swapping, files that can be read again counted as free: what the system
 * says, or the least that is left of a limit of any control group above this process (versions 1 and 2). SIZE_MAX where
 * neither says anything. Cost: some small files are read. */
size_t mn_ram_free(void);
/* The same of another root directory, which holds proc/ and what is mounted: for tests. */
size_t mn_ram_free_under(const char *root);
/* The bytes that this process has in memory now; 0 where the system does not say. */
size_t mn_ram_held(void);
/* The most bytes that this process has had in memory at once, mapped files counted where they were touched. */
size_t mn_ram_peak(void);

#endif
