/* A bitmap font for labels in pictures: printable ASCII and an arrow, 5 columns of 8 rows. */
#ifndef GRAFT_COORDINATOR_WATCH_FONT_H
#define GRAFT_COORDINATOR_WATCH_FONT_H

#include <stdint.h>

#define FONT_COLUMNS 5
#define FONT_ROWS 8
#define FONT_ADVANCE 6 /* from one character to the next */
#define FONT_ARROW '\x1a'

/* Columns from left to right, bit 0 is the top row. Characters without a glyph show as '?'. */
const uint8_t *font_glyph(char character);

#endif
