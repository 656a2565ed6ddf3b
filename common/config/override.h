/* Overrides from the command line, "PATH=VALUE", applied to libconfig's tree before it is read. */
#ifndef GRAFT_COMMON_CONFIG_OVERRIDE_H
#define GRAFT_COMMON_CONFIG_OVERRIDE_H

#include <libconfig.h>

#include "common/base/error.h"

/* PATH: names joined by dots; an element of a list is [1], 1, or the value of its "name" key
 * ("stages.[1].epochs", "stages.1.epochs", "stages.adapt.epochs"). Keys and groups that the file
 * lacks are added if the table knows them; list elements are not. VALUE: as in the file; quotes
 * around text may be left out; an array of texts is ["a", "b"]. The text of the override becomes
 * the setting's hook (borrowed: `override` must outlive the tree), by which later errors name it.
 * Ranges are checked when the tree is read. Errors: ERR_INPUT. */
enum status override_apply(config_t *tree, const char *override, struct error *err) MUST_CHECK;

/* The setting that a sentence "PATH: …" speaks of, or the innermost one around it that the tree
 * has (at the least its root). */
const config_setting_t *override_nearest(const config_t *tree, const char *sentence);

#endif
