/* ssp and asp: the steps of single shards, and how far they are. */
#include "paramserver/server_state.h"

/* How far the shards are, with the weights that fill the parcel. */
struct clocks_parcel {
    struct message message;
    uint32_t clocks[WIRE_SHARDS_MAX];
    struct fresh_block blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
};

static void begin_clocks(struct clocks_parcel *parcel, const struct partition *partition)
{
    parcel->message = (struct message){.type = MESSAGE_CLOCKS};
    parcel->message.body.clocks =
        (struct message_clocks){.partition = partition->id,
                                .clocks = parcel->clocks,
                                .clock_count = table_clocks(partition->table, parcel->clocks),
                                .blocks = parcel->blocks};
}

/* With the newest weights of all blocks. */
void server_send_clocks(struct server *server, uint64_t peer, const struct partition *partition)
{
    struct clocks_parcel parcel;
    struct message_clocks *clocks = &parcel.message.body.clocks;
    size_t at = 0;
    begin_clocks(&parcel, partition);
    clocks->block_count =
        table_show_part(partition->table, peer, &at, parcel.blocks, parcel.payloads);
    do {
        server_send(server, peer, &parcel.message, parcel.payloads, clocks->block_count);
        clocks->block_count =
            table_show_part(partition->table, peer, &at, parcel.blocks, parcel.payloads);
    } while (clocks->block_count > 0);
}

/* With those of the update's blocks that are here; nothing when none are. */
static void answer_update(struct server *server, uint64_t peer, const struct partition *partition,
                          const struct message_update *update)
{
    struct clocks_parcel parcel;
    struct message_clocks *clocks = &parcel.message.body.clocks;
    bool here = false;
    begin_clocks(&parcel, partition);
    for (size_t i = 0; i < update->entry_count; i++) {
        uint32_t block = update->entries[i].block;
        here |= table_has(partition->table, block);
        if (i == 0 || update->entries[i - 1].block != block)
            clocks->block_count +=
                table_show(partition->table, peer, block, &parcel.blocks[clocks->block_count],
                           &parcel.payloads[clocks->block_count]);
    }
    if (here)
        server_send(server, peer, &parcel.message, parcel.payloads, clocks->block_count);
}

/* Without weights: those come with answers. */
void server_announce_clocks(struct server *server, uint64_t peer, const struct partition *partition)
{
    struct clocks_parcel parcel;
    begin_clocks(&parcel, partition);
    if (table_bounds_staleness(partition->table))
        server_send(server, peer, &parcel.message, NULL, 0);
}

enum status server_take_update(struct server *server, uint64_t peer, const struct message *message,
                               const struct frame *payloads, size_t count, struct error *err)
{
    const struct message_update *update = &message->body.update;
    uint64_t results[UPDATE_RESULTS] = {0}, used = 0;
    enum status status = OK;
    server->counters.pushes++;
    if (update->entry_count != count) {
        server->counters.broken++;
        return OK;
    }
    for (size_t i = 0; status == OK && i < server->partition_count; i++) {
        struct partition *partition = &server->partitions[i];
        if (!server_serves(server, partition) || !table_has_clocks(partition->table))
            continue;
        status = partition_take_update(partition, peer, update, payloads, results, err);
        if (status == OK)
            answer_update(server, peer, partition, update);
        uint32_t ahead = table_ahead_max(partition->table);
        if (ahead > server->counters.ahead_max)
            server->counters.ahead_max = ahead;
    }
    for (size_t i = 0; i < UPDATE_RESULTS; i++)
        used += results[i];
    server->counters.duplicates += results[UPDATE_DUPLICATE];
    server->counters.beyond += results[UPDATE_BEYOND];
    server->counters.broken += results[UPDATE_REFUSED] + (count > used ? count - used : 0);
    return status;
}
