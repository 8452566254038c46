#include "kernels/kernels.h"

#include <pthread.h>

static mn_kernels tables[MN_CPU_LEVEL_COUNT], f32_attention[MN_CPU_LEVEL_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* From portable C upward: a level keeps what it does not do better. Not all that have AVX-512 have AVX-VNNI. */
static void fill(mn_kernels *table, mn_cpu_level level) {
    table->level = level;
    table->l2_bytes = mn_cpu_l2_bytes();
    mn_vec_init_generic(&table->vec);
    mn_vec_backward_init_generic(&table->vec_backward);
    mn_matmul_init_generic(&table->matmul);
    mn_attend_init_generic(&table->attend);
    mn_attend_back_init_generic(&table->attend);
    mn_recurrent_init_generic(&table->recurrent);
#if defined(__x86_64__)
    if (level >= MN_CPU_AVX2) {
        mn_vec_init_avx2(&table->vec);
        mn_vec_backward_init_avx2(&table->vec_backward);
        mn_matmul_init_avx2(&table->matmul);
        mn_attend_init_avx2(&table->attend);
        mn_attend_back_init_avx2(&table->attend);
        mn_recurrent_init_avx2(&table->recurrent);
    }
    if (level == MN_CPU_AVX2) mn_matmul_init_quant_avx2(&table->matmul);
    if (level == MN_CPU_AVXVNNI) mn_matmul_init_avxvnni(&table->matmul);
    if (level >= MN_CPU_AVX512) {
        mn_vec_init_avx512(&table->vec);
        mn_vec_backward_init_avx512(&table->vec_backward);
        mn_matmul_init_avx512(&table->matmul);
        mn_attend_init_avx512(&table->attend);
        mn_attend_back_init_avx512(&table->attend);
        mn_recurrent_init_avx512(&table->recurrent);
    }
    if (level >= MN_CPU_AVX512BF16) {
        mn_matmul_init_avx512bf16(&table->matmul);
        mn_attend_init_avx512bf16(&table->attend);
    }
    if (level == MN_CPU_AVX512BF16) mn_attend_back_init_avx512bf16(&table->attend); /* with tiles, f32 is as fast */
    if (level >= MN_CPU_AMX) {
        mn_matmul_init_amx(&table->matmul);
        mn_attend_init_amx(&table->attend);
    }
#elif defined(__aarch64__)
    if (level == MN_CPU_NEON) {
        mn_vec_init_neon(&table->vec);
        mn_vec_backward_init_neon(&table->vec_backward);
        mn_attend_init_neon(&table->attend);
        mn_attend_back_init_neon(&table->attend);
        mn_recurrent_init_neon(&table->recurrent);
    }
#endif
}

/* The initialisers of a level are compiled with its instructions: they run only where the processor has them. */
static void fill_supported(void) {
    for (int level = 0; level < MN_CPU_LEVEL_COUNT; level++) {
        if (!mn_cpu_supports((mn_cpu_level)level)) continue;
        fill(&tables[level], (mn_cpu_level)level);
        f32_attention[level] = tables[level];
        f32_attention[level].attend.fast = tables[level].attend.f32;
    }
}

const mn_kernels *mn_kernels_get(mn_cpu_level level) {
    pthread_once(&once, fill_supported);
    return &tables[level];
}

const mn_kernels *mn_kernels_for(mn_cpu_level level, mn_dtype weights) {
    const mn_kernels *kernels = mn_kernels_get(level);
    return mn_matmul_keeps_f32(&kernels->matmul, weights) ? &f32_attention[level] : kernels;
}
