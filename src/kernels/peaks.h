/* What a machine can do at most: the floors that speeds are compared with (measured by bench/peak.h). */
#ifndef MN_KERNELS_PEAKS_H
#define MN_KERNELS_PEAKS_H

#include "kernels/compute.h"
#include "tensor/dtype.h"

/* Rates of all the pool's threads together; a product and its sum are two operations. 0 where the level lacks the
 * instruction, or where nobody has measured. */
typedef struct mn_peaks {
    double f32_flops_per_s;  /* fused multiply-add (portable C: product and sum) */
    double bf16_flops_per_s; /* vdpbf16ps, or tdpbf16ps where there are tiles */
    double int8_ops_per_s;   /* vpdpbusd, or tdpbssd; on avx2 vpmaddubsw, vpmaddwd and vpaddd, which weights of
                              * fewer bits may pass, as they add pairs before they widen them */
    double read_bytes_per_s; /* memory, read once: a buffer of four times the last cache, 256 MiB to 1 GiB, or a smaller
                              * one that is put out of the caches first */
} mn_peaks;

/* The peak of the instructions that products of many rows with weights of this type use; *name says which it is (NULL:
 * not asked). */
double mn_product_peak(const mn_kernels *kernels, const mn_peaks *peaks, mn_dtype type, const char **name);

#endif
