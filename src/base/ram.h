/* How much memory there is. */
#ifndef MN_BASE_RAM_H
#define MN_BASE_RAM_H

#include <stddef.h>

/* Bytes that programs may still take without swapping, files that can be read again counted as free; no more than the
 * control group leaves. SIZE_MAX where the system does not say. */
size_t mn_ram_free(void);

#endif
