/* One value between libconfig's tree and struct job: reading by the rules of its key, and the one
 * place that writes errors about a key. */
#ifndef GRAFT_COMMON_CONFIG_KEY_VALUE_H
#define GRAFT_COMMON_CONFIG_KEY_VALUE_H

#include <libconfig.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/config/key_table.h"

/* "FILE:LINE: sentence", or "override 'PATH=VALUE': sentence" when `at` or a group above it carries
 * an override's text as its hook. Returns ERR_INPUT. */
enum status key_value_error(struct error *err, const char *file, const config_setting_t *at,
                            const char *format, ...) PRINTF_LIKE(4, 5);

/* Parses "VALUE" as libconfig would after "v = " into `scratch` (initialised here; the caller
 * destroys it on OK only) and returns the setting. Errors: ERR_INPUT when it isn't exactly one
 * value. */
enum status key_value_parse(const char *text, config_t *scratch, config_setting_t **value,
                            struct error *err) MUST_CHECK;

/* Checks `setting` against `key` (no group or list) and stores it into the struct at `base`.
 * `shown` is the path for errors. Memory belongs to `job`. Errors: ERR_INPUT, ERR_MEMORY. */
enum status key_value_read(struct job *job, const char *file, const struct key *key,
                           const char *shown, const config_setting_t *setting, void *base,
                           struct error *err) MUST_CHECK;

/* Address of the value and of the count of `key` in the struct at `base`. */
void *key_value_at(const struct key *key, void *base);
size_t *key_value_count(const struct key *key, void *base);

#endif
