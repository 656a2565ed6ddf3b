/* The finished sums of a step's first phase, as the servers send them back: one vector of doubles
 * and a sample count per domain of the stage. One thread. */
#ifndef GRAFT_WORKER_SYNC_STATISTICS_H
#define GRAFT_WORKER_SYNC_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/layout.h"

struct statistics;

enum status statistics_create(const struct layout *layout, size_t domains, struct statistics **out,
                              struct error *err) MUST_CHECK;
void statistics_destroy(struct statistics **statistics);

/* False when it is no statistic block of this stage or has another size. */
bool statistics_take(struct statistics *statistics, uint64_t version, uint32_t block,
                     uint32_t domain, uint64_t count, const void *data, size_t bytes);

bool statistics_complete(const struct statistics *statistics, uint64_t version);

/* Of the complete version: the domain's sums [layout->statistic_elements] and its number of
 * samples. */
const double *statistics_sums(const struct statistics *statistics, size_t domain, uint64_t *count);

#endif
