#include "common/net/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"

#define HEX_BYTES (2 * KEY_BYTES + 1)
#define SECRET_WORD "graft-secret-1"
#define LINE_BYTES (sizeof SECRET_WORD + KEY_NAME_BYTES + 2 * HEX_BYTES + 2)
#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < KEY_NAME_BYTES && name[0] != '.' && name[0] != '-' &&
           strspn(name, NAME_LETTERS) == length;
}

static bool read_hex(const char *hex, uint8_t *out)
{
    size_t got;
    return strlen(hex) == 2 * KEY_BYTES &&
           sodium_hex2bin(out, KEY_BYTES, hex, 2 * KEY_BYTES, NULL, &got, NULL) == 0 &&
           got == KEY_BYTES;
}

/* ---- make ---- */

/* Writes a whole small file that must not exist yet, or adds to one. */
static enum status put(const char *path, int how, mode_t mode, const char *text, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | how, mode);
    if (fd < 0)
        return errno == EEXIST ? error_set(err, ERR_STATE,
                                           "%s is there already; remove it first, if no cluster "
                                           "uses it any more",
                                           path)
                               : error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    bool wrote = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
    wrote &= close(fd) == 0;
    return wrote ? OK : error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
}

enum status keys_make(const char *directory, const char *name, struct error *err)
{
    uint8_t public_key[KEY_BYTES], secret[KEY_BYTES];
    char path[PATH_BYTES], hex[2][HEX_BYTES], line[LINE_BYTES];
    if (!is_name(name))
        return error_set(err, ERR_INPUT,
                         "'%.60s' is no name of a key: at most %d letters, digits, '.', '_', '-'",
                         name, KEY_NAME_BYTES - 1);
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return error_set(err, ERR_IO, "%s: %s", directory, strerror(errno));
    crypto_box_keypair(public_key, secret);
    sodium_bin2hex(hex[0], HEX_BYTES, public_key, KEY_BYTES);
    sodium_bin2hex(hex[1], HEX_BYTES, secret, KEY_BYTES);
    enum status status = file_path(path, err, "%s/%s.secret", directory, name);
    snprintf(line, sizeof line, "%s %s %s %s\n", SECRET_WORD, name, hex[0], hex[1]);
    if (status == OK)
        status = put(path, O_EXCL, 0600, line, err);
    if (status == OK)
        status = file_path(path, err, "%s/allowed", directory);
    snprintf(line, sizeof line, "%s %s\n", name, hex[0]);
    if (status == OK)
        status = put(path, O_APPEND, 0644, line, err);
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(hex, sizeof hex);
    sodium_memzero(line, sizeof line);
    return status;
}

/* ---- load ---- */

static enum status check_private(FILE *file, const char *path, struct error *err)
{
    struct stat info;
    if (fstat(fileno(file), &info) == 0 && (info.st_mode & 077) == 0)
        return OK;
    return error_set(err, ERR_INPUT, "%s may be read by others: chmod 600 %s", path, path);
}

static enum status read_secret(struct keys *keys, FILE *file, const char *path, struct error *err)
{
    char word[16], name[KEY_NAME_BYTES], hex[2][HEX_BYTES], line[LINE_BYTES];
    uint8_t public_key[KEY_BYTES];
    bool good = fgets(line, sizeof line, file) != NULL &&
                sscanf(line, "%15s %31s %64s %64s", word, name, hex[0], hex[1]) == 4 &&
                strcmp(word, SECRET_WORD) == 0 && is_name(name) &&
                read_hex(hex[0], keys->own.public_key) && read_hex(hex[1], keys->secret) &&
                crypto_scalarmult_base(public_key, keys->secret) == 0 &&
                memcmp(public_key, keys->own.public_key, KEY_BYTES) == 0;
    sodium_memzero(hex, sizeof hex);
    sodium_memzero(line, sizeof line);
    if (!good)
        return error_set(err, ERR_INPUT, "%s is no secret key of `graft keygen`", path);
    memcpy(keys->own.name, name, sizeof name);
    return OK;
}

static enum status read_allowed(struct keys *keys, FILE *file, const char *path, struct error *err)
{
    char line[256], name[KEY_NAME_BYTES], hex[HEX_BYTES], more[2];
    for (unsigned number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        line[strcspn(line, "#\n")] = '\0';
        if (strspn(line, " \t\r") == strlen(line))
            continue;
        struct key_entry *entry = &keys->allowed[keys->allowed_count];
        if (keys->allowed_count == KEYS_MAX)
            return error_set(err, ERR_INPUT, "%s: more than %d keys", path, KEYS_MAX);
        if (sscanf(line, "%31s %64s %1s", name, hex, more) != 2 || !is_name(name) ||
            !read_hex(hex, entry->public_key) || keys_named(keys, name) != NULL)
            return error_set(err, ERR_INPUT,
                             "%s:%u: expected a name, new in this list, and a public key", path,
                             number);
        memcpy(entry->name, name, sizeof name);
        keys->allowed_count++;
    }
    return OK;
}

static enum status open_file(const char *directory, const char *name, const char *kind, FILE **out,
                             char path[PATH_BYTES], struct error *err)
{
    enum status status = file_path(path, err, "%s/%s%s", directory, name, kind);
    if (status == OK && (*out = fopen(path, "re")) == NULL)
        status = error_set(err, ERR_IO, "%s: %s; `graft keygen %s` makes keys", path,
                           strerror(errno), directory);
    return status;
}

enum status keys_load(const char *directory, const char *role, struct keys **out, struct error *err)
{
    char path[PATH_BYTES];
    FILE *file = NULL;
    struct keys *keys = sodium_malloc(sizeof *keys);
    if (keys == NULL)
        return error_set(err, ERR_MEMORY, "no memory for keys");
    memset(keys, 0, sizeof *keys);
    enum status status = open_file(directory, role, ".secret", &file, path, err);
    if (status == OK)
        status = check_private(file, path, err);
    if (status == OK)
        status = read_secret(keys, file, path, err);
    if (file != NULL)
        fclose(file);
    file = NULL;
    if (status == OK)
        status = open_file(directory, "allowed", "", &file, path, err);
    if (status == OK)
        status = read_allowed(keys, file, path, err);
    if (file != NULL)
        fclose(file);
    if (status == OK && keys_holding(keys, keys->own.public_key) == NULL)
        status = error_set(err, ERR_INPUT, "%s: the key of %s/%s.secret is not on the list", path,
                           directory, role);
    if (status == OK)
        *out = keys;
    else
        keys_destroy(&keys);
    return status;
}

void keys_destroy(struct keys **keys)
{
    sodium_free(*keys); /* wipes it; NULL is fine */
    *keys = NULL;
}

const struct key_entry *keys_named(const struct keys *keys, const char *name)
{
    for (size_t i = 0; i < keys->allowed_count; i++)
        if (strcmp(keys->allowed[i].name, name) == 0)
            return &keys->allowed[i];
    return NULL;
}

const struct key_entry *keys_holding(const struct keys *keys, const uint8_t *public_key)
{
    for (size_t i = 0; i < keys->allowed_count; i++)
        if (memcmp(keys->allowed[i].public_key, public_key, KEY_BYTES) == 0)
            return &keys->allowed[i];
    return NULL;
}
