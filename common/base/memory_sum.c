#include "common/base/memory_sum.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/check.h"

void memory_sum_add(struct memory_sum *sum, bool in_turn, size_t bytes, const char *format, ...)
{
    CHECK(sum->count < MEMORY_SUM_ROWS_MAX);
    struct memory_row *row = &sum->rows[sum->count++];
    va_list args;
    va_start(args, format);
    vsnprintf(row->what, sizeof row->what, format, args);
    va_end(args);
    row->bytes = bytes;
    row->in_turn = in_turn;
}

size_t memory_sum_total(const struct memory_sum *sum)
{
    size_t total = 0, most = 0;
    for (size_t i = 0; i < sum->count; i++) {
        const struct memory_row *row = &sum->rows[i];
        if (!row->in_turn)
            total += row->bytes;
        else if (row->bytes > most)
            most = row->bytes;
    }
    return total + most;
}

static void print_rows(const struct memory_sum *sum, bool in_turn, const char *indent, FILE *out)
{
    for (size_t i = 0; i < sum->count; i++)
        if (sum->rows[i].in_turn == in_turn)
            fprintf(out, "%s%-70s %10.1f\n", indent, sum->rows[i].what,
                    (double)sum->rows[i].bytes / MEMORY_MIB);
}

void memory_sum_print(const struct memory_sum *sum, const char *title, FILE *out)
{
    fprintf(out, "%-72s %10s\n", title, "MiB");
    print_rows(sum, false, "  ", out);
    for (size_t i = 0; i < sum->count; i++)
        if (sum->rows[i].in_turn) {
            fprintf(out, "  and the largest of\n");
            print_rows(sum, true, "    ", out);
            break;
        }
    fprintf(out, "  %-70s %10.1f\n", "peak", (double)memory_sum_total(sum) / MEMORY_MIB);
}

size_t memory_resident(void)
{
    uint64_t all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return 0;
    int got = fscanf(file, "%" SCNu64 " %" SCNu64, &all, &resident);
    fclose(file);
    return got == 2 ? (size_t)resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

size_t memory_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}
