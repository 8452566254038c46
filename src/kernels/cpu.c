#include "kernels/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif
#include <unistd.h>

static const char *const names[MN_CPU_LEVEL_COUNT] = {
    [MN_CPU_GENERIC] = "generic", [MN_CPU_NEON] = "neon",     [MN_CPU_AVX2] = "avx2",
    [MN_CPU_AVXVNNI] = "avxvnni", [MN_CPU_AVX512] = "avx512", [MN_CPU_AVX512BF16] = "avx512bf16",
    [MN_CPU_AMX] = "amx",
};

const char *mn_cpu_level_name(mn_cpu_level level) { return names[level]; }

#if defined(__x86_64__)
/* clang 14 does not know this feature by name. */
static int has_f16c(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}

/* Nor this one. */
static int has_avxvnni(void) {
    enum { AVX_VNNI = 1 << 4 };
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && eax >= 1 &&
           __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & AVX_VNNI);
}

/* Compilers do not know these by name either. Tiles are 8 KiB of state for each thread, which Linux saves only for
 * processes that have asked. */
static int has_amx(void) {
    enum { BF16 = 1 << 22, TILE = 1 << 24, INT8 = 1 << 25, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & (BF16 | TILE | INT8)) != (BF16 | TILE | INT8))
        return 0;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif

/* The compiler's run-time library asks the operating system as well whether it saves the wide registers. */
int mn_cpu_supports(mn_cpu_level level) {
    switch (level) {
    case MN_CPU_GENERIC: return 1;
#if defined(__x86_64__)
    case MN_CPU_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
               has_f16c();
    case MN_CPU_AVXVNNI: return mn_cpu_supports(MN_CPU_AVX2) && has_avxvnni();
    case MN_CPU_AVX512:
        return mn_cpu_supports(MN_CPU_AVX2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case MN_CPU_AVX512BF16:
        return mn_cpu_supports(MN_CPU_AVX512) && __builtin_cpu_supports("avx512vnni") &&
               __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi");
    case MN_CPU_AMX: return mn_cpu_supports(MN_CPU_AVX512BF16) && has_amx();
#elif defined(__aarch64__)
    case MN_CPU_NEON: return 1; /* part of the base architecture */
#endif
    default: return 0;
    }
}

mn_cpu_level mn_cpu_detect(void) {
    mn_cpu_level level = MN_CPU_LEVEL_COUNT - 1;
    while (!mn_cpu_supports(level)) level--;
    return level;
}

static void list_supported(char *text, size_t bytes) {
    size_t used = 0;
    text[0] = 0;
    for (int level = 0; level < MN_CPU_LEVEL_COUNT && used < bytes; level++) {
        if (!mn_cpu_supports((mn_cpu_level)level)) continue;
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", used ? ", " : "", names[level]);
    }
}

mn_status mn_cpu_choose(mn_cpu_level *out, mn_error *err) {
    const char *wanted = getenv("MNEMO_CPU");
    if (!wanted || !*wanted) {
        *out = mn_cpu_detect();
        return MN_OK;
    }
    for (int level = 0; level < MN_CPU_LEVEL_COUNT; level++) {
        if (strcmp(wanted, names[level]) || !mn_cpu_supports((mn_cpu_level)level)) continue;
        *out = (mn_cpu_level)level;
        return MN_OK;
    }
    char supported[128];
    list_supported(supported, sizeof supported);
    return mn_fail(err, MN_ERR_ARGUMENT, "MNEMO_CPU=%s is no level of this machine; it has %s.", wanted, supported);
}

size_t mn_cpu_l2_bytes(void) {
    enum { COMMON = 1 << 20, LEAST = 1 << 18 };
    long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return bytes >= LEAST ? (size_t)bytes : COMMON;
}
