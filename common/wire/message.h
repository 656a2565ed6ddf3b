/* Every message of graft's protocol, as C structs. This one file declares them all; codec.c turns
 * them into one MessagePack header frame and back by the field tables in message.c; raw payload
 * frames follow it.
 *
 *   header frame: [PROTOCOL, type, run, sender, view, generation, sequence,
 *                  [payload frame sizes], [body fields]]
 *
 * Limits below hold on both sides: before encoding (CHECK: our own fault) and after decoding
 * (status: theirs). Lists point into the message's arena or, when sending, into the caller's
 * memory.
 */
#ifndef GRAFT_COMMON_WIRE_MESSAGE_H
#define GRAFT_COMMON_WIRE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"

#define WIRE_PROTOCOL 4
#define WIRE_HEADER_BYTES_MAX ((size_t)1 << 20)
#define WIRE_FRAMES_MAX 1024                    /* payload frames of one message */
#define WIRE_FRAME_BYTES_MAX ((size_t)64 << 20) /* one payload frame */
#define WIRE_MESSAGE_BYTES_SOFT                                                                    \
    ((size_t)1 << 20) /* senders begin a new message beyond this payload */
#define WIRE_TEXT_BYTES 128
#define WIRE_REASON_BYTES 512
#define WIRE_MEMBERS_MAX 16384
#define WIRE_SHARDS_MAX 1024
#define WIRE_BLOCKS_MAX 65536
#define WIRE_PARTITIONS_MAX 1024
#define WIRE_PARTS_MAX 64
#define WIRE_PIECES_MAX (WIRE_PARTS_MAX * WIRE_SHARDS_MAX)

/* A raw payload frame. Borrowed by whoever is handed it, for the call. `data` may lie in `shared`
 * memory (common/base/shared.h): then a sender may keep that instead of copying. */
struct frame {
    const void *data;
    size_t bytes;
    void *shared; /* NULL: none */
};

enum message_type {
    /* member → coordinator */
    MESSAGE_HELLO = 1, /* first word of a member */
    MESSAGE_READY,     /* job read, model and data opened */
    MESSAGE_FAILED,    /* the member cannot go on; says why and leaves */
    MESSAGE_HEARTBEAT, /* both ways; a member's carries its progress */
    MESSAGE_LOADED,    /* server: so many parts of the LOAD are in */
    MESSAGE_SNAPSHOT,  /* server: blocks at the version that was asked for */
    MESSAGE_PREPARED,  /* worker: the features of one shard are at hand */
    MESSAGE_PREDICTED, /* worker: logits of one shard */
    MESSAGE_PIXELS, /* worker: frame 0: uint8 RGB [count, height, width, 3] of the samples asked for
                     */
    MESSAGE_VIEWED, /* server: knows the view in the header; workers are told of it only then */
    MESSAGE_SYNCED, /* server: its backup could take this partition over */
    /* coordinator → member */
    MESSAGE_WELCOME = 32, /* frame 0: the job's text */
    MESSAGE_REFUSE,
    MESSAGE_VIEW,
    MESSAGE_LOAD, /* server: blocks with values; frames per PARAM block: weights, anchor, state */
    MESSAGE_TAKE, /* server: send a SNAPSHOT once the blocks reach this version */
    MESSAGE_TASK, /* worker; frame 0: pseudo labels (int32 per training sample of the unlabelled
                     domain) */
    MESSAGE_STOP,
    /* worker ↔ server */
    MESSAGE_PULL = 64,  /* worker → server: subscribe, and send what I lack */
    MESSAGE_PUSH,       /* worker → server; frame i: sums of entry i */
    MESSAGE_WEIGHTS,    /* server → worker; frame i: block of entry i */
    MESSAGE_STATISTICS, /* server → worker; frame i: finished sums of entry i */
    MESSAGE_WANTED,     /* server → worker, after a PULL: shards whose sums the open step lacks */
    MESSAGE_UPDATE, /* worker → server, in ssp and asp: one shard's step; frame i: sums of entry i */
    MESSAGE_CLOCKS, /* server → worker, in ssp and asp: how far the shards are; frame i: newest weights of
                       block i */
    /* server ↔ server; LOAD and LOADED too, when a backup is filled */
    MESSAGE_REPLICATE, /* primary → backup: finished sums of a step; frame i: of entry i */
    MESSAGE_ACK,       /* backup → primary: the version that it has reached */
    MESSAGE_NORMS, /* to all servers of the view; frame 0: float64, square of the norm of each block's
                      merged gradient */
    /* a person's program ↔ coordinator */
    MESSAGE_ASK = 96, /* status, stop, stop now, drain, scale */
    MESSAGE_TELL,     /* frame 0: JSON */
    MESSAGE_DECLINE,  /* the reason why what was asked is not done */
};

