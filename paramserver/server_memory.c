#include "paramserver/server_memory.h"

#include <stdlib.h>

#include "common/base/memory.h"
#include "common/base/memory_sum.h"
#include "common/config/job.h"
#include "common/config/optimizer_states.h"
#include "common/model/layout.h"
#include "common/model/model.h"
#include "common/model/plan.h"
#include "common/net/channel.h"
#include "paramserver/server.h"

/* Three of link.c, one to all workers; with backups or clipping one to each other server. */
#define CHANNELS 4
#define CHANNELS_MAX (CHANNELS + JOB_SERVERS_MAX)

/* Vectors that a sum over shards holds at most: every other node has come, none has its neighbour. A
 * worker pushes its share in one node for each binary digit of it (coordinator's placement.h). */
static size_t sum_vectors(const struct job *job)
{
    size_t share = (job->cluster.shards - 1) / job->cluster.workers + 1, nodes = 0;
    for (; share > 0; share /= 2)
        nodes += share % 2 * job->cluster.workers;
    return ((nodes < job->cluster.shards ? nodes : job->cluster.shards) + 1) / 2;
}

/* Each has weights of its own that the servers keep for delay compensation. */
static size_t active_workers(const struct job *job)
{
    return job->cluster.workers < job->cluster.shards ? job->cluster.workers : job->cluster.shards;
}

/* The blocks are dealt evenly (placement.h), but for one. */
static size_t share(const struct job *job, size_t elements)
{
    size_t each = (elements - 1) / job->cluster.servers + 1 + PLAN_BLOCK_ELEMENTS;
    return elements < each ? elements : each;
}

static void add_stage(struct memory_sum *sum, const struct job *job, const struct plan *plan,
                      const struct stage_config *stage)
{
    const struct layout layout = layout_of(plan, stage);
    size_t vectors = sum_vectors(job) * stage->domain_count, pretrained = 0;
    size_t live = share(job, plan->live_elements) * sizeof(float);
    size_t statistics = share(job, layout.statistic_elements + 1) * sizeof(double);
    for (size_t i = 0; i < plan->tensor_count; i++)
        pretrained |= plan->tensors[i].pretrained;
    size_t table =
        live * (2 + optimizer_states(&stage->optimizer) + pretrained) * (1 + job->cluster.replicas);
    size_t sums = vectors * (live + statistics) + stage->domain_count * statistics;
    size_t messages = live * (job->cluster.workers + 2);
    if (job->run.checkpoint_steps > 0 ||
        job->run.checkpoint_seconds > 0) /* a snapshot beside them */
        messages += live * (1 + optimizer_states(&stage->optimizer));
    if (stage->mode != MODE_BSP)
        sums = stage->delay_compensation > 0 ? live * active_workers(job) : 0;
    memory_sum_add(sum, true, table + sums + messages,
                   "stage %.30s: table %.1f, %s %.1f, messages %.1f", stage->name,
                   (double)table / MEMORY_MIB, stage->mode == MODE_BSP ? "sums" : "weights seen",
                   (double)sums / MEMORY_MIB, (double)messages / MEMORY_MIB);
}

static enum status add_stages(struct memory_sum *sum, const struct job *job,
                              const struct model *model, struct error *err)
{
    enum status status = OK;
    for (size_t i = 0; i < job->stage_count && status == OK; i++) {
        struct plan *plan = NULL;
        status = plan_create(model, &job->stages[i].live, &plan, err);
        if (status == OK)
            add_stage(sum, job, plan, &job->stages[i]);
        plan_destroy(&plan);
    }
    return status;
}

static void send_nothing(void *driver, uint64_t peer, struct message *message,
                         const struct frame *frames, size_t count)
{
    (void)driver, (void)peer, (void)message, (void)frames, (void)count;
}

/* As many sockets as the process will have; `made` is theirs to close. */
static enum status open_channels(struct channel_context *context, size_t count,
                                 struct channel **made, struct error *err)
{
    enum status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "measured-%zu", i);
        status = channel_mailbox(context, name, true, &made[i], err);
    }
    return status;
}

/* What the program takes for itself, whatever the job; the model is opened only to plan. */
static enum status add_program(struct memory_sum *sum, const struct job *job, struct error *err)
{
    struct channel *channels[CHANNELS_MAX] = {NULL};
    struct channel_context *context = channel_context_create();
    struct server *server = NULL;
    size_t count =
        CHANNELS + (job->cluster.replicas > 0 || job_clips(job) ? job->cluster.servers - 1 : 0);
    if (context == NULL)
        return error_set(err, ERR_MEMORY, "no memory for ZeroMQ");
    enum status status = open_channels(context, count, channels, err);
    if (status == OK)
        status = server_create(job, 1, (struct outbox){NULL, send_nothing}, &server, err);
    memory_sum_add(sum, false, memory_resident(), "program, libraries, sockets (measured)");
    server_destroy(&server);
    for (size_t i = 0; i < count; i++)
        channel_close(&channels[i]);
    channel_context_destroy(context);
    return status;
}

static enum status print(int argc, char **argv, struct error *err)
{
    struct job *job = NULL;
    struct model *model = NULL;
    struct memory_sum sum = {0};
    enum status status =
        job_load(argv[0], NULL, (const char *const *)argv + 1, (size_t)argc - 1, &job, err);
    if (status == OK)
        status = add_program(&sum, job, err);
    if (status == OK)
        status = model_open(&job->model, &job->data.preprocess, job->data.class_count, &model, err);
    if (status == OK)
        status = add_stages(&sum, job, model, err);
    if (status == OK) {
        char title[64];
        snprintf(title, sizeof title, "each of %u servers", job->cluster.servers);
        memory_sum_print(&sum, title, stdout);
    }
    model_destroy(&model);
    job_destroy(&job);
    return status;
}

int server_memory_main(int argc, char **argv)
{
    struct error err = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: graft-server --memory CONFIG [PATH=VALUE]...\n");
        return EXIT_FAILURE;
    }
    enum status status = print(argc - 2, argv + 2, &err);
    if (status != OK)
        fprintf(stderr, "graft-server: %s\n", err.text);
    return status == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
