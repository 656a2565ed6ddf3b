#include "common/base/digest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void digest_init(struct digest_stream *stream)
{
    crypto_hash_sha256_init(&stream->state);
}

void digest_add(struct digest_stream *stream, const void *data, size_t bytes)
{
    crypto_hash_sha256_update(&stream->state, data, bytes);
}

void digest_add_text(struct digest_stream *stream, const char *text)
{
    digest_add(stream, text, strlen(text) + 1);
}

void digest_add_u64(struct digest_stream *stream, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    digest_add(stream, bytes, sizeof bytes);
}

struct digest digest_end(struct digest_stream *stream)
{
    struct digest digest;
    crypto_hash_sha256_final(&stream->state, digest.bytes);
    return digest;
}

struct digest digest_of(const void *data, size_t bytes)
{
    struct digest digest;
    crypto_hash_sha256(digest.bytes, data, bytes);
    return digest;
}

enum status digest_of_file(const char *path, struct digest *out, struct error *err)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    struct digest_stream stream;
    digest_init(&stream);
    uint8_t piece[65536];
    size_t got;
    while ((got = fread(piece, 1, sizeof piece, file)) > 0)
        digest_add(&stream, piece, got);
    int failed = ferror(file);
    fclose(file);
    if (failed)
        return error_set(err, ERR_IO, "%s: read error", path);
    *out = digest_end(&stream);
    return OK;
}

void digest_hex(const struct digest *digest, char hex[DIGEST_HEX_BYTES])
{
    sodium_bin2hex(hex, DIGEST_HEX_BYTES, digest->bytes, DIGEST_BYTES);
}
