/* `graft predict`: becomes graft-predict, which has the engine. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "coordinator/cli/cli.h"
#include "coordinator/cluster/launcher.h"

int predict_main(int argc, char **argv)
{
    char path[PATH_BYTES];
    struct error err = {0};
    if (argc < 3) {
        error_set(&err, ERR_INPUT, "expected a model and what to answer");
        return cli_misuse("predict", &err);
    }
    launcher_find("graft-predict", path, sizeof path);
    execvp(path, argv);
    error_set(&err, ERR_IO, "%s: %s", path, strerror(errno));
    return cli_fail("predict", &err);
}
