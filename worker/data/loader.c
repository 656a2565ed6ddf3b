#include "worker/data/loader.h"

#include <pthread.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

#define SLOTS (LOADER_QUEUE + 1) /* and the one the caller holds */

enum slot_state { SLOT_FREE, SLOT_QUEUED, SLOT_DONE, SLOT_TAKEN };

/* Content belongs to the loader's thread while QUEUED, to the caller otherwise; `state` is guarded
 * by the lock. */
struct slot {
    enum slot_state state;
    float *inputs;
    uint8_t *valid;
    uint32_t *ids;
    uint32_t variant;
    struct loader_failure *failures;
    size_t count, failure_count;
    enum status status;
    struct error error;
};

struct loader {
    struct decoder *decoder;
    size_t batch_max, elements;
    struct slot slots[SLOTS];
    size_t in, out; /* next slot to submit, next to take; the caller's */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping; /* guarded by the lock */
    bool started;
};

/* Failures of this one sample, as opposed to reasons to stop. */
static bool is_sample_failure(enum status status)
{
    return status == ERR_INPUT || status == ERR_SUPPORT || status == ERR_IO;
}

static bool is_stopping(struct loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    bool stopping = loader->stopping;
    pthread_mutex_unlock(&loader->lock);
    return stopping;
}

static void decode_sample(struct loader *loader, struct slot *slot, size_t i)
{
    struct error error;
    float *row = slot->inputs + i * loader->elements;
    enum status status = decoder_read(loader->decoder, slot->ids[i], slot->variant, row, &error);
    slot->valid[i] = status == OK;
    if (status == OK)
        return;
    memset(row, 0, loader->elements * sizeof *row);
    if (is_sample_failure(status)) {
        slot->failures[slot->failure_count++] = (struct loader_failure){slot->ids[i], error};
    } else {
        slot->status = status;
        slot->error = error;
    }
}

static void decode_batch(struct loader *loader, struct slot *slot)
{
    slot->failure_count = 0;
    slot->status = OK;
    for (size_t i = 0; i < slot->count && slot->status == OK && !is_stopping(loader); i++)
        decode_sample(loader, slot, i);
}

static void *run(void *argument)
{
    struct loader *loader = argument;
    pthread_mutex_lock(&loader->lock);
    for (size_t next = 0; !loader->stopping;) {
        struct slot *slot = &loader->slots[next];
        if (slot->state != SLOT_QUEUED) {
            pthread_cond_wait(&loader->changed, &loader->lock);
            continue;
        }
        pthread_mutex_unlock(&loader->lock);
        decode_batch(loader, slot);
        pthread_mutex_lock(&loader->lock);
        slot->state = SLOT_DONE;
        pthread_cond_broadcast(&loader->changed);
        next = (next + 1) % SLOTS;
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static bool make_slots(struct loader *loader)
{
    size_t floats;
    bool good = size_mul(loader->batch_max, loader->elements, &floats);
    for (size_t i = 0; i < SLOTS && good; i++) {
        struct slot *slot = &loader->slots[i];
        slot->inputs = memory_alloc(floats, sizeof *slot->inputs);
        slot->valid = memory_alloc(loader->batch_max, sizeof *slot->valid);
        slot->ids = memory_alloc(loader->batch_max, sizeof *slot->ids);
        slot->failures = memory_alloc(loader->batch_max, sizeof *slot->failures);
        good = slot->inputs != NULL && slot->valid != NULL && slot->ids != NULL &&
               slot->failures != NULL;
    }
    return good;
}

enum status loader_create(struct decoder *decoder, size_t batch_max, struct loader **out,
                          struct error *err)
{
    struct loader *loader = memory_alloc(1, sizeof *loader);
    if (loader == NULL)
        return error_set(err, ERR_MEMORY, "no memory for batches of %zu samples", batch_max);
    loader->decoder = decoder;
    loader->batch_max = batch_max;
    loader->elements = decoder_elements(decoder);
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->changed, NULL);
    loader->started = make_slots(loader) && pthread_create(&loader->thread, NULL, run, loader) == 0;
    if (!loader->started) {
        loader_destroy(&loader);
        return error_set(err, ERR_MEMORY, "no memory for batches of %zu samples", batch_max);
    }
    *out = loader;
    return OK;
}

static void stop(struct loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    loader->stopping = true;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
    pthread_join(loader->thread, NULL);
}

void loader_destroy(struct loader **loader)
{
    struct loader *old = *loader;
    if (old == NULL)
        return;
    if (old->started)
        stop(old);
    pthread_cond_destroy(&old->changed);
    pthread_mutex_destroy(&old->lock);
    for (size_t i = 0; i < SLOTS; i++) {
        memory_free(old->slots[i].inputs);
        memory_free(old->slots[i].valid);
        memory_free(old->slots[i].ids);
        memory_free(old->slots[i].failures);
    }
    memory_free(old);
    *loader = NULL;
}

/* Batches that are queued or done, but not taken. */
static size_t waiting(const struct loader *loader)
{
    size_t count = 0;
    for (size_t i = 0; i < SLOTS; i++)
        count += loader->slots[i].state == SLOT_QUEUED || loader->slots[i].state == SLOT_DONE;
    return count;
}

bool loader_submit(struct loader *loader, const uint32_t *ids, size_t count, uint32_t variant)
{
    CHECK(count <= loader->batch_max);
    pthread_mutex_lock(&loader->lock);
    struct slot *slot = &loader->slots[loader->in];
    bool room = waiting(loader) < LOADER_QUEUE;
    if (room) {
        CHECK(slot->state == SLOT_FREE);
        if (count > 0)
            memcpy(slot->ids, ids, count * sizeof *ids);
        slot->count = count;
        slot->variant = variant;
        slot->state = SLOT_QUEUED;
        loader->in = (loader->in + 1) % SLOTS;
        pthread_cond_broadcast(&loader->changed);
    }
    pthread_mutex_unlock(&loader->lock);
    return room;
}

/* The oldest batch once it is done; the one taken before becomes free. */
static struct slot *take_slot(struct loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    for (size_t i = 0; i < SLOTS; i++) {
        if (loader->slots[i].state == SLOT_TAKEN)
            loader->slots[i].state = SLOT_FREE;
    }
    CHECK(waiting(loader) > 0);
    struct slot *slot = &loader->slots[loader->out];
    while (slot->state != SLOT_DONE)
        pthread_cond_wait(&loader->changed, &loader->lock);
    slot->state = SLOT_TAKEN;
    loader->out = (loader->out + 1) % SLOTS;
    pthread_mutex_unlock(&loader->lock);
    return slot;
}

enum status loader_take(struct loader *loader, struct loader_batch *out, struct error *err)
{
    const struct slot *slot = take_slot(loader);
    if (slot->status != OK) {
        if (err != NULL)
            *err = slot->error;
        return slot->status;
    }
    *out = (struct loader_batch){slot->inputs, slot->valid,    slot->ids,
                                 slot->count,  slot->failures, slot->failure_count};
    return OK;
}

enum status loader_load(struct loader *loader, const uint32_t *ids, size_t count,
                        struct loader_batch *out, struct error *err)
{
    bool submitted = loader_submit(loader, ids, count, 0);
    CHECK(submitted);
    return loader_take(loader, out, err);
}
