/* A look at a protobuf file before the real parser: that parser (protobuf-c) recurses with the
 * nesting of the bytes and takes memory for each message, so both must be bounded first. No
 * allocation, no recursion. */
#ifndef GRAFT_COMMON_MODEL_ONNX_SCAN_H
#define GRAFT_COMMON_MODEL_ONNX_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

#define ONNX_SCAN_DEPTH_MAX 32
#define ONNX_SCAN_MESSAGES_MAX ((size_t)4 << 20)

/* Errors: ERR_INPUT: truncated, malformed, nested too deep, too many messages. */
enum status onnx_scan(const uint8_t *bytes, size_t byte_count, struct error *err) MUST_CHECK;

#endif
