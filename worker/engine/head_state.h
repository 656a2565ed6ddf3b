/* What head.c (making) and tape.c (running) share. */
#ifndef GRAFT_WORKER_ENGINE_HEAD_STATE_H
#define GRAFT_WORKER_ENGINE_HEAD_STATE_H

#include "worker/engine/constants.h"
#include "worker/engine/head.h"
#include "worker/engine/program.h"
#include "worker/engine/sites.h"
#include "worker/engine/tape_plan.h"

struct head {
    const struct plan *plan;
    const struct graph *graph;
    struct program *program;
    struct onednn dnn;
    struct constants constants;
    struct sites sites;
    size_t batch;
    float *live;
    bool *needs;   /* per value: its gradient is needed */
    bool *written; /* per value, during one backward: its gradient holds something */
    struct tape_plan course;
    char *work; /* [course.work_bytes], taken with the first tape */
    struct head_work done;
};

#endif
