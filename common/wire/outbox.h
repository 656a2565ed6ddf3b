/* How a state machine's messages leave it: a function that its driver gives. In a process it writes
 * to a socket; in a test or simulation it goes to a queue. The machine fills type, view, generation
 * and body; the driver adds run, sender and sequence. Frames are borrowed for the call. */
#ifndef GRAFT_COMMON_WIRE_OUTBOX_H
#define GRAFT_COMMON_WIRE_OUTBOX_H

#include <stddef.h>
#include <stdint.h>

#include "common/wire/message.h"

#define PEER_COORDINATOR 0 /* members' incarnations are never 0 */

struct outbox {
    void *driver;
    void (*send)(void *driver, uint64_t peer, struct message *message, const struct frame *payloads,
                 size_t payload_count);
};

#endif
