#include "common/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->status = status;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return status;
}

enum status error_prefix(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return ERR_INPUT;
    char where[ERROR_TEXT_BYTES / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(where, sizeof where - 2, format, args);
    va_end(args);
    size_t shift = strlen(where);
    where[shift++] = ':';
    where[shift++] = ' ';
    memmove(err->text + shift, err->text, sizeof err->text - shift);
    memcpy(err->text, where, shift);
    err->text[sizeof err->text - 1] = '\0';
    return err->status;
}
