#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "graft: internal error: CHECK(%s) failed at %s:%d; please report this\n",
            condition, file, line);
    abort();
}
