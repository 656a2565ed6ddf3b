#include "worker/data/wordpiece.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/data/rune.h"

#define WORD_MAX 100 /* characters */
#define ABSENT UINT32_MAX

enum special { UNKNOWN, BEGIN, END, PADDING, MASKED, SPECIAL_COUNT };
static const char *const special_names[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};

struct token {
    const char *text; /* NULL: an empty slot */
    size_t bytes;
    uint32_t id;
};

struct wordpiece {
    char *text;          /* of all tokens */
    struct token *slots; /* open addressing */
    size_t mask;         /* slots - 1 */
    size_t longest;      /* bytes of a token */
    uint32_t special[SPECIAL_COUNT];
    bool lower_case;
};

/* A text on its way to ids. */
struct encoding {
    const struct wordpiece *wordpiece;
    uint32_t *ids;
    size_t count, room;
    int32_t word[WORD_MAX];
    size_t word_length; /* WORD_MAX + 1: too long */
    size_t word_fixed;  /* characters of it that a later mark is not sorted before */
};

/* ---- the vocabulary ---- */

/* FNV-1a */
static uint64_t hash_of(const char *text, size_t bytes)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)text[i]) * 1099511628211u;
    return hash;
}

/* The token's slot, or the empty one where it belongs. */
static struct token *slot_of(const struct wordpiece *wordpiece, const char *text, size_t bytes)
{
    size_t at = hash_of(text, bytes) & wordpiece->mask;
    for (;; at = (at + 1) & wordpiece->mask) {
        struct token *slot = &wordpiece->slots[at];
        if (slot->text == NULL || (slot->bytes == bytes && memcmp(slot->text, text, bytes) == 0))
            return slot;
    }
}

static uint32_t find(const struct wordpiece *wordpiece, const char *text, size_t bytes)
{
    const struct token *slot = slot_of(wordpiece, text, bytes);
    return slot->text == NULL ? ABSENT : slot->id;
}

/* Of a token that stands there twice the last line counts. */
static void add_tokens(struct wordpiece *wordpiece)
{
    uint32_t id = 0;
    for (const char *line = wordpiece->text; *line != '\0'; id++) {
        const char *end = line + strcspn(line, "\n");
        size_t bytes = (size_t)(end - line);
        while (bytes > 0 && strchr(" \t\r\v\f", line[bytes - 1]) != NULL)
            bytes--;
        *slot_of(wordpiece, line, bytes) = (struct token){line, bytes, id};
        wordpiece->longest = bytes > wordpiece->longest ? bytes : wordpiece->longest;
        line = end + (*end == '\n');
    }
}

static enum status find_special(struct wordpiece *wordpiece, struct error *err)
{
    for (size_t i = 0; i < SPECIAL_COUNT; i++) {
        wordpiece->special[i] = find(wordpiece, special_names[i], strlen(special_names[i]));
        if (wordpiece->special[i] == ABSENT && i != MASKED)
            return error_set(
                err, ERR_INPUT,
                "the vocabulary has no token %s; graft knows WordPiece (vocab.txt) only",
                special_names[i]);
    }
    return OK;
}

