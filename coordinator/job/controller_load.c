/* Values into the servers. */
#include <stdio.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/data/shard.h"
#include "coordinator/cluster/placement.h"
#include "coordinator/job/controller_state.h"

/* Port for loading.c, which fills only type and body. */
static void send_load(void *driver, uint64_t peer, struct message *message,
                      const struct frame *payloads, size_t count)
{
    controller_send(driver, peer, message, payloads, count);
}

static enum status place_blocks(struct controller *c, struct error *err)
{
    struct stage_state *stage = &c->stages[c->stage];
    size_t domains = controller_config(c, c->stage)->domain_count,
           blocks = stage->layout.block_count;
    memory_free(c->block_partitions);
    memory_free(c->gathering_has);
    memory_free(c->metrics);
    size_t *bytes = memory_alloc(blocks, sizeof *bytes);
    c->block_partitions = memory_alloc(blocks, sizeof *c->block_partitions);
    c->gathering_has = memory_alloc(blocks, sizeof *c->gathering_has);
    c->metrics = memory_alloc(domains * stage->layout.metric_elements, sizeof *c->metrics);
    if (bytes == NULL || c->block_partitions == NULL || c->gathering_has == NULL ||
        c->metrics == NULL) {
        memory_free(bytes);
        return error_set(err, ERR_MEMORY, "no memory for %zu blocks", blocks);
    }
    loading_block_bytes(stage->plan, &stage->layout, domains, bytes);
    uint32_t homes[WIRE_PARTITIONS_MAX];
    for (size_t p = 0; p < c->partitions.count; p++)
        homes[p] = controller_position(c, c->partitions.primary[p]);
    placement_blocks(bytes, stage->layout.parameter_count, blocks, homes, c->partitions.count,
                     c->block_partitions);
    memory_free(bytes);
    memset(c->partitions.empty, true, sizeof c->partitions.empty);
    for (size_t i = 0; i < blocks; i++)
        c->partitions.empty[c->block_partitions[i]] = false;
    return OK;
}

static struct loading loading_of(const struct controller *c)
{
    const struct stage_state *stage = &c->stages[c->stage];
    return (struct loading){
        .values = c->current,
        .anchor = stage->anchor,
        .layout = &stage->layout,
        .owners = c->block_partitions,
        .shards = c->job->cluster.shards,
        .domains = (uint32_t)controller_config(c, c->stage)->domain_count,
        .steps_per_epoch = shard_steps_per_epoch(c->job, c->manifest, c->stage),
        .version = FIRST_VERSION + c->current->stage_step,
        .stage_version = FIRST_VERSION,
    };
}

void controller_send_loads(struct controller *c)
{
    struct loading loading = loading_of(c);
    struct outbox outbox = {c, send_load};
    for (uint32_t i = 0; i < c->partitions.count; i++)
        if (!c->loaded[i])
            loading_send(&loading, i, c->load_part[i], controller_primary(c, i), outbox);
}

enum status controller_enter_load(struct controller *c, struct error *err)
{
    enum status status = place_blocks(c, err);
    if (status != OK)
        return status;
    c->generation++;
    c->moved++;
    c->must_load = false;
    c->phase = PHASE_LOAD;
    c->phase_began_ms = c->now_ms;
    c->task_sent = false;
    memset(c->partitions.synced, 0, sizeof c->partitions.synced);
    memcpy(c->loaded, c->partitions.empty, sizeof c->loaded);
    memset(c->load_part, 0, sizeof c->load_part);
    char text[96];
    snprintf(text, sizeof text, "generation %u, epoch %u, step %llu of the stage", c->generation,
             c->current->epoch, (unsigned long long)c->current->stage_step);
    c->ports.event(c->ports.driver, "load", text);
    controller_send_loads(c);
    return OK;
}

enum status controller_take_loaded(struct controller *c, uint64_t peer,
                                   const struct message_loaded *loaded, struct error *err)
{
    uint32_t i = loaded->partition;
    if (c->phase != PHASE_LOAD || i >= c->partitions.count || controller_primary(c, i) != peer ||
        loaded->fill != 0 || loaded->part <= c->load_part[i])
        return OK;
    c->moved++;
    c->load_part[i] = loaded->part;
    c->loaded[i] = loaded->part == loaded->parts;
    return c->loaded[i] ? controller_advance(c, err) : OK;
}

bool controller_all_loaded(const struct controller *c)
{
    for (size_t i = 0; i < c->partitions.count; i++)
        if (!c->loaded[i])
            return false;
    return true;
}
