/* What the simulated cluster is made of, and the letters between its members: one queue for each
 * pair, which keeps its order unless the plan says otherwise. Every message goes through the real codec. For sim_fixture.h. */
#ifndef GRAFT_TESTS_UNIT_SIM_LETTERS_H
#define GRAFT_TESTS_UNIT_SIM_LETTERS_H

#include "common/base/random.h"
#include "common/data/shard.h"
#include "common/wire/codec.h"
#include "coordinator/job/controller.h"
#include "paramserver/server.h"
#include "tests/unit/data_fixture.h"
#include "worker/stage.h"
#include "worker/worker.h"

#define SIM_MEMBERS 16 /* number 0 is the coordinator */
#define SIM_IDENTITY 1000u
#define SIM_STRANGER 7777u
#define SIM_EPOCHS 16
#define SIM_EVENTS_MAX 60000
#define SIM_NEVER UINT64_MAX
#define SIM_STALENESS 1   /* of three or four steps an epoch */
#define SIM_CLIP_NORM 0.3 /* shorter than most gradients of the job */
#define SIM_TICK_MS 500   /* heartbeats, and everybody's clock */

struct sim_letter {
    struct sim_letter *next;
    int64_t ready_ms; /* not delivered before */
    struct frame *frames;
    size_t frame_count;
    uint8_t *header;
    size_t header_bytes;
};

struct sim_queue {
    struct sim_letter *first, *last;
};

struct sim_worker {
    struct worker core;
    uint32_t number;
    struct stage *stages[JOB_STAGES_MAX], *stage;
    struct link_progress progress;
    uint64_t servers[SIM_MEMBERS], positions[SIM_MEMBERS];
    size_t server_count;
    uint32_t primaries[WIRE_PARTITIONS_MAX];
    uint32_t *partitions, *owners; /* of each block */
    bool begun, idle;
    uint64_t begun_version;
};

struct sim_member {
    struct sim *sim;
    enum member_role role;
    uint64_t identity;
    bool running;
    bool deaf; /* does not obey STOP: a process that hangs and comes back */
    bool welcomed;
    struct server *server;
    struct sim_worker *worker;
};

/* What the job does besides. */
enum sim_flavour { SIM_PLAIN, SIM_CLIPS, SIM_ACCUMULATES, SIM_SSP, SIM_ASP, SIM_FLAVOURS };

/* What is asked of a run. Events are numbered from 0. */
struct sim_plan {
    uint64_t seed;
    uint32_t workers, servers, replicas;
    /* SIM_NEVER: not */
    uint64_t kill_worker_at, kill_server_at, freeze_worker_at, join_worker_at, join_server_at,
        drain_worker_at, drain_server_at;
    uint32_t slow;         /* the first worker acts once in so many of its chances; 0: always */
    uint32_t lost_in_1000; /* letters that never arrive */
    uint32_t delay_ms;     /* a letter takes up to so long */
    bool disordered;       /* letters of a pair overtake each other */
    uint64_t cut_at;       /* nothing passes between two members … */
    int64_t cut_ms;        /* … for so long … */
    bool cut_one_way;      /* … or only one way */
    size_t restart_after;  /* epochs; then all processes end, and others go on from what was kept */
    enum sim_flavour flavour;
    bool doubled;          /* every letter twice, and once more after the next one */
    bool strangers;        /* poisoned pushes and snapshots from nobody */
    const char *ends_with; /* the job must end with an error that says this; NULL: it must not */
};

/* What must not depend on the cluster. */
struct sim_result {
    struct digest epochs[SIM_EPOCHS];
    size_t epoch_count;
    struct digest outcome;
    uint64_t events;
    uint64_t duplicates, fenced, broken, lost;
    uint64_t beyond;    /* steps that a server had to refuse; ssp */
    uint32_t ahead_max; /* of the slowest shard */
    double samples[SIM_EPOCHS][TERM_COUNT];
    bool refused; /* nobody was left to work, and the coordinator said so */
    uint32_t views;
    uint32_t generation; /* of the last LOAD */
};

/* What a checkpoint keeps of one epoch. */
struct sim_kept {
    uint32_t stage, epoch;
    uint64_t stage_step;
    float *vectors[1 + VALUES_STATES_MAX]; /* live and states; NULL: nothing kept */
    size_t elements, state_count;
    double score;
};

/* What the runs of a test have in common. */
struct sim_world {
    struct job *job;
    struct manifest *manifest, *blind;  /* the coordinator's, and the workers' without labels */
    struct model *model, *worker_model; /* the same, but where a test wants it otherwise */
    struct decoder *decoder;
    /* Looks at what the coordinator keeps after an epoch; NULL: nobody does. */
    void (*look)(const struct values *values, const struct epoch_report *report);
};

struct sim {
    const struct sim_world *world;
    struct sim_plan plan;
    struct sim_result result;
    struct codec *codec;
    struct controller *controller;
    struct sim_member members[SIM_MEMBERS];
    size_t member_count;
    struct sim_queue queues[SIM_MEMBERS][SIM_MEMBERS]; /* [from][to] */
    struct sim_letter *held[SIM_MEMBERS][SIM_MEMBERS]; /* an old one that comes once more */
    int64_t cut_until_ms[SIM_MEMBERS][SIM_MEMBERS];
    size_t obituaries[SIM_MEMBERS]; /* members whose end the coordinator is yet to hear of */
    size_t obituary_count;
    struct sim_kept current, best[JOB_STAGES_MAX];
    bool restarted, ended;
    int64_t now_ms, tick_ms;
    uint32_t draws;
};

