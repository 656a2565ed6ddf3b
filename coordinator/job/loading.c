#include "coordinator/job/loading.h"

#include <string.h>

#include "common/base/check.h"

static const struct live_tensor *tensor_of(const struct plan *plan, size_t block)
{
    return &plan->tensors[plan->blocks[block].tensor];
}

static bool is_statistic(const struct layout *layout, size_t block)
{
    return block >= layout->parameter_count && block < layout->metric_block;
}

void loading_block_bytes(const struct plan *plan, const struct layout *layout, size_t domains,
                         size_t *bytes)
{
    for (size_t i = 0; i < layout->block_count; i++) {
        if (i < layout->parameter_count)
            bytes[i] = plan->blocks[i].elements * sizeof(float) * (domains + 1);
        else if (is_statistic(layout, i))
            bytes[i] = layout_statistic_size(layout, i - layout->parameter_count) * sizeof(double) *
                       domains * 2;
        else
            bytes[i] = layout->metric_elements * sizeof(double) * domains;
    }
}

static struct load_block describe(const struct loading *loading, size_t i)
{
    const struct layout *layout = loading->layout;
    const struct plan *plan = loading->values->plan;
    struct load_block block = {.block = (uint32_t)i};
    if (i < layout->parameter_count) {
        block.kind = BLOCK_PARAMETER;
        block.elements = plan->blocks[i].elements;
        block.pretrained = tensor_of(plan, i)->pretrained;
        block.running = tensor_of(plan, i)->running;
        block.state_frames = (uint32_t)loading->values->state_count;
    } else if (is_statistic(layout, i)) {
        block.kind = BLOCK_STATISTIC;
        block.elements = layout_statistic_size(layout, i - layout->parameter_count);
    } else {
        block.kind = BLOCK_METRIC;
        block.state_frames = 1;
        block.elements = layout->metric_elements;
    }
    return block;
}

static struct frame metric_payload(const struct loading *loading)
{
    CHECK(loading->values->metric_count == loading->layout->metric_elements * loading->domains);
    return (struct frame){loading->values->metrics,
                          loading->values->metric_count * sizeof *loading->values->metrics};
}

/* Payloads of a parameter block: weights, anchor, states. */
static size_t parameter_payloads(const struct loading *loading, size_t i, struct frame *payloads)
{
    const struct values *values = loading->values;
    size_t offset = values->plan->blocks[i].offset, count = 0;
    size_t bytes = values->plan->blocks[i].elements * sizeof(float);
    payloads[count++] = (struct frame){values->live + offset, bytes};
    if (tensor_of(values->plan, i)->pretrained)
        payloads[count++] = (struct frame){loading->anchor + offset, bytes};
    for (size_t s = 0; s < values->state_count; s++)
        payloads[count++] = (struct frame){values->states[s] + offset, bytes};
    return count;
}

struct part {
    struct load_block blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    size_t block_count, payload_count;
};

/* Fills one message with this partition's blocks from *at on. */
static void fill_part(const struct loading *loading, uint32_t partition, size_t *at,
                      struct part *part)
{
    const size_t frames_most = 2 + VALUES_STATES_MAX;
    size_t bytes = 0;
    part->block_count = part->payload_count = 0;
    for (; *at < loading->layout->block_count; (*at)++) {
        if (loading->owners[*at] != partition)
            continue;
        if (part->payload_count + frames_most > WIRE_FRAMES_MAX ||
            bytes >= WIRE_MESSAGE_BYTES_SOFT || part->block_count == WIRE_FRAMES_MAX)
            return;
        part->blocks[part->block_count++] = describe(loading, *at);
        if (*at == loading->layout->metric_block)
            part->payloads[part->payload_count++] = metric_payload(loading);
        if (*at >= loading->layout->parameter_count)
            continue;
        size_t added = parameter_payloads(loading, *at, part->payloads + part->payload_count);
        bytes += added * part->payloads[part->payload_count].bytes;
        part->payload_count += added;
    }
}

static uint32_t count_parts(const struct loading *loading, uint32_t partition)
{
    struct part part;
    uint32_t parts = 0;
    for (size_t at = 0; at < loading->layout->block_count || parts == 0; parts++)
        fill_part(loading, partition, &at, &part);
    return parts;
}

void loading_send(const struct loading *loading, uint32_t partition, uint32_t first, uint64_t peer,
                  struct outbox outbox)
{
    struct part part;
    struct message message = {.type = MESSAGE_LOAD};
    struct message_load *load = &message.body.load;
    *load = (struct message_load){
        .partition = partition,
        .stage = loading->values->stage,
        .shards = loading->shards,
        .domains = loading->domains,
        .version = loading->version,
        .stage_version = loading->stage_version,
        .steps_per_epoch = loading->steps_per_epoch,
        .parameters = (uint32_t)loading->layout->parameter_count,
        .parts = count_parts(loading, partition),
        .blocks = part.blocks,
    };
    size_t at = 0;
    for (; load->part < load->parts; load->part++) {
        fill_part(loading, partition, &at, &part);
        load->block_count = part.block_count;
        if (load->part < first)
            continue;
        outbox.send(outbox.driver, peer, &message, part.payloads, part.payload_count);
    }
}

void gathering_begin(struct gathering *gathering, uint64_t version)
{
    const struct layout *layout = gathering->layout;
    memset(gathering->has, 0, layout->block_count * sizeof *gathering->has);
    gathering->version = version;
    gathering->missing = layout->parameter_count + 1; /* and the metric block */
}

static bool take_parameter(struct gathering *gathering, const struct snapshot_block *entry,
                           const struct frame *payloads)
{
    struct values *values = gathering->values;
    const struct plan_block *block = &values->plan->blocks[entry->block];
    size_t bytes = block->elements * sizeof(float);
    if (entry->state_frames != values->state_count)
        return false;
    for (uint32_t i = 0; i <= entry->state_frames; i++)
        if (payloads[i].bytes != bytes)
            return false;
    memcpy(values->live + block->offset, payloads[0].data, bytes);
    for (size_t s = 0; s < values->state_count; s++)
        memcpy(values->states[s] + block->offset, payloads[1 + s].data, bytes);
    return true;
}

static bool take_metric(struct gathering *gathering, const struct snapshot_block *entry,
                        const struct frame *payloads)
{
    size_t bytes = gathering->domains * gathering->layout->metric_elements * sizeof(double);
    if (entry->state_frames != 0 || payloads[0].bytes != bytes)
        return false;
    memcpy(gathering->metrics, payloads[0].data, bytes);
    return true;
}

bool gathering_take(struct gathering *gathering, const struct message_snapshot *snapshot,
                    const struct frame *payloads, size_t count)
{
    size_t used = 0;
    const struct layout *layout = gathering->layout;
    if (snapshot->version != gathering->version)
        return true;
    for (size_t i = 0; i < snapshot->block_count; i++) {
        const struct snapshot_block *entry = &snapshot->blocks[i];
        bool metric = entry->block == layout->metric_block;
        if ((!metric && entry->block >= layout->parameter_count) ||
            entry->state_frames > VALUES_STATES_MAX || count - used < 1 + entry->state_frames)
            return false;
        bool fits = metric ? take_metric(gathering, entry, payloads + used)
                           : take_parameter(gathering, entry, payloads + used);
        if (!fits)
            return false;
        gathering->missing -= !gathering->has[entry->block];
        gathering->has[entry->block] = true;
        used += 1 + entry->state_frames;
    }
    return used == count;
}
