/* A worker's and a server's wire code in two processes: the caller is the worker, a child is the server. */
#ifndef GRAFT_TESTS_BENCH_WIRE_PAIR_H
#define GRAFT_TESTS_BENCH_WIRE_PAIR_H

#include <stddef.h>
#include <sys/types.h>

enum wire_way { WIRE_TCP, WIRE_IPC, WIRE_CURVE };

struct wire_size {
    const char *name;
    size_t bytes; /* of a block */
    size_t count; /* blocks of a step */
};

/* GB/s, and CPU seconds of both processes for a GB; wire: without the time in which the server
 * updates the blocks. */
struct wire_rates {
    double whole, wire, cpu;
};

struct wire_pair;

double wire_seconds(void);
/* Of this process and of `child`, all threads. */
double wire_cpu_seconds(pid_t child);

/* Ends the program with a sentence when anything fails. */
struct wire_pair *wire_pair_start(enum wire_way way, const struct wire_size *size);
struct wire_rates wire_pair_run(struct wire_pair *pair, size_t steps);
void wire_pair_stop(struct wire_pair **pair);

#endif
