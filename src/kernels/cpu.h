/* Which instructions this process may use. */
#ifndef MN_KERNELS_CPU_H
#define MN_KERNELS_CPU_H

#include "base/status.h"

#include <stddef.h>

/* Each level includes those before it in its family, but for AVX-VNNI, which levels after it do without. */
typedef enum mn_cpu_level {
    MN_CPU_GENERIC,    /* portable C */
    MN_CPU_NEON,       /* aarch64: Advanced SIMD */
    MN_CPU_AVX2,       /* x86-64-v3: AVX2, FMA, F16C */
    MN_CPU_AVXVNNI,    /* AVX-VNNI beside it: Alder Lake and later Intel processors without AVX-512 */
    MN_CPU_AVX512,     /* x86-64-v4: F, BW, CD, DQ, VL */
    MN_CPU_AVX512BF16, /* AVX-512 with VNNI and BF16: Zen 4, Zen 5, Cooper Lake */
    MN_CPU_AMX,        /* tiles of bf16 and of bytes beside it: Sapphire Rapids and later */
    MN_CPU_LEVEL_COUNT
} mn_cpu_level;

/* "generic", "neon", "avx2", "avxvnni", "avx512", "avx512bf16", "amx" */
const char *mn_cpu_level_name(mn_cpu_level level);
/* The highest level that the processor and the operating system support. */
mn_cpu_level mn_cpu_detect(void);
/* Whether a level can run here. Asking for amx asks the operating system to let this process use its tiles. */
int mn_cpu_supports(mn_cpu_level level);
/* The level to use: detected, held down by the environment variable MNEMO_CPU. An unknown name, or a level this
 * machine lacks, is an error that lists what it has. */
mn_status mn_cpu_choose(mn_cpu_level *out, mn_error *err);

/* Bytes of a core's second-level cache; 1 MiB where the system does not know. */
size_t mn_cpu_l2_bytes(void);

#endif
