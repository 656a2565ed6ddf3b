/* Divides a domain's samples into train, validation and test by the domain's shares: by rank of a
 * random key, so that sizes are exact, and independent of run.seed, since a test set must stay one.
 * Pure. */
#ifndef GRAFT_COMMON_DATA_DIVISION_H
#define GRAFT_COMMON_DATA_DIVISION_H

#include "common/base/error.h"
#include "common/data/manifest.h"

/* Replaces SPLIT_DIVIDE in samples[count], all samples of one domain; a sample's key is (domain,
 * position in samples). Of n such samples the first floor(f0 n) go to train, those up to floor((f0
 * + f1) n) to validation, the rest to the last split whose share isn't 0. Errors: ERR_MEMORY. */
enum status division_assign(struct sample *samples, size_t count, uint32_t domain,
                            const double shares[SPLIT_COUNT], struct error *err) MUST_CHECK;

#endif
