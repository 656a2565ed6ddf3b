/* Keys of the cluster's members, Curve25519, in one directory of each machine:
 *
 *   NAME.secret   "graft-secret-1 NAME PUBLIC SECRET" in hexadecimal, mode 0600; a member of a role
 *                 uses ROLE.secret, whatever NAME stands inside
 *   allowed       "NAME PUBLIC" a line: who may connect, and whom a connecting member believes
 *
 * A key on the list is trusted fully. The list is read once, at the start. */
#ifndef GRAFT_COMMON_NET_KEYS_H
#define GRAFT_COMMON_NET_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

#define KEY_BYTES 32
#define KEY_NAME_BYTES 32
#define KEYS_MAX 1024

struct key_entry {
    char name[KEY_NAME_BYTES];
    uint8_t public_key[KEY_BYTES];
};

struct keys {
    struct key_entry own;
    uint8_t secret[KEY_BYTES];
    struct key_entry allowed[KEYS_MAX];
    size_t allowed_count;
};

/* Makes NAME.secret and adds NAME to the list (the directory is made, 0700, if missing). Errors:
 * ERR_INPUT for a name that is none; ERR_STATE when there is such a key already. */
enum status keys_make(const char *directory, const char *name, struct error *err) MUST_CHECK;

/* Reads ROLE.secret and the list. Errors: ERR_INPUT when a file is broken, when others may read the
 * secret, or when its own key is not on the list. */
enum status keys_load(const char *directory, const char *role, struct keys **out,
                      struct error *err) MUST_CHECK;
/* Wipes the secret. */
void keys_destroy(struct keys **keys);

/* By name, by key; NULL when it is not on the list. */
const struct key_entry *keys_named(const struct keys *keys, const char *name);
const struct key_entry *keys_holding(const struct keys *keys, const uint8_t *public_key);

#endif
