/* Rows of texts and their tokens against any bytes. The first byte chooses form and case. A row that
 * is found in the file must be found again where it begins, as the decoder does; tokens are tokens. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/data/text_row.h"
#include "worker/data/wordpiece.h"

#define LENGTH 24
#define COLUMNS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##a\n##ab\n##\xC3\xA9\n,\n\xE6\x9D\xB1\n";

static void check_tokens(const char *text, size_t bytes, bool lower_case)
{
    static struct wordpiece *kept[2];
    uint32_t ids[LENGTH];
    struct wordpiece **wordpiece = &kept[lower_case];
    if (*wordpiece == NULL && wordpiece_create(vocabulary, lower_case, wordpiece, NULL) != OK)
        abort();
    size_t count = wordpiece_encode(*wordpiece, text, bytes, ids, LENGTH);
    CHECK(count >= 2 && count <= LENGTH && ids[0] == 2 && ids[count - 1] == 3);
    for (size_t i = 0; i < LENGTH; i++)
        CHECK(ids[i] < 12 && (i < count || ids[i] == 0));
}

static void check_row(enum text_form form, const struct text_row *row, bool lower_case)
{
    char *field = memory_alloc(row->length, 1);
    for (size_t column = 0; column < COLUMNS; column++) {
        size_t length = text_row_copy(form, row, column, field);
        CHECK(length == SIZE_MAX || length <= row->length);
        if (length != SIZE_MAX)
            check_tokens(field, length, lower_case);
    }
    memory_free(field);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t offset = 0, end = 0;
    struct text_row row, again;
    if (size == 0)
        return 0;
    enum text_form form = (enum text_form)(data[0] % 3);
    const uint8_t *text = data + 1;
    size_t bytes = size - 1;
    while (text_row_next(form, text, bytes, &offset, &row)) {
        uint64_t within = 0;
        CHECK(row.offset >= end && offset > end && offset <= bytes);
        CHECK(text_row_next(form, text + row.offset, bytes - row.offset, &within, &again));
        bool marked =
            row.length >= 3 && memcmp(row.text, "\xEF\xBB\xBF", 3) == 0; /* a second mark */
        CHECK(marked || (again.length == row.length && row.offset + within == offset));
        check_row(form, &row, data[0] & 4);
        end = offset;
    }
    CHECK(offset == bytes || bytes == 3);
    return 0;
}
