#include "coordinator/job/checkpoint_writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "coordinator/job/checkpoint.h"

struct checkpoint_writer {
    const struct job *job;
    struct values *values; /* the copy; the thread's while busy */
    uint64_t step;
    pthread_t thread;
    bool busy;
    _Atomic bool written;
    /* the thread's until `written` */
    enum status status;
    char path[PATH_BYTES];
    struct error err;
};

enum status checkpoint_writer_create(const struct job *job, struct checkpoint_writer **out,
                                     struct error *err)
{
    struct checkpoint_writer *writer = memory_alloc(1, sizeof *writer);
    if (writer == NULL)
        return error_set(err, ERR_MEMORY, "no memory to write checkpoints");
    writer->job = job;
    *out = writer;
    return OK;
}

void checkpoint_writer_destroy(struct checkpoint_writer **writer)
{
    if (*writer == NULL)
        return;
    if ((*writer)->busy)
        pthread_join((*writer)->thread, NULL);
    values_destroy(&(*writer)->values);
    memory_free(*writer);
    *writer = NULL;
}

bool checkpoint_writer_is_busy(const struct checkpoint_writer *writer)
{
    return writer->busy;
}

static void *write_thread(void *argument)
{
    struct checkpoint_writer *writer = argument;
    writer->status = checkpoint_write(writer->job->run.directory, writer->job, writer->values,
                                      writer->step, writer->path, &writer->err);
    writer->written = true;
    return NULL;
}

enum status checkpoint_writer_begin(struct checkpoint_writer *writer, const struct values *values,
                                    uint64_t step, struct error *err)
{
    CHECK(!writer->busy);
    enum status status = values_keep(&writer->values, values, err);
    if (status != OK)
        return status;
    writer->step = step;
    writer->written = false;
    if (pthread_create(&writer->thread, NULL, write_thread, writer) != 0)
        return error_set(err, ERR_MEMORY, "the thread that writes checkpoints cannot be started");
    writer->busy = true;
    return OK;
}

bool checkpoint_writer_end(struct checkpoint_writer *writer, bool wait, enum status *status,
                           char path[PATH_BYTES], struct error *err)
{
    if (!writer->busy || (!wait && !writer->written))
        return false;
    pthread_join(writer->thread, NULL);
    writer->busy = false;
    *status = writer->status;
    memcpy(path, writer->path, PATH_BYTES);
    *err = writer->err;
    return true;
}
