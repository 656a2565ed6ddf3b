/* Views: a value that is another one's memory under another shape or order of axes. No step of its
 * own, unless the other one's memory is not row-major. */
#ifndef GRAFT_WORKER_ENGINE_TILE_VIEW_H
#define GRAFT_WORKER_ENGINE_TILE_VIEW_H

#include "worker/engine/tile_build.h"

/* Errors: ERR_SUPPORT, ERR_MEMORY. */
enum status tile_view(struct tile_builder *builder, const struct fused *fused) MUST_CHECK;

#endif
