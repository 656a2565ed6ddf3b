/* SHA-256 (libsodium) as 32 bytes and as 64 hex digits. Streaming; no allocation. */
#ifndef GRAFT_COMMON_BASE_DIGEST_H
#define GRAFT_COMMON_BASE_DIGEST_H

#include <sodium.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

#define DIGEST_BYTES 32
#define DIGEST_HEX_BYTES 65

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

struct digest_stream {
    crypto_hash_sha256_state state;
};

void digest_init(struct digest_stream *stream);
void digest_add(struct digest_stream *stream, const void *data, size_t bytes);
/* Adds the text and its terminating zero, so that ("ab","c") and ("a","bc") differ. */
void digest_add_text(struct digest_stream *stream, const char *text);
/* Adds 8 bytes, little endian. */
void digest_add_u64(struct digest_stream *stream, uint64_t value);
struct digest digest_end(struct digest_stream *stream);

struct digest digest_of(const void *data, size_t bytes);
/* Digest of a whole file, read in pieces. Errors: ERR_IO. */
enum status digest_of_file(const char *path, struct digest *out, struct error *err) MUST_CHECK;
void digest_hex(const struct digest *digest, char hex[DIGEST_HEX_BYTES]);

#endif
