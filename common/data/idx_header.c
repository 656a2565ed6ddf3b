#include "common/data/idx_header.h"

#define TYPE_U8 0x08
#define RANK_MAX 4
#define MAGIC_BYTES 4u

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static enum status read_dims(const char *path, const struct file_map *map, uint32_t rank_min,
                             uint32_t rank_max, uint32_t dims[RANK_MAX], struct error *err)
{
    const uint8_t *at = map->data;
    if (map->bytes >= 2 && at[0] == 0x1f && at[1] == 0x8b)
        return error_set(err, ERR_INPUT, "%s: compressed; unpack it with gunzip first", path);
    if (map->bytes < MAGIC_BYTES || at[0] != 0 || at[1] != 0)
        return error_set(err, ERR_INPUT,
                         "%s: not an IDX file (it doesn't begin with two zero bytes)", path);
    if (at[2] != TYPE_U8)
        return error_set(err, ERR_SUPPORT,
                         "%s: IDX element type 0x%02x; only unsigned bytes (0x08) are read", path,
                         at[2]);
    uint32_t rank = at[3];
    if (rank < rank_min || rank > rank_max)
        return error_set(err, ERR_INPUT, "%s: IDX with %u dimensions, expected %u%s", path, rank,
                         rank_min, rank_max > rank_min ? " or one more for channels" : "");
    if (map->bytes < MAGIC_BYTES * (1 + rank))
        return error_set(err, ERR_INPUT, "%s: ends inside the IDX header", path);
    for (uint32_t i = 0; i < RANK_MAX; i++)
        dims[i] = i < rank ? big_endian(at + MAGIC_BYTES * (1 + i)) : 1;
    return OK;
}

static enum status check_size(const char *path, const struct file_map *map,
                              const struct idx_header *header, struct error *err)
{
    uint64_t wanted = header->data_offset + (uint64_t)header->count * header->item_bytes;
    if (map->bytes == wanted)
        return OK;
    return error_set(
        err, ERR_INPUT,
        "%s: the IDX header announces %u items, %llu bytes in all, but the file has %zu", path,
        header->count, (unsigned long long)wanted, map->bytes);
}

enum status idx_header_images(const char *path, const struct file_map *map, struct idx_header *out,
                              struct error *err)
{
    uint32_t dims[RANK_MAX];
    enum status status = read_dims(path, map, 3, 4, dims, err);
    if (status != OK)
        return status;
    if (dims[1] == 0 || dims[2] == 0 || dims[1] > IDX_SIDE_MAX || dims[2] > IDX_SIDE_MAX ||
        (dims[3] != 1 && dims[3] != 3))
        return error_set(
            err, ERR_INPUT,
            "%s: pictures of %u x %u x %u; sides from 1 to %u and 1 or 3 channels are read", path,
            dims[1], dims[2], dims[3], IDX_SIDE_MAX);
    struct idx_header header = {dims[0],
                                dims[1],
                                dims[2],
                                dims[3],
                                MAGIC_BYTES * (1u + map->data[3]),
                                (size_t)dims[1] * dims[2] * dims[3]};
    status = check_size(path, map, &header, err);
    if (status == OK)
        *out = header;
    return status;
}

enum status idx_header_labels(const char *path, const struct file_map *map, struct idx_header *out,
                              struct error *err)
{
    uint32_t dims[RANK_MAX];
    enum status status = read_dims(path, map, 1, 1, dims, err);
    if (status != OK)
        return status;
    struct idx_header header = {dims[0], 1, 1, 1, 2 * MAGIC_BYTES, 1};
    status = check_size(path, map, &header, err);
    if (status == OK)
        *out = header;
    return status;
}
