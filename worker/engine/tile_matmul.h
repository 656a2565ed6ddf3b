/* Products of two computed stacks of matrices, as in attention: oneDNN's, on views as they are. */
#ifndef GRAFT_WORKER_ENGINE_TILE_MATMUL_H
#define GRAFT_WORKER_ENGINE_TILE_MATMUL_H

#include "worker/engine/tile_build.h"

/* Errors: ERR_SUPPORT, ERR_MEMORY. */
enum status tile_matmul(struct tile_builder *builder, const struct fused *fused) MUST_CHECK;

#endif
