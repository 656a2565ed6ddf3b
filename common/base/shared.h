/* Memory with several users, such as a block's weights and the messages that still carry them to
 * slow peers. Whoever wants to write asks whether it is alone and takes other memory if not. Zeroed
 * and aligned like memory_alloc's; any thread may keep and drop. */
#ifndef GRAFT_COMMON_BASE_SHARED_H
#define GRAFT_COMMON_BASE_SHARED_H

#include <stdbool.h>
#include <stddef.h>

/* One user: the caller. NULL on overflow or when memory is refused. */
void *shared_alloc(size_t count, size_t bytes);
void shared_keep(void *shared);
/* The last user's drop frees it; NULL is fine. */
void shared_drop(void *shared);
/* True: the caller, a user, is the only one, and all that the others did with it has been done. */
bool shared_alone(const void *shared);

#endif
