/* Token ids of texts, for another tokeniser to compare.
 *     encode VOCABULARY cased|uncased LENGTH
 * Each text comes through stdin as its length in bytes (decimal, a line) and its bytes; for each a line
 * of ids without the padding. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/model/vocabulary.h"
#include "worker/data/wordpiece.h"

static void must(enum status status, const struct error *err)
{
    if (status != OK) {
        fprintf(stderr, "encode: %s\n", err->text);
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct wordpiece *wordpiece = NULL;
    char *vocabulary = NULL;
    size_t length = argc == 4 ? strtoul(argv[3], NULL, 10) : 0, bytes;
    if (length < 2)
        return 2;
    must(vocabulary_read(argv[1], &vocabulary, &err), &err);
    must(wordpiece_create(vocabulary, strcmp(argv[2], "uncased") == 0, &wordpiece, &err), &err);
    memory_free(vocabulary);
    uint32_t *ids = memory_alloc(length, sizeof *ids);
    while (scanf("%zu", &bytes) == 1 && getchar() == '\n') {
        char *text = memory_alloc(bytes, 1);
        if (fread(text, 1, bytes, stdin) != bytes)
            return EXIT_FAILURE;
        size_t count = wordpiece_encode(wordpiece, text, bytes, ids, length);
        for (size_t i = 0; i < count; i++)
            printf("%u ", ids[i]);
        printf("\n");
        memory_free(text);
    }
    memory_free(ids);
    wordpiece_destroy(&wordpiece);
    return EXIT_SUCCESS;
}
