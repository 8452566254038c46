/* Attention's inner loops: tiles of scores and of weighted values. Which keys a query sees, and how work is split over
 * threads, is decided in attention/.
 */
#ifndef MN_KERNELS_ATTEND_H
#define MN_KERNELS_ATTEND_H

#include "tensor/dtype.h"

#include <stdint.h>

#endif
