#include "common/base/platform.h"

#include <cpuid.h>
#include <dnnl_version.h> /* numbers only; the library is the worker's */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* CPUID leaf 7 (Intel SDM, volume 2A): AMX-BF16 is bit 22 of EDX; of sub-leaf 1, AVX512-BF16 is bit 5
 * of EAX. */
static bool has_feature(unsigned subleaf, bool in_eax, unsigned bit)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, subleaf, &a, &b, &c, &d) != 0 && ((in_eax ? a : d) >> bit & 1) != 0;
}

static const char *instruction_set(void)
{
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx512)
        return has_feature(0, false, 22) ? "avx512+amx"
               : has_feature(1, true, 5) ? "avx512+bf16"
                                         : "avx512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return "avx2";
    return "sse";
}

/* A socket is one file or two, and a cluster of a thousand has more of them than the usual soft limit. */
static void raise_open_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

void platform_prepare(char *const *argv)
{
    static const struct {
        const char *name, *value;
    } wanted[] = {
        {"OPENBLAS_NUM_THREADS", "1"}, /* GEMMs here are small; parallelism is by worker */
        {"OMP_NUM_THREADS", "1"},      /* the worker raises it to cluster.threads for oneDNN */
        {"OMP_WAIT_POLICY", "PASSIVE"},
    };
    int changed = 0;
    raise_open_files();
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (getenv(wanted[i].name) == NULL)
            changed |= setenv(wanted[i].name, wanted[i].value, 1) == 0;
    /* OpenBLAS 0.3.21 does not know newer cores with AVX-512 and falls back to its Haswell kernels.
     */
    if (getenv("OPENBLAS_CORETYPE") == NULL)
        changed |=
            setenv("OPENBLAS_CORETYPE",
                   strncmp(instruction_set(), "avx512", 6) == 0 ? "SKYLAKEX" : "HASWELL", 1) == 0;
    if (changed && strcmp(instruction_set(), "sse") != 0)
        execv("/proc/self/exe", argv);
}

void platform_text(char *out, size_t bytes)
{
    const char *core = getenv("OPENBLAS_CORETYPE");
    const char *isa = getenv("ONEDNN_MAX_CPU_ISA");
    snprintf(out, bytes, "graft %s %s%s%s %s oneDNN %d.%d.%d", GRAFT_VERSION, instruction_set(),
             isa != NULL ? "/" : "", isa != NULL ? isa : "", core != NULL ? core : "default",
             DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH);
}
