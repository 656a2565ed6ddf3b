/* Values into the servers. */
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
    memory_free(c->block_owners);
    memory_free(c->gathering_has);
    memory_free(c->metrics);
    size_t *bytes = memory_alloc(blocks, sizeof *bytes);
    c->block_owners = memory_alloc(blocks, sizeof *c->block_owners);
    c->gathering_has = memory_alloc(blocks, sizeof *c->gathering_has);
    c->metrics = memory_alloc(domains * stage->layout.metric_elements, sizeof *c->metrics);
    if (bytes == NULL || c->block_owners == NULL || c->gathering_has == NULL ||
        c->metrics == NULL) {
        memory_free(bytes);
        return error_set(err, ERR_MEMORY, "no memory for %zu blocks", blocks);
    }
    loading_block_bytes(stage->plan, &stage->layout, domains, bytes);
    placement_blocks(bytes, stage->layout.parameter_count, blocks, c->server_count,
                     c->block_owners);
    memory_free(bytes);
    return OK;
}

/* Loads c->current into the servers. */
enum status controller_enter_load(struct controller *c, struct error *err)
{
    enum status status = place_blocks(c, err);
    if (status != OK)
        return status;
    struct stage_state *stage = &c->stages[c->stage];
    struct loading loading = {
        .values = c->current,
        .anchor = stage->anchor,
        .layout = &stage->layout,
        .owners = c->block_owners,
        .shards = c->job->cluster.shards,
        .domains = (uint32_t)controller_config(c, c->stage)->domain_count,
        .steps_per_epoch = shard_steps_per_epoch(c->job, c->manifest, c->stage),
        .version = FIRST_VERSION + c->current->stage_step,
        .stage_version = FIRST_VERSION,
    };
    struct outbox outbox = {c, send_load};
    c->generation++;
    c->servers_lost = false;
    c->phase = PHASE_LOAD;
    c->phase_began_ms = c->now_ms;
    c->task_sent = false;
    memset(c->server_loaded, 0, sizeof c->server_loaded);
    for (uint32_t i = 0; i < c->server_count; i++)
        loading_send(&loading, i, c->servers[i]->incarnation, outbox);
    return OK;
}

bool controller_all_servers(const struct controller *c, const bool *flags)
{
    for (size_t i = 0; i < c->server_count; i++)
        if (!flags[i])
            return false;
    return c->server_count > 0;
}

void controller_mark_server(struct controller *c, bool *flags, uint64_t peer)
{
    for (size_t i = 0; i < c->server_count; i++)
        if (c->servers[i]->incarnation == peer)
            flags[i] = true;
}