static enum status fill(struct wordpiece *wordpiece, const char *vocabulary, struct error *err)
{
    size_t bytes = strlen(vocabulary), lines = 1, slots = 1;
    for (size_t i = 0; i < bytes; i++)
        lines += vocabulary[i] == '\n';
    if (lines > WORDPIECE_TOKENS_MAX)
        return error_set(err, ERR_INPUT, "a vocabulary of %zu tokens; the limit is %zu", lines,
                         WORDPIECE_TOKENS_MAX);
    while (slots < 2 * lines)
        slots *= 2;
    wordpiece->mask = slots - 1;
    wordpiece->text = memory_alloc(bytes + 1, 1);
    wordpiece->slots = memory_alloc(slots, sizeof *wordpiece->slots);
    if (wordpiece->text == NULL || wordpiece->slots == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a vocabulary of %zu tokens", lines);
    memcpy(wordpiece->text, vocabulary, bytes);
    add_tokens(wordpiece);
    return find_special(wordpiece, err);
}

enum status wordpiece_create(const char *vocabulary, bool lower_case, struct wordpiece **out,
                             struct error *err)
{
    struct wordpiece *wordpiece = memory_alloc(1, sizeof *wordpiece);
    if (wordpiece == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a vocabulary");
    wordpiece->lower_case = lower_case;
    enum status status = fill(wordpiece, vocabulary, err);
    if (status == OK)
        *out = wordpiece;
    else
        wordpiece_destroy(&wordpiece);
    return status;
}

void wordpiece_destroy(struct wordpiece **wordpiece)
{
    if (*wordpiece == NULL)
        return;
    memory_free((*wordpiece)->text);
    memory_free((*wordpiece)->slots);
    memory_free(*wordpiece);
    *wordpiece = NULL;
}

/* ---- words to pieces ---- */

static void emit(struct encoding *encoding, uint32_t id)
{
    if (encoding->count < encoding->room)
        encoding->ids[encoding->count++] = id;
}

/* The longest piece at the front of text[bytes], whose characters end at ends[]: how many
 * characters; 0: none. */
static size_t longest_piece(const struct wordpiece *wordpiece, const char *text, const size_t *ends,
                            size_t count, uint32_t *id)
{
    for (; count > 0; count--) {
        size_t bytes = ends[count - 1];
        *id = bytes <= wordpiece->longest ? find(wordpiece, text, bytes) : ABSENT;
        if (*id != ABSENT)
            return count;
    }
    return 0;
}

/* A word in UTF-8 with two bytes before it: pieces after the first are looked up with "##", which is
 * written over the end of the one before. False: the rest has no piece. */
static bool cut(struct encoding *encoding, char *text, const size_t *ends, size_t count)
{
    size_t done = 0, begin = 2;
    while (done < count) {
        size_t relative[WORD_MAX], from = done == 0 ? begin : begin - 2;
        uint32_t id;
        if (done > 0)
            memcpy(text + from, "##", 2);
        for (size_t i = done; i < count; i++)
            relative[i - done] = ends[i] - from;
        size_t used = longest_piece(encoding->wordpiece, text + from, relative, count - done, &id);
        if (used == 0)
            return false;
        emit(encoding, id);
        done += used;
        begin = ends[done - 1];
    }
    return true;
}

static void end_word(struct encoding *encoding)
{
    char text[2 + WORD_MAX * RUNE_BYTES_MAX];
    size_t ends[WORD_MAX], bytes = 2, count = encoding->word_length, before = encoding->count;
    encoding->word_length = 0;
    encoding->word_fixed = 0;
    for (size_t i = 0; i < count && count <= WORD_MAX; i++) {
        bytes += rune_write(encoding->word[i], text + bytes);
        ends[i] = bytes;
    }
    if (count > WORD_MAX || !cut(encoding, text, ends, count)) {
        encoding->count = before;
        emit(encoding, encoding->wordpiece->special[UNKNOWN]);
    }
}

/* ---- characters to words ---- */

/* Appends; a combining mark moves before those of a higher class (Unicode's canonical order). */
static void append(struct encoding *encoding, int32_t rune)
{
    size_t at = encoding->word_length;
    if (at >= WORD_MAX) {
        encoding->word_length = WORD_MAX + 1;
        return;
    }
    unsigned class = encoding->wordpiece->lower_case ? rune_class(rune) : 0;
    for (; class > 0 && at > encoding->word_fixed && rune_class(encoding->word[at - 1]) > class;
         at--)
        encoding->word[at] = encoding->word[at - 1];
    encoding->word[at] = encoding->wordpiece->lower_case ? rune_lower(rune) : rune;
    encoding->word_length++;
}

/* A character after NFD. */
static void take_part(struct encoding *encoding, int32_t rune)
{
    bool alone = rune_is_punctuation(rune), lower = encoding->wordpiece->lower_case;
    if (alone && encoding->word_length > 0)
        end_word(encoding);
    if (!lower || !rune_is_accent(rune))
        append(encoding, rune);
    if (alone)
        end_word(encoding);
    else if (rune_class(rune) == 0)
        encoding->word_fixed = encoding->word_length;
}

static void take_rune(struct encoding *encoding, int32_t rune)
{
    int32_t parts[RUNE_PARTS_MAX] = {rune};
    bool alone = rune_is_ideograph(rune), blank = rune_is_blank(rune);
    if (rune_is_dropped(rune))
        return;
    if ((alone || blank) && encoding->word_length > 0)
        end_word(encoding);
    if (blank)
        return;
    size_t count = encoding->wordpiece->lower_case ? rune_decompose(rune, parts) : 1;
    for (size_t i = 0; i < count; i++)
        take_part(encoding, parts[i]);
    if (alone && encoding->word_length > 0)
        end_word(encoding);
}

/* The special token written out at the front of text[bytes]: its length, else 0. */
static size_t special_at(const struct wordpiece *wordpiece, const char *text, size_t bytes,
                         uint32_t *id)
{
    for (size_t i = 0; i < SPECIAL_COUNT && text[0] == '['; i++) {
        size_t length = strlen(special_names[i]);
        *id = wordpiece->special[i];
        if (*id != ABSENT && length <= bytes && memcmp(text, special_names[i], length) == 0)
            return length;
    }
    return 0;
}

size_t wordpiece_encode(const struct wordpiece *wordpiece, const char *text, size_t bytes,
                        uint32_t *ids, size_t length)
{
    CHECK(length >= 2);
    struct encoding encoding = {.wordpiece = wordpiece, .ids = ids + 1, .room = length - 2};
    for (size_t at = 0; at < bytes && encoding.count < encoding.room;) {
        uint32_t id;
        int32_t rune;
        size_t special = special_at(wordpiece, text + at, bytes - at, &id);
        if (special > 0) {
            if (encoding.word_length > 0)
                end_word(&encoding);
            emit(&encoding, id);
            at += special;
            continue;
        }
        at += rune_read(text + at, bytes - at, &rune);
        take_rune(&encoding, rune);
    }
    if (encoding.word_length > 0)
        end_word(&encoding);
    ids[0] = wordpiece->special[BEGIN];
    ids[encoding.count + 1] = wordpiece->special[END];
    for (size_t i = encoding.count + 2; i < length; i++)
        ids[i] = wordpiece->special[PADDING];
    return encoding.count + 2;
}
