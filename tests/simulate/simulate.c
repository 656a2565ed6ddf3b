/* Thousands of random lives of a cluster: the real coordinator, servers and workers in one process
 * (sim_fixture.h), disturbed by whatever a seed draws: deaths of workers and servers, a worker that
 * hangs and comes back, workers and servers that join or
 * are drained, a coordinator that is restarted on another cluster, letters
 * that are lost, late, doubled or out of order, a way that is cut, strangers. Each run must end with
 * the bits of the undisturbed one; only where the last worker or server was cut off or killed it may
 * end with the coordinator saying that nobody is left.
 *
 *     simulate [FIRST [COUNT]]     one test for each hundred seeds; a failing seed is named
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sim_world.h"

#define HUNDRED 100

static struct {
    uint64_t runs, events, views, deaths, restarts, cuts, lost, refused, duplicates, fenced;
} seen;

/* Once in `in` seeds, at a random moment. */
static uint64_t moment(uint64_t seed, uint32_t number, uint64_t in, uint64_t events)
{
    return draw(seed, number, in) == 0 ? draw(seed, number + 1, events) : SIM_NEVER;
}

static struct sim_plan plan_of(uint64_t seed)
{
    enum sim_flavour flavour =
        draw(seed, 80, 2) == 0 ? (enum sim_flavour)draw(seed, 81, SIM_FLAVOURS) : SIM_PLAIN;
    bool clocks = flavour == SIM_SSP || flavour == SIM_ASP; /* which have no replicas */
    uint32_t workers = 1 + (uint32_t)draw(seed, 0, 4), servers = 1 + (uint32_t)draw(seed, 1, 3);
    uint64_t events = calm.events * (workers + servers) / 2; /* about the length of a run */
    return (struct sim_plan){
        .seed = seed,
        .workers = workers,
        .servers = servers,
        .kill_worker_at = moment(seed, 10, 2, events),
        .kill_server_at = moment(seed, 20, 2, events),
        .freeze_worker_at = moment(seed, 30, 4, events),
        .join_worker_at = moment(seed, 40, 2, events),
        .join_server_at = moment(seed, 45, 3, events),
        .drain_worker_at = moment(seed, 70, 4, events),
        .drain_server_at = moment(seed, 75, 4, events),
        .cut_at = moment(seed, 50, 4, events),
        .cut_ms = 100 << draw(seed, 6, 9), /* to 25 s, death is at 10 s */
        .cut_one_way = draw(seed, 7, 2) == 0,
        .lost_in_1000 = draw(seed, 8, 2) == 0 ? 1 + (uint32_t)draw(seed, 9, 60) : 0,
        .delay_ms = draw(seed, 60, 3) == 0 ? 1 << draw(seed, 61, 12) : 0,
        .disordered = draw(seed, 62, 4) == 0,
        .restart_after = draw(seed, 2, 4) == 0 ? 1 + draw(seed, 3, calm.epoch_count) : 0,
        .doubled = draw(seed, 4, 2) == 0,
        .flavour = flavour,
        .replicas = clocks ? 0 : (uint32_t)draw(seed, 46, 2),
        .slow = clocks && draw(seed, 82, 2) == 0 ? 2 + (uint32_t)draw(seed, 83, 20) : 0,
        .strangers = draw(seed, 5, 4) == 0,
    };
}

static void every_life_ends_with_the_same_bits(void **state)
{
    uint64_t first = *(const uint64_t *)*state;
    for (uint64_t seed = first; seed < first + HUNDRED; seed++) {
        struct sim_plan plan = plan_of(seed);
        struct sim_result result = same_as_calm(&plan);
        seen.runs++;
        seen.views += result.views;
        seen.events += result.events;
        seen.deaths += plan.kill_worker_at != SIM_NEVER;
        seen.deaths += plan.kill_server_at != SIM_NEVER;
        seen.restarts += plan.restart_after > 0;
        seen.cuts += plan.cut_at != SIM_NEVER;
        seen.lost += result.lost;
        seen.refused += result.refused;
        seen.duplicates += result.duplicates;
        seen.fenced += result.fenced;
    }
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000;
    size_t tests = (size_t)((count + HUNDRED - 1) / HUNDRED);
    struct CMUnitTest *list = calloc(tests + 1, sizeof *list);
    uint64_t *firsts = calloc(tests + 1, sizeof *firsts);
    if (list == NULL || firsts == NULL)
        return 1;
    for (size_t i = 0; i < tests; i++) {
        firsts[i] = first + i * HUNDRED;
        list[i] = (struct CMUnitTest){.name = "every_life_ends_with_the_same_bits",
                                      .test_func = every_life_ends_with_the_same_bits,
                                      .initial_state = &firsts[i]};
    }
    int failed = _cmocka_run_group_tests("simulate", list, tests, setup, teardown);
    printf("%llu runs, %llu events: %llu deaths, %llu restarts, %llu ways cut, %llu letters lost, "
           "%llu "
           "runs refused, "
           "%llu views, %llu sums twice, %llu letters fenced off\n",
           (unsigned long long)seen.runs, (unsigned long long)seen.events,
           (unsigned long long)seen.deaths, (unsigned long long)seen.restarts,
           (unsigned long long)seen.cuts, (unsigned long long)seen.lost,
           (unsigned long long)seen.refused, (unsigned long long)seen.views,
           (unsigned long long)seen.duplicates, (unsigned long long)seen.fenced);
    free(list);
    free(firsts);
    return failed;
}
