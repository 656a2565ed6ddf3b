#include "paramserver/table/norms.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/wire/message.h"

void norms_deinit(struct norms *norms)
{
    memory_free(norms->squares);
    memory_free(norms->has);
    *norms = (struct norms){0};
}

enum status norms_reset(struct norms *norms, size_t blocks, struct error *err)
{
    norms_deinit(norms);
    if (blocks > WIRE_BLOCKS_MAX)
        return error_set(err, ERR_PEER, "a LOAD of a stage with %zu blocks; the limit is %d",
                         blocks, WIRE_BLOCKS_MAX);
    norms->squares = memory_alloc(blocks, sizeof *norms->squares);
    norms->has = memory_alloc(blocks, sizeof *norms->has);
    if (norms->squares == NULL || norms->has == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the norms of %zu blocks", blocks);
    norms->blocks = norms->missing = blocks;
    return OK;
}

bool norms_take(struct norms *norms, uint64_t version, uint32_t block, double square)
{
    if (block >= norms->blocks || !isfinite(square) || square < 0)
        return false;
    if (version < norms->version)
        return true;
    if (version > norms->version) {
        norms->version = version;
        norms->missing = norms->blocks;
        memset(norms->has, 0, norms->blocks * sizeof *norms->has);
    }
    norms->missing -= !norms->has[block];
    norms->has[block] = true;
    norms->squares[block] = square;
    return true;
}

bool norms_complete(const struct norms *norms, uint64_t version)
{
    return norms->version == version && norms->missing == 0;
}

enum status norms_scale(const struct norms *norms, double most, float *out, struct error *err)
{
    double sum = 0;
    CHECK(norms->missing == 0);
    for (size_t i = 0; i < norms->blocks; i++)
        sum += norms->squares[i];
    if (!isfinite(sum))
        return error_set(err, ERR_INPUT,
                         "the gradient's norm is not finite; lower the learning rate or look for "
                         "broken samples");
    double norm = sqrt(sum);
    *out = norm > most ? (float)(most / norm) : 1.0f;
    return OK;
}
