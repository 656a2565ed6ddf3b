/* graft: the program a person uses. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/platform.h"
#include "coordinator/cli/cli.h"

static const struct command commands[] = {
    {"run", "CONFIG [--set PATH=VALUE]... [--resume | --restart] [--quiet] [--no-members]",
     "Runs a job: starts the members, trains, evaluates, writes the results.", run_main},
    {"resume", "RUN_DIRECTORY [--set PATH=VALUE]... [--quiet] [--no-members]",
     "Goes on with a run that was stopped or has crashed, on any number of workers and servers.",
     resume_main},
    {"check", "CONFIG [--member] [--set PATH=VALUE]...",
     "Reads configuration, data and model, and says what the job will train and cost; or, as a "
     "worker "
     "would read them, the digests in which members must agree.",
     check_main},
    {"hosts", "CONFIG [--set PATH=VALUE]...",
     "Prints what scripts/launch-ssh needs to know of a job.", hosts_main},
    {"inspect",
     "CONFIG [--memory] [--set PATH=VALUE]... | MODEL.onnx [--input CxHxW] [--cut TENSOR] [--pool "
     "mean|none] "
     "[--classes N]",
     "Prints a network's layers, shapes, parameters and possible freeze boundaries; or the memory "
     "that "
     "a job needs.",
     inspect_main},
    {"cache", "list | prune [--max-bytes N[K|M|G]]",
     "Lists the feature cache, or removes what was unused longest.", cache_main},
    {"keygen", "DIRECTORY [NAME...]",
     "Makes keys (coordinator, server, worker) for a cluster that others can reach.", keygen_main},
    {"keys", "", "Prints the reference of all configuration keys.", keys_main},
    {"predict", CLI_PREDICT_USAGE,
     "Answers of a trained network (adapted.onnx), one JSON object a line.", predict_main},
    {"evaluate", CLI_PREDICT_USAGE,
     "Scores a trained network on labelled inputs: class folders, .list files of path and label, "
     "or "
     "CSV with --label-column (of labels or values the first).",
     evaluate_main},
    {"export", "RUN | MODEL.onnx [--onnx FILE [--external]] [--safetensors FILE]",
     "Writes a network as ONNX of opset 17, weights within or beside, or its weights by PyTorch's "
     "names.",
     export_main},
    {"compare", "RUN...", "Shows results side by side, with mean and standard deviation.",
     compare_main},
    {"status", "RUN_DIRECTORY", "Says what a running job is doing, as JSON.", status_main},
    {"stop", "RUN_DIRECTORY [--now]", "Asks a running job to stop after the epoch in work.",
     stop_main},
    {"drain", "RUN_DIRECTORY MEMBER",
     "Lets a member leave a running job; what it holds moves to others first.", drain_main},
    {"scale", "RUN_DIRECTORY [workers=N] [servers=N]",
     "Starts members on this machine for a running job, or lets the newest leave.", scale_main},
};

int main(int argc, char **argv)
{
    platform_prepare(argv);
    if (sodium_init() < 0) {
        fprintf(stderr, "graft: libsodium could not be started\n");
        return EXIT_FAILURE;
    }
    return cli_main(argc, argv, commands, sizeof commands / sizeof *commands);
}
