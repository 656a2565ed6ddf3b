#include "common/base/shared.h"

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/check.h"
#include "common/base/memory.h"

/* Lies MEMORY_ALIGN bytes before the memory that is handed out. */
struct count {
    _Atomic size_t users;
};

static struct count *count_of(const void *shared)
{
    return (struct count *)((uintptr_t)shared - MEMORY_ALIGN);
}

void *shared_alloc(size_t count, size_t bytes)
{
    size_t wanted;
    if (!size_mul(count, bytes, &wanted) || !size_add(wanted, MEMORY_ALIGN, &wanted))
        return NULL;
    uint8_t *memory = memory_alloc(wanted, 1);
    if (memory == NULL)
        return NULL;
    atomic_init(&((struct count *)(void *)memory)->users, 1);
    return memory + MEMORY_ALIGN;
}

void shared_keep(void *shared)
{
    size_t before = atomic_fetch_add_explicit(&count_of(shared)->users, 1, memory_order_relaxed);
    CHECK(before > 0);
}

void shared_drop(void *shared)
{
    if (shared == NULL)
        return;
    size_t before = atomic_fetch_sub_explicit(&count_of(shared)->users, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1)
        memory_free(count_of(shared));
}

bool shared_alone(const void *shared)
{
    return atomic_load_explicit(&count_of(shared)->users, memory_order_acquire) == 1;
}
