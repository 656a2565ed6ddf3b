#include "worker/sync/statistics.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

struct statistics {
    struct layout layout;
    size_t domains;
    uint64_t version;
    bool begun;
    size_t missing;
    bool *has;    /* [domains, statistic_count] */
    double *sums; /* [domains, statistic_elements] */
    uint64_t counts[JOB_DOMAINS_MAX];
};

enum status statistics_create(const struct layout *layout, size_t domains, struct statistics **out,
                              struct error *err)
{
    CHECK(domains <= JOB_DOMAINS_MAX);
    struct statistics *statistics = memory_alloc(1, sizeof *statistics);
    if (statistics == NULL)
        return error_set(err, ERR_MEMORY, "no memory for statistics");
    statistics->layout = *layout;
    statistics->domains = domains;
    statistics->has = memory_alloc(domains * layout->statistic_count, sizeof *statistics->has);
    statistics->sums = memory_alloc(domains * layout->statistic_elements, sizeof *statistics->sums);
    if (statistics->has == NULL || statistics->sums == NULL) {
        statistics_destroy(&statistics);
        return error_set(err, ERR_MEMORY, "no memory for statistics");
    }
    *out = statistics;
    return OK;
}

void statistics_destroy(struct statistics **statistics)
{
    if (*statistics == NULL)
        return;
    memory_free((*statistics)->has);
    memory_free((*statistics)->sums);
    memory_free(*statistics);
    *statistics = NULL;
}

static void begin_version(struct statistics *statistics, uint64_t version)
{
    size_t parts = statistics->domains * statistics->layout.statistic_count;
    memset(statistics->has, 0, parts * sizeof *statistics->has);
    statistics->missing = parts;
    statistics->version = version;
    statistics->begun = true;
}

bool statistics_take(struct statistics *statistics, uint64_t version, uint32_t block,
                     uint32_t domain, uint64_t count, const void *data, size_t bytes)
{
    const struct layout *layout = &statistics->layout;
    if (block < layout->parameter_count || block >= layout->metric_block ||
        domain >= statistics->domains)
        return false;
    size_t part = block - layout->parameter_count;
    if (bytes != layout_statistic_size(layout, part) * sizeof(double))
        return false;
    if (statistics->begun && version < statistics->version)
        return true;
    if (!statistics->begun || version > statistics->version)
        begin_version(statistics, version);
    memcpy(statistics->sums + domain * layout->statistic_elements + layout_statistic_offset(part),
           data, bytes);
    statistics->counts[domain] = count;
    bool *has = &statistics->has[domain * layout->statistic_count + part];
    statistics->missing -= !*has;
    *has = true;
    return true;
}

bool statistics_complete(const struct statistics *statistics, uint64_t version)
{
    return statistics->begun && statistics->version == version && statistics->missing == 0;
}

const double *statistics_sums(const struct statistics *statistics, size_t domain, uint64_t *count)
{
    CHECK(statistics->begun && statistics->missing == 0 && domain < statistics->domains);
    *count = statistics->counts[domain];
    return statistics->sums + domain * statistics->layout.statistic_elements;
}
