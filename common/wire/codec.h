/* struct message ↔ one MessagePack header frame, driven by the field tables of message.c. Knows no
 * socket. A codec owns its buffers, which grow with the messages, and belongs to one thread; after the
 * first messages it makes no heap call. */
#ifndef GRAFT_COMMON_WIRE_CODEC_H
#define GRAFT_COMMON_WIRE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/wire/message.h"

struct codec;

enum status codec_create(struct codec **out, struct error *err) MUST_CHECK;
void codec_destroy(struct codec **codec);

/* Encodes `message` with the announced sizes of its payload frames. *header is owned by the codec
 * and valid until the next encode. Fails only (ERR_INPUT) when the header would exceed
 * WIRE_HEADER_BYTES_MAX; a value over its own limit is our fault and CHECKed. */
enum status codec_encode(struct codec *codec, const struct message *message,
                         const size_t *frame_bytes, size_t frame_count, const uint8_t **header,
                         size_t *header_bytes, struct error *err) MUST_CHECK;

/* Decodes a header frame into `message`; its lists live in the codec's arena until the next decode.
 * The announced frame sizes go to frame_bytes[WIRE_FRAMES_MAX]. Errors: ERR_INPUT for anything that
 * breaks form or limit; `message` is then undefined. */
enum status codec_decode(struct codec *codec, const uint8_t *header, size_t header_bytes,
                         struct message *message, size_t *frame_bytes, size_t *frame_count,
                         struct error *err) MUST_CHECK;

#endif