enum member_role { ROLE_COORDINATOR, ROLE_WORKER, ROLE_SERVER };

/* Blocks of all kinds are numbered together: parameters first, then statistics, then metrics. */
enum block_kind {
    BLOCK_PARAMETER, /* float32; merged and applied; published as a version */
    BLOCK_STATISTIC, /* float64; summed over the shards and sent back in the first phase of a step
                      */
    BLOCK_METRIC,    /* float64; summed over shards and steps, handed out with the snapshot */
};

struct message_hello {
    uint32_t role;
    uint64_t pid;
    char host[WIRE_TEXT_BYTES];
    char endpoint[WIRE_TEXT_BYTES]; /* server: where workers reach it */
    char platform[WIRE_TEXT_BYTES]; /* version, instruction set, threads: must agree for bitwise
                                       sameness */
};

struct message_ready {
    struct digest manifest; /* worker; zero from a server */
    struct digest model;
};

struct message_reason {
    char text[WIRE_REASON_BYTES];
};

struct message_heartbeat {
    uint32_t task;
    uint64_t samples; /* processed in this task */
    uint64_t dropped; /* messages that were refused */
};

struct message_welcome {
    uint32_t member;
    uint32_t heartbeat_ms;
    uint32_t lost_ms; /* leave when nothing was heard from the coordinator for so long */
};

struct view_member {
    uint32_t member;
    uint64_t incarnation;
    char endpoint[WIRE_TEXT_BYTES]; /* "" for a worker */
};

/* Servers by their position in the view's list; WIRE_NOBODY: none. */
#define WIRE_NOBODY UINT32_MAX
struct view_partition {
    uint32_t primary, backup;
};

struct message_view {
    struct view_member *servers;
    size_t server_count;
    struct view_member *workers; /* for servers; none to workers */
    size_t worker_count;
    uint32_t *shard_owners; /* member id of each shard's worker */
    size_t shard_count;
    struct view_partition *partitions;
    size_t partition_count;
};

struct load_block {
    uint32_t block;
    uint32_t kind;
    uint64_t elements;
    uint32_t pretrained; /* parameter: has an L2-SP anchor */
    uint32_t running;    /* parameter: a running statistic */
    /* Parameter: optimiser vectors that follow weights and anchor. Metric: 1 when the totals follow. */
    uint32_t state_frames;
};

struct message_load {
    uint32_t partition;
    uint32_t fill; /* 0 from the coordinator; counts up when a backup is filled */
    uint32_t stage;
    uint32_t shards;
    uint32_t domains;
    uint64_t version;       /* of the weights */
    uint64_t stage_version; /* version at which the stage's step 0 starts */
    uint32_t steps_per_epoch;
    uint32_t parameters; /* parameter blocks of the stage, on all servers */
    uint32_t part, parts;
    struct load_block *blocks;
    size_t block_count;
};

/* The next part that the server waits for; all are in when it equals `parts`. */
struct message_loaded {
    uint32_t partition, fill;
    uint32_t part, parts;
};

struct message_take {
    uint32_t partition;
    uint64_t version;
};

struct snapshot_block {
    uint32_t block;
    uint32_t
        state_frames; /* parameter: frames are weights, then so many vectors; metric: one frame */
};

struct message_snapshot {
    uint64_t version;
    uint32_t part, parts;
    struct snapshot_block *blocks;
    size_t block_count;
};

enum task_kind {
    TASK_PREPARE, /* have the features of these parts at hand */
    TASK_TRAIN,
    TASK_PREDICT,
    TASK_SHOW, /* send pixels of samples; the parts are their ids */
};

struct message_task {
    uint32_t task; /* number, counts up */
    uint32_t kind;
    uint32_t stage;
    uint32_t epoch;
    uint64_t version; /* of the weights at the start */
    uint64_t stage_version;
    uint32_t steps;  /* of this task; 0 unless TASK_TRAIN */
    uint32_t *parts; /* predict, prepare: domain * SPLIT_COUNT + split; show: sample ids */
    size_t part_count;
    uint32_t *owners; /* partition of each block */
    size_t owner_count;
    uint32_t *again; /* pieces (position in parts * shards + shard) whose answers were lost */
    size_t again_count;
};

struct message_prepared {
    uint32_t task;
    uint32_t shard;
    uint32_t *unreadable; /* sample ids */
    size_t unreadable_count;
};

struct message_predicted {
    uint32_t task;
    uint32_t shard;
    uint32_t part;
    uint32_t count; /* frame 0: float32 logits [count, K]; frame 1: uint8 readable [count] */
};

struct message_pixels {
    uint32_t task;
    uint32_t width, height, count;
};

struct push_entry {
    uint32_t block;
    uint32_t domain; /* position in the stage's domains */
    uint64_t count;  /* samples in the sum */
};

