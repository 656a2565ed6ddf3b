/* The message decoder against any bytes: what it accepts must encode and decode again to the same
 * bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct codec *codec, *other;
    static size_t frame_bytes[WIRE_FRAMES_MAX];
    struct message message;
    const uint8_t *header, *again;
    size_t frame_count, header_bytes, again_bytes;
    if (codec == NULL && (codec_create(&codec, NULL) != OK || codec_create(&other, NULL) != OK))
        abort();
    if (codec_decode(codec, data, size, &message, frame_bytes, &frame_count, NULL) != OK)
        return 0;
    if (codec_encode(codec, &message, frame_bytes, frame_count, &header, &header_bytes, NULL) != OK)
        return 0; /* larger than a header may be, with all numbers at full width */
    enum status status =
        codec_decode(other, header, header_bytes, &message, frame_bytes, &frame_count, NULL);
    CHECK(status == OK);
    status = codec_encode(other, &message, frame_bytes, frame_count, &again, &again_bytes, NULL);
    CHECK(status == OK && again_bytes == header_bytes && memcmp(again, header, again_bytes) == 0);
    return 0;
}
