/* The CPU's backend with a stopwatch: the same operations with the same bits, each charged to its kind and layer in the
 * profile of the mn_compute, with what it had to do. Layers are known by the addresses of their weights.
 */
#ifndef MN_MODEL_BACKEND_PROFILED_H
#define MN_MODEL_BACKEND_PROFILED_H

#include "model/backend_cpu.h"

/* compute->profile is not NULL while the backend is used. Otherwise as mn_backend_cpu. */
mn_backend mn_backend_profiled(const mn_compute *compute);

#endif
