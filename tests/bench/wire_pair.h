/* A worker's and a server's wire code in two processes: the caller is the worker, a child is the server. */
#ifndef GRAFT_TESTS_BENCH_WIRE_PAIR_H
#define GRAFT_TESTS_BENCH_WIRE_PAIR_H

#include <stddef.h>

enum wire_way { WIRE_TCP, WIRE_IPC, WIRE_CURVE };

struct wire_size {
    const char *name;
    size_t bytes; /* of a block */
    size_t count; /* blocks of a step */
};

/* GB/s; wire: without the time in which the server updates the blocks. */
struct wire_rates {
    double whole, wire;
};

struct wire_pair;

double wire_seconds(void);

/* Ends the program with a sentence when anything fails. */
struct wire_pair *wire_pair_start(enum wire_way way, const struct wire_size *size);
struct wire_rates wire_pair_run(struct wire_pair *pair, size_t steps);
void wire_pair_stop(struct wire_pair **pair);

#endif
