/* A JSON file that graft has written (run.json, result.json), read as somebody's file. */
#ifndef GRAFT_COORDINATOR_JOB_DOCUMENT_H
#define GRAFT_COORDINATOR_JOB_DOCUMENT_H

#include <jansson.h>
#include <stddef.h>

#include "common/base/error.h"

/* *out is one JSON object without duplicate keys, owned by the caller (json_decref). `what` names
 * it in the error: "PATH: not a WHAT: no JSON object". Errors: ERR_IO, ERR_INPUT (also when longer
 * than bytes_max). */
enum status document_read(const char *path, size_t bytes_max, const char *what, json_t **out,
                          struct error *err) MUST_CHECK;

#endif
