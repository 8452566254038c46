/* Peak bf16 FLOP/s of well-known accelerators, dense: data sheets often print twice as much, "with sparsity". */
#include <mnemo/scaling.h>

#include <stddef.h>
#include <string.h>

const mn_accelerator mn_accelerators[] = {
    {"a100", "NVIDIA A100", 312e12, "NVIDIA A100 data sheet: BF16 Tensor Core 312 TFLOPS"},
    {"h100", "NVIDIA H100 SXM", 989e12, "NVIDIA H100 data sheet: 1,979 TFLOPS with sparsity, half of it dense"},
    {"h200", "NVIDIA H200 SXM", 989e12, "NVIDIA H200 data sheet: 1,979 TFLOPS with sparsity, half of it dense"},
    {"b200", "NVIDIA B200 (HGX)", 2250e12,
     "NVIDIA HGX B200 data sheet: 36 PFLOPS with sparsity for 8, half of it dense"},
    {"l4", "NVIDIA L4", 121e12, "NVIDIA L4 data sheet: 242 TFLOPS with sparsity, half of it dense"},
    {"l40s", "NVIDIA L40S", 362e12, "NVIDIA L40S data sheet: 362.05 TFLOPS dense"},
    {"3090", "NVIDIA GeForce RTX 3090", 71e12, "NVIDIA GA102 white paper: 71 TFLOPS dense, FP32 accumulate"},
    {"4090", "NVIDIA GeForce RTX 4090", 165.2e12, "NVIDIA Ada white paper: 165.2 TFLOPS dense, FP32 accumulate"},
    {"mi300x", "AMD Instinct MI300X", 1307.4e12, "AMD MI300X data sheet: 1,307.4 TFLOPS dense"},
    {NULL, NULL, 0, NULL},
};

const mn_accelerator *mn_accelerator_find(const char *name) {
    for (const mn_accelerator *a = mn_accelerators; a->name; a++)
        if (!strcmp(a->name, name)) return a;
    return NULL;
}
