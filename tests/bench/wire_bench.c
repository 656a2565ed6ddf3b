/* The wire beside its limits, in one run: sums pushed and weights pulled by the worker's and the server's own code in two
 * processes, beside a raw ZeroMQ echo of the same sizes (DEALER to ROUTER, no copy, 8 in flight) and memcpy.
 *   wire_bench [ROUNDS]
 * GB/s = bytes pushed + bytes pulled over the time of both, medians over the rounds. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zmq.h>

#include "tests/bench/wire_pair.h"

#define ROUNDS 7
#define ROUND_BYTES ((size_t)256 << 20)
#define IN_FLIGHT 8
#define COPY_BYTES ((size_t)64 << 20)

static const struct wire_size sizes[] = {
    {"4 KiB", (size_t)4 << 10, 256},  {"64 KiB", (size_t)64 << 10, 64},
    {"256 KiB", (size_t)256 << 10, 64}, {"1 MiB", (size_t)1 << 20, 16},
    {"4 MiB", (size_t)4 << 20, 8},    {"16 MiB", (size_t)16 << 20, 4},
    {"64 x 1 MiB", (size_t)1 << 20, 64},
};
#define SIZES (sizeof sizes / sizeof *sizes)

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

/* ---- limits ---- */

static double copy_rate(void)
{
    uint8_t *from = malloc(COPY_BYTES), *to = malloc(COPY_BYTES);
    double rates[9];
    memset(from, 1, COPY_BYTES);
    memset(to, 1, COPY_BYTES);
    for (size_t i = 0; i < 9; i++) {
        double began = wire_seconds();
        memcpy(to, from, COPY_BYTES);
        rates[i] = (double)COPY_BYTES / (wire_seconds() - began) / 1e9;
        __asm__ volatile("" ::"r"(to) : "memory");
    }
    free(from);
    free(to);
    return median(rates, 9);
}

static void keep(void *data, void *hint)
{
    (void)data;
    (void)hint;
}

/* In the child: sends back what comes, until it is killed. */
static void echo(const char *endpoint)
{
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_ROUTER);
    zmq_bind(socket, endpoint);
    for (;;) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, 0) < 0)
            _exit(1);
        int more = zmq_msg_more(&part);
        zmq_msg_send(&part, socket, more ? ZMQ_SNDMORE : 0);
    }
}

static double raw_rate(void *socket, const struct wire_size *size, void *data)
{
    size_t count = ROUND_BYTES / size->bytes, sent = 0;
    count = count > 16384 ? 16384 : count;
    double began = wire_seconds();
    for (size_t got = 0; got < count;) {
        while (sent < count && sent - got < IN_FLIGHT) {
            zmq_msg_t message;
            zmq_msg_init_data(&message, data, size->bytes, keep, NULL);
            zmq_msg_send(&message, socket, 0);
            sent++;
        }
        zmq_msg_t back;
        zmq_msg_init(&back);
        zmq_msg_recv(&back, socket, 0);
        zmq_msg_close(&back);
        got++;
    }
    return 2.0 * (double)count * (double)size->bytes / (wire_seconds() - began) / 1e9;
}

struct raw {
    pid_t child;
    void *context, *socket, *data;
};

static struct raw raw_start(const char *endpoint)
{
    struct raw raw = {.child = fork()};
    if (raw.child == 0)
        echo(endpoint);
    raw.context = zmq_ctx_new();
    raw.socket = zmq_socket(raw.context, ZMQ_DEALER);
    raw.data = calloc(1, (size_t)16 << 20);
    zmq_connect(raw.socket, endpoint);
    return raw;
}

static void raw_stop(struct raw *raw)
{
    zmq_close(raw->socket);
    kill(raw->child, SIGKILL);
    waitpid(raw->child, NULL, 0);
    zmq_ctx_term(raw->context);
    free(raw->data);
}

struct row {
    double raw, whole, wire, share;
};

/* In turns, so that what else the machine does meets both. */
static struct row measure(enum wire_way way, const char *endpoint, const struct wire_size *size,
                          size_t rounds)
{
    double raws[64], whole[64], wire[64], share[64];
    size_t steps = ROUND_BYTES / size->bytes / size->count;
    struct wire_pair *pair = wire_pair_start(way, size);
    struct raw raw = raw_start(endpoint);
    wire_pair_run(pair, 4);
    raw_rate(raw.socket, size, raw.data);
    for (size_t i = 0; i < rounds; i++) {
        raws[i] = raw_rate(raw.socket, size, raw.data);
        struct wire_rates rates = wire_pair_run(pair, steps < 4 ? 4 : steps > 64 ? 64 : steps);
        whole[i] = rates.whole;
        wire[i] = rates.wire;
        share[i] = rates.wire / raws[i];
    }
    raw_stop(&raw);
    wire_pair_stop(&pair);
    return (struct row){median(raws, rounds), median(whole, rounds), median(wire, rounds),
                        median(share, rounds)};
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
    char endpoints[2][64] = {"tcp://127.0.0.1:41999"};
    rounds = rounds < 1 ? 1 : rounds > 64 ? 64 : rounds;
    snprintf(endpoints[1], sizeof endpoints[1], "ipc:///tmp/graft-bench-%d", (int)getpid());
    printf("memcpy %.1f GB/s\n", copy_rate());
    printf("| blocks | raw tcp | graft tcp | share | with update | raw ipc | graft ipc | share | with update |\n");
    for (size_t k = 0; k < SIZES; k++) {
        printf("| %-10s |", sizes[k].name);
        for (int way = 0; way < 2; way++) {
            struct row row = measure((enum wire_way)way, endpoints[way], &sizes[k], rounds);
            printf(" %5.2f | %5.2f | %3.0f %% | %5.2f |", row.raw, row.wire, 100 * row.share,
                   row.whole);
            fflush(stdout);
        }
        printf("\n");
    }
    unlink(endpoints[1] + 6);
    return 0;
}
