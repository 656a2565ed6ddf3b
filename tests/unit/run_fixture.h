/* A job of two stages and a small network for tests of what a run leaves. Include after
 * net_fixture.h and data_fixture.h. */
#ifndef GRAFT_TESTS_UNIT_RUN_FIXTURE_H
#define GRAFT_TESTS_UNIT_RUN_FIXTURE_H

#include "common/model/plan.h"

#define RUN_TEXT(seed, rate)                                                                       \
    "run = { name = \"fixture\"; seed = " seed "; };\n"                                            \
    "cluster = { shards = 3; };\n"                                                                 \
    "data = { classes = [\"a\", \"b\", \"ü\"]; preprocess = { width = 6; height = 6; "            \
    "channels = 3; };\n"                                                                           \
    "domains = ( { name = \"printed\"; labelled = true; sources = ( { format = \"idx\"; split = "  \
    "\"train\"; path = \"x\"; labels = \"y\"; } ); } ); };\n"                                      \
    "stages = ( { name = \"one\"; domains = [\"printed\"]; epochs = 4; losses = { coral = 0.0; "   \
    "}; optimizer = { kind = \"adam\"; rate = " rate "; }; },\n"                                   \
    "{ name = \"two\"; domains = [\"printed\"]; epochs = 2; losses = { coral = 0.0; }; optimizer " \
    "= { kind = \"sgd\"; momentum = 0.0; }; } );\n"

static MAYBE_UNUSED struct job *run_job_of(const char *text)
{
    struct job *job = NULL;
    struct error err;
    if (job_load(NULL, text, NULL, 0, &job, &err) != OK)
        fail_msg("%s", err.text);
    return job;
}

static MAYBE_UNUSED struct job *run_job(void)
{
    return run_job_of(RUN_TEXT("1", "0.001"));
}

/* The same but for one value that changes the result. */
static MAYBE_UNUSED struct job *run_other_job(void)
{
    return run_job_of(RUN_TEXT("1", "0.002"));
}

static MAYBE_UNUSED bool fixture_exists(const char *name)
{
    char path[PATH_BYTES];
    fixture_path(path, name);
    return access(path, F_OK) == 0;
}

#endif