struct message_push {
    uint64_t version;     /* of the weights the sums were computed with */
    uint32_t range_first; /* shards [first, first + 2^log2) */
    uint32_t range_log2;
    struct push_entry *entries;
    size_t entry_count;
};

/* What the worker holds already: the newest version of which it has all weights (0: none), and
 * whether it has the statistics of that version. */
struct message_pull {
    uint64_t version;
    uint32_t statistics;
};

/* Shards that are not covered in the open step `version`. */
struct message_wanted {
    uint64_t version;
    uint32_t *statistics;
    size_t statistic_count;
    uint32_t *gradients; /* and metrics */
    size_t gradient_count;
};

struct update_entry {
    uint32_t block;
    uint32_t domain; /* all domains of a block one after the other, in one message */
    uint64_t count;  /* samples in the sum */
    uint64_t seen;   /* parameter: updates of the block in the weights that were used */
};

struct message_update {
    uint32_t shard, clock; /* steps that the shard had done before in this stage */
    struct update_entry *entries;
    size_t entry_count;
};

struct fresh_block {
    uint32_t block;
    uint64_t updates; /* one for each shard's step, counted from the stage's beginning */
};

struct message_clocks {
    uint32_t partition;
    uint32_t *clocks; /* per shard: steps that all blocks of the partition have taken of it */
    size_t clock_count;
    struct fresh_block *blocks;
    size_t block_count;
};

struct message_weights {
    uint64_t version;
    uint32_t *blocks;
    size_t block_count;
};

struct message_replicate {
    uint32_t partition;
    uint32_t fill;       /* the LOAD that it goes on from */
    uint64_t version;    /* of the step whose sums these are */
    uint32_t scale_bits; /* of its gradient, a float in [0, 1]: below 1 when it was clipped */
    struct push_entry *entries; /* of all shards */
    size_t entry_count;
};

struct message_ack {
    uint32_t partition, fill;
    uint64_t version;
};

/* What a server knows of step `version`. */
struct message_norms {
    uint64_t version;
    uint32_t asks; /* 1: the sender lacks some: answer with yours */
    uint32_t *blocks;
    size_t block_count;
};

struct message_synced {
    uint32_t partition;
    uint64_t backup; /* its incarnation */
};

struct message_statistics {
    uint64_t version;
    struct push_entry *entries;
    size_t entry_count;
};

enum ask_kind { ASK_STATUS, ASK_STOP, ASK_STOP_NOW, ASK_DRAIN, ASK_SCALE };

struct message_ask {
    uint32_t what;
    uint32_t member;           /* DRAIN */
    uint32_t workers, servers; /* SCALE: how many there shall be; 0: as many as there are */
};

struct message {
    enum message_type type;
    uint64_t run;    /* random, of one run directory: strays from other runs are dropped */
    uint64_t sender; /* incarnation; 0: the coordinator */
    uint32_t view;
    uint32_t generation; /* counts LOADs: data-plane messages of another generation are dropped */
    uint64_t sequence;
    union {
        struct message_hello hello;
        struct message_ready ready;
        struct message_reason reason; /* FAILED, REFUSE, STOP */
        struct message_heartbeat heartbeat;
        struct message_welcome welcome;
        struct message_view view;
        struct message_load load;
        struct message_loaded loaded;
        struct message_take take;
        struct message_snapshot snapshot;
        struct message_task task;
        struct message_prepared prepared;
        struct message_predicted predicted;
        struct message_pixels pixels;
        struct message_pull pull;
        struct message_push push;
        struct message_wanted wanted;
        struct message_update update;
        struct message_clocks clocks;
        struct message_replicate replicate;
        struct message_ack ack;
        struct message_norms norms;
        struct message_synced synced;
        struct message_weights weights;
        struct message_statistics statistics;
        struct message_ask ask;
    } body;
};

/* How one field of a body is written; the codec knows nothing else about messages. */
enum wire_kind { WIRE_U32, WIRE_U64, WIRE_TEXT, WIRE_DIGEST, WIRE_LIST };

struct wire_field {
    enum wire_kind kind;
    size_t offset;        /* in the struct */
    size_t limit;         /* TEXT: bytes of the array with its zero; LIST: most elements */
    size_t count_offset;  /* LIST: where its size_t count is */
    size_t element_bytes; /* LIST */
    const struct wire_field *fields; /* LIST: fields of an element */
    size_t field_count;
};

struct wire_layout {
    const char *name;
    const struct wire_field *fields; /* NULL: no such type */
    size_t field_count;
};

/* Layout of a type; fields NULL when the type is unknown. */
struct wire_layout message_layout(uint32_t type);

/* "HELLO", …; "unknown". */
const char *message_name(uint32_t type);

#endif
