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

#include "paramserver/table/update.h"
#include "tests/bench/wire_pair.h"

#define ROUNDS 7
#define ROUNDS_MAX 64
#define TARGET 0.9 /* share of raw ZeroMQ, without keys */
#define ROUND_BYTES ((size_t)256 << 20)
#define IN_FLIGHT 8
#define COPY_BYTES ((size_t)64 << 20)

static const struct wire_size sizes[] = {
    {"4 KiB", (size_t)4 << 10, 256},     {"64 KiB", (size_t)64 << 10, 64},
    {"256 KiB", (size_t)256 << 10, 64},  {"1 MiB", (size_t)1 << 20, 16},
    {"4 MiB", (size_t)4 << 20, 8},       {"16 MiB", (size_t)16 << 20, 4},
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

/* ---- the server's update ---- */

#define UPDATE_BLOCKS 64
#define UPDATE_ELEMENTS ((size_t)1 << 18)
#define UPDATE_BYTES                                                                               \
    (7 * sizeof(float)) /* an element: sum, weight, m, v read; m, v, weight written */

struct update {
    struct stage_config stage;
    struct block blocks[UPDATE_BLOCKS];
    struct update_room room;
    uint64_t version;
};

static struct update *update_create(void)
{
    static const char *domains[] = {"a"};
    struct error err;
    struct update *update = calloc(1, sizeof *update);
    float *gradient = calloc(UPDATE_ELEMENTS, sizeof *gradient);
    const struct load_block load = {.kind = BLOCK_PARAMETER, .elements = UPDATE_ELEMENTS};
    update->stage = (struct stage_config){.domains = domains,
                                          .domain_count = 1,
                                          .epochs = 1,
                                          .optimizer = {.kind = OPTIMIZER_ADAMW,
                                                        .rate = 1e-3,
                                                        .beta1 = 0.9,
                                                        .beta2 = 0.999,
                                                        .epsilon = 1e-8,
                                                        .weight_decay = 0.01},
                                          .domain_weights = {1}};
    for (size_t i = 0; i < UPDATE_ELEMENTS; i++)
        gradient[i] = (float)(i % 100) * 0.01f - 0.5f;
    bool good = update_room_reserve(&update->room, 1, UPDATE_ELEMENTS, &err) == OK;
    for (size_t i = 0; good && i < UPDATE_BLOCKS; i++) {
        good = block_init(&update->blocks[i], &load, 1, 1, 2, &err) == OK;
        if (good)
            block_add(&update->blocks[i], 0, 0, 0, 1, gradient);
    }
    free(gradient);
    if (!good)
        exit(1);
    return update;
}

static double update_rate(struct update *update)
{
    struct error err;
    double began = wire_seconds();
    for (size_t i = 0; i < UPDATE_BLOCKS; i++)
        if (update_block(&update->blocks[i], &update->stage, &update->room, 1, update->version,
                         update->version, 100, &err) != OK)
            exit(1);
    update->version++;
    return (double)(UPDATE_BLOCKS * UPDATE_ELEMENTS * UPDATE_BYTES) / (wire_seconds() - began) /
           1e9;
}

/* ---- limits ---- */

static double copy_rate(void *to, const void *from)
{
    double began = wire_seconds();
    memcpy(to, from, COPY_BYTES);
    __asm__ volatile("" ::"r"(to) : "memory");
    return (double)COPY_BYTES / (wire_seconds() - began) / 1e9;
}

/* In turns with memcpy, which reads and writes each byte once; returns GB/s copied. */
static double print_update(size_t rounds)
{
    uint8_t *from = malloc(COPY_BYTES), *to = malloc(COPY_BYTES);
    struct update *update = update_create();
    double copies[ROUNDS_MAX], updates[ROUNDS_MAX], shares[ROUNDS_MAX];
    memset(from, 1, COPY_BYTES);
    memset(to, 1, COPY_BYTES);
    update_rate(update);
    for (size_t i = 0; i < rounds; i++) {
        copies[i] = copy_rate(to, from);
        updates[i] = update_rate(update);
        shares[i] = updates[i] / (2 * copies[i]);
    }
    double rate = median(updates, rounds), copy = median(copies, rounds);
    printf("memcpy %.1f GB/s copied. AdamW, one thread: %.0f million weights/s = %.1f GB/s read "
           "and written, "
           "%.0f %% of memcpy's\n",
           copy, rate * 1e3 / (double)UPDATE_BYTES, rate, 100 * median(shares, rounds));
    for (size_t i = 0; i < UPDATE_BLOCKS; i++)
        block_deinit(&update->blocks[i]);
    update_room_deinit(&update->room);
    free(update);
    free(from);
    free(to);
    return copy;
}

struct raw {
    pid_t child;
    void *context, *socket, *data;
};

static void keep(void *data, void *hint)
{
    (void)data;
    (void)hint;
}

#define PLACE_BYTES 64

/* In the child: sends back what comes, until it is killed. Says where by `out`. */
static void echo(const char *endpoint, int out)
{
    char place[PLACE_BYTES] = "";
    size_t bytes = sizeof place;
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_ROUTER);
    if (zmq_bind(socket, endpoint) == 0)
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, place, &bytes);
    if (write(out, place, sizeof place) != sizeof place || place[0] == '\0')
        _exit(1);
    for (;;) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, 0) < 0)
            _exit(1);
        int more = zmq_msg_more(&part);
        zmq_msg_send(&part, socket, more ? ZMQ_SNDMORE : 0);
    }
}

