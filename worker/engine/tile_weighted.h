/* Tile steps of fused layers with weights. */
#ifndef GRAFT_WORKER_ENGINE_TILE_WEIGHTED_H
#define GRAFT_WORKER_ENGINE_TILE_WEIGHTED_H

#include "worker/engine/tile_build.h"

/* FUSED_CONV and FUSED_DENSE; errors as in tile_build.h. */
enum status tile_weighted_conv(struct tile_builder *builder, const struct fused *fused) MUST_CHECK;
enum status tile_weighted_dense(struct tile_builder *builder, const struct fused *fused) MUST_CHECK;

#endif
