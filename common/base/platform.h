/* The machine that numbers are computed on. Bitwise sameness holds for one build, one instruction
 * set and one number of threads (DESIGN §7); platform_text names them so that the coordinator can
 * refuse a member that differs. */
#ifndef GRAFT_COMMON_BASE_PLATFORM_H
#define GRAFT_COMMON_BASE_PLATFORM_H

#include <stddef.h>

#define GRAFT_VERSION "0.1.0"

/* Lets the process open as many files as it may. OpenBLAS reads its core type and number of threads when the library loads, before main: sets them
 * from CPUID in the environment and executes the program anew, once. Call first in main. Returns
 * when nothing has to change, or when the program cannot be executed again (then slower kernels are
 * used). What the user has set is kept. */
void platform_prepare(char *const *argv);

/* "graft 0.1.0 avx512+bf16 SKYLAKEX oneDNN 2.6.3". The number of threads is the job's. oneDNN stands for
 * its release of the system's libraries, whose kernels differ with it. */
void platform_text(char *out, size_t bytes);

#endif