static struct wire_rates raw_rate(const struct raw *raw, const struct wire_size *size)
{
    size_t count = ROUND_BYTES / size->bytes, sent = 0;
    count = count > 16384 ? 16384 : count;
    double cpu = wire_cpu_seconds(raw->child), began = wire_seconds();
    for (size_t got = 0; got < count;) {
        while (sent < count && sent - got < IN_FLIGHT) {
            zmq_msg_t message;
            zmq_msg_init_data(&message, raw->data, size->bytes, keep, NULL);
            zmq_msg_send(&message, raw->socket, 0);
            sent++;
        }
        zmq_msg_t back;
        zmq_msg_init(&back);
        zmq_msg_recv(&back, raw->socket, 0);
        zmq_msg_close(&back);
        got++;
    }
    double bytes = 2.0 * (double)count * (double)size->bytes, seconds = wire_seconds() - began;
    return (struct wire_rates){.wire = bytes / seconds / 1e9,
                               .cpu = (wire_cpu_seconds(raw->child) - cpu) / bytes * 1e9};
}

static struct raw raw_start(const char *endpoint)
{
    char place[PLACE_BYTES];
    int ends[2];
    struct raw raw = {.child = pipe(ends) == 0 ? fork() : -1};
    if (raw.child == 0)
        echo(endpoint, ends[1]);
    if (raw.child < 0 || read(ends[0], place, sizeof place) != sizeof place || place[0] == '\0') {
        fprintf(stderr, "wire_bench: nobody echoes at %s\n", endpoint);
        exit(1);
    }
    close(ends[0]);
    close(ends[1]);
    raw.context = zmq_ctx_new();
    raw.socket = zmq_socket(raw.context, ZMQ_DEALER);
    raw.data = calloc(1, (size_t)16 << 20);
    zmq_connect(raw.socket, place);
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
    double raw, raw_cpu, whole, wire, cpu, share, cpu_share;
};

/* In turns, so that what else the machine does meets both. */
static struct row measure(enum wire_way way, const char *endpoint, const struct wire_size *size,
                          size_t rounds)
{
    double values[7][ROUNDS_MAX];
    size_t steps = ROUND_BYTES / size->bytes / size->count;
    struct wire_pair *pair = wire_pair_start(way, size);
    struct raw raw = raw_start(endpoint);
    wire_pair_run(pair, 4);
    raw_rate(&raw, size);
    for (size_t i = 0; i < rounds; i++) {
        struct wire_rates limit = raw_rate(&raw, size);
        struct wire_rates rates = wire_pair_run(pair, steps < 4 ? 4 : steps > 64 ? 64 : steps);
        const double got[] = {limit.wire,           limit.cpu, rates.whole,
                              rates.wire,           rates.cpu, rates.wire / limit.wire,
                              limit.cpu / rates.cpu};
        for (size_t k = 0; k < 7; k++)
            values[k][i] = got[k];
    }
    raw_stop(&raw);
    wire_pair_stop(&pair);
    for (size_t k = 0; k < 7; k++)
        values[k][0] = median(values[k], rounds);
    return (struct row){values[0][0], values[1][0], values[2][0], values[3][0],
                        values[4][0], values[5][0], values[6][0]};
}

/* What the worker's and the server's own work costs beside the sockets'. */
static void print_missed(const char *way, const struct wire_size *size, const struct row *row,
                         double copy)
{
    if (row->share < TARGET)
        printf("missed: %s, %s: %.0f %% of raw; %+.2f CPU seconds a GB beside raw's %.2f (copying "
               "each byte once "
               "more: %.2f)\n",
               way, size->name, 100 * row->share, row->cpu - row->raw_cpu, row->raw_cpu, 1 / copy);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
    static const char *const ways[] = {"tcp", "ipc", "tcp with keys"};
    char endpoints[3][64] = {"tcp://127.0.0.1:*", "", "tcp://127.0.0.1:*"};
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    snprintf(endpoints[1], sizeof endpoints[1], "ipc:///tmp/graft-bench-%d", (int)getpid());
    double copy = print_update(rounds);
    struct row rows[2][SIZES];
    printf("GB/s pushed and pulled, medians of %zu rounds; share: of raw ZeroMQ in the same round; "
           "step: with the server's\n"
           "update (SGD); CPU: seconds a GB of all threads, the update left out\n",
           rounds);
    printf("| %-13s | %-10s | raw    | graft  | share  | step   | CPU raw | CPU graft | share  |\n",
           "way", "blocks");
    printf("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (int way = 0; way < 3; way++)
        for (size_t k = 0; k < SIZES; k++) {
            struct row row = measure((enum wire_way)way, endpoints[way], &sizes[k], rounds);
            printf(
                "| %-13s | %-10s | %6.2f | %6.2f | %4.0f %% | %6.2f | %7.2f | %9.2f | %4.0f %% |\n",
                ways[way], sizes[k].name, row.raw, row.wire, 100 * row.share, row.whole,
                row.raw_cpu, row.cpu, 100 * row.cpu_share);
            fflush(stdout);
            if (way < 2)
                rows[way][k] = row;
        }
    for (int way = 0; way < 2; way++)
        for (size_t k = 0; k < SIZES; k++)
            print_missed(ways[way], &sizes[k], &rows[way][k], copy);
    unlink(endpoints[1] + 6);
    return 0;
}