static void sim_fail(const struct sim *sim, const char *why)
{
    const struct sim_plan *plan = &sim->plan;
    fail_msg("%s (seed %llu, %u workers, %u servers, event %llu; kill worker %lld server %lld "
             "freeze %lld join %lld cut %lld for %lld ms, %u lost in 1000)",
             why, (unsigned long long)plan->seed, plan->workers, plan->servers,
             (unsigned long long)sim->result.events, (long long)plan->kill_worker_at,
             (long long)plan->kill_server_at, (long long)plan->freeze_worker_at,
             (long long)plan->join_worker_at, (long long)plan->cut_at, (long long)plan->cut_ms,
             plan->lost_in_1000);
}

static void sim_check(const struct sim *sim, enum status status, const struct error *err)
{
    if (status != OK)
        sim_fail(sim, err->text);
}

static uint32_t sim_draw(struct sim *sim, uint32_t below)
{
    struct random_key key = {.seed = sim->plan.seed, .purpose = RANDOM_SHUFFLE};
    return (uint32_t)(random_bits(key, sim->draws++) % below);
}

/* ---- letters ---- */

static void sim_post(struct sim *sim, size_t from, size_t to, struct sim_letter *letter)
{
    struct sim_queue *queue = &sim->queues[from][to];
    letter->next = NULL;
    letter->ready_ms = sim->now_ms;
    if (sim->plan.delay_ms > 0)
        letter->ready_ms += sim_draw(sim, sim->plan.delay_ms);
    if (queue->first == NULL)
        queue->first = letter;
    else
        queue->last->next = letter;
    queue->last = letter;
}

static struct sim_letter *sim_letter_make(const uint8_t *header, size_t header_bytes,
                                          const struct frame *frames, size_t frame_count)
{
    struct sim_letter *letter = calloc(1, sizeof *letter);
    assert_non_null(letter);
    letter->header = malloc(header_bytes);
    memcpy(letter->header, header, header_bytes);
    letter->header_bytes = header_bytes;
    letter->frames = calloc(frame_count + 1, sizeof *letter->frames);
    letter->frame_count = frame_count;
    for (size_t i = 0; i < frame_count; i++) {
        void *copy = malloc(frames[i].bytes + 1);
        if (frames[i].bytes > 0)
            memcpy(copy, frames[i].data, frames[i].bytes);
        letter->frames[i] = (struct frame){copy, frames[i].bytes};
    }
    return letter;
}

static struct sim_letter *sim_letter_copy(const struct sim_letter *letter)
{
    return sim_letter_make(letter->header, letter->header_bytes, letter->frames,
                           letter->frame_count);
}

static void sim_letter_free(struct sim_letter *letter)
{
    if (letter == NULL)
        return;
    for (size_t i = 0; i < letter->frame_count; i++)
        free((void *)(uintptr_t)letter->frames[i].data);
    free(letter->frames);
    free(letter->header);
    free(letter);
}

/* A dead process's last messages may be lost, but never out of order. */
static void sim_cut_queue(struct sim_queue *queue, uint32_t keep)
{
    struct sim_letter **at = &queue->first, *last = NULL;
    for (; *at != NULL && keep > 0; keep--) {
        last = *at;
        at = &last->next;
    }
    struct sim_letter *gone = *at;
    *at = NULL;
    queue->last = last;
    while (gone != NULL) {
        struct sim_letter *next = gone->next;
        sim_letter_free(gone);
        gone = next;
    }
}

static size_t sim_number(uint64_t peer)
{
    return peer == PEER_COORDINATOR ? 0 : (size_t)(peer - SIM_IDENTITY);
}

static void sim_send_double(struct sim *sim, size_t from, size_t to,
                            const struct sim_letter *letter)
{
    sim_post(sim, from, to, sim_letter_copy(letter));
    if (sim->held[from][to] != NULL)
        sim_post(sim, from, to, sim->held[from][to]);
    sim->held[from][to] = sim_letter_copy(letter);
}

static bool sim_is_lost(struct sim *sim, size_t from, size_t to)
{
    bool lost = sim->cut_until_ms[from][to] > sim->now_ms ||
                (sim->plan.lost_in_1000 > 0 && sim_draw(sim, 1000) < sim->plan.lost_in_1000);
    sim->result.lost += lost;
    return lost;
}

static void sim_send(void *driver, uint64_t peer, struct message *message,
                     const struct frame *payloads, size_t count)
{
    struct sim_member *member = driver;
    struct sim *sim = member->sim;
    size_t from = (size_t)(member - sim->members), to = sim_number(peer);
    size_t sizes[WIRE_FRAMES_MAX], header_bytes;
    const uint8_t *header;
    struct error err;
    if (peer == SIM_STRANGER)
        return;
    assert_true(to < sim->member_count);
    message->run = 1;
    message->sender = member->identity;
    for (size_t i = 0; i < count; i++)
        sizes[i] = payloads[i].bytes;
    sim_check(sim, codec_encode(sim->codec, message, sizes, count, &header, &header_bytes, &err),
              &err);
    if (from == 0 && message->type == MESSAGE_LOAD)
        sim->result.generation = message->generation;
    if (sim_is_lost(sim, from, to))
        return;
    struct sim_letter *letter = sim_letter_make(header, header_bytes, payloads, count);
    sim_post(sim, from, to, letter);
    if (sim->plan.doubled)
        sim_send_double(sim, from, to, letter);
}

#endif
