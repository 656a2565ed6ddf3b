/* `graft keygen`: keys for a cluster, or one more. */
#include <stdio.h>
#include <stdlib.h>

#include "common/net/keys.h"
#include "coordinator/cli/cli.h"

int keygen_main(int argc, char **argv)
{
    static const char *const roles[] = {"coordinator", "server", "worker"};
    const char *const *names = roles;
    struct error err = {0};
    int count = sizeof roles / sizeof *roles;
    if (argc < 2) {
        error_set(&err, ERR_INPUT, "expected a directory");
        return cli_misuse("keygen", &err);
    }
    if (argc > 2) {
        names = (const char *const *)argv + 2;
        count = argc - 2;
    }
    for (int i = 0; i < count; i++) {
        if (keys_make(argv[1], names[i], &err) != OK)
            return cli_fail("keygen", &err);
        printf("%s/%s.secret\n", argv[1], names[i]);
    }
    printf("%s/allowed\n", argv[1]);
    return EXIT_SUCCESS;
}
