#include "worker/data/rune.h"

#include <utf8proc.h>

#include "common/base/check.h"

#define REPLACEMENT 0xFFFD

size_t rune_read(const char *text, size_t bytes, int32_t *out)
{
    utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, out);
    if (used > 0)
        return (size_t)used;
    *out = REPLACEMENT;
    return 1;
}

size_t rune_write(int32_t rune, char *out)
{
    utf8proc_ssize_t used = utf8proc_encode_char(rune, (utf8proc_uint8_t *)out);
    CHECK(used > 0);
    return (size_t)used;
}

bool rune_is_blank(int32_t rune)
{
    utf8proc_category_t category = utf8proc_category(rune);
    return rune == '\t' || rune == '\n' || rune == '\r' || category == UTF8PROC_CATEGORY_ZS ||
           category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

bool rune_is_dropped(int32_t rune)
{
    utf8proc_category_t category = utf8proc_category(rune);
    if (rune == '\t' || rune == '\n' || rune == '\r')
        return false;
    return rune == 0 || rune == REPLACEMENT || category == UTF8PROC_CATEGORY_CC ||
           category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
}

bool rune_is_ideograph(int32_t rune)
{
    static const struct {
        int32_t first, last;
    } ranges[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                  {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (rune >= ranges[i].first && rune <= ranges[i].last)
            return true;
    return false;
}

bool rune_is_punctuation(int32_t rune)
{
    if (rune < 0x80) {
        bool letter = (rune | 0x20) >= 'a' && (rune | 0x20) <= 'z';
        return rune > ' ' && rune < 0x7F && !letter && !(rune >= '0' && rune <= '9');
    }
    utf8proc_category_t category = utf8proc_category(rune);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool rune_is_accent(int32_t rune)
{
    return utf8proc_category(rune) == UTF8PROC_CATEGORY_MN;
}

unsigned rune_class(int32_t rune)
{
    return (unsigned)utf8proc_get_property(rune)->combining_class;
}

int32_t rune_lower(int32_t rune)
{
    return utf8proc_tolower(rune);
}

size_t rune_decompose(int32_t rune, int32_t *out)
{
    int boundary = 0;
    utf8proc_ssize_t count =
        utf8proc_decompose_char(rune, out, RUNE_PARTS_MAX, UTF8PROC_DECOMPOSE, &boundary);
    CHECK(count > 0 && count <= RUNE_PARTS_MAX);
    return (size_t)count;
}
