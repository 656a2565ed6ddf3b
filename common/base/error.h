/* Errors as values.
 *
 * A fallible function returns an enum status and, where the caller should be able to tell a person
 * what happened, takes a `struct error *` that receives ONE sentence: what, where, what to do. The
 * sentence is written once, where the fact is known; callers pass it on untouched; the layer that
 * decides logs it. On failure out-parameters are untouched. `err` may be NULL. Nothing here blocks
 * or allocates.
 */
#ifndef GRAFT_COMMON_BASE_ERROR_H
#define GRAFT_COMMON_BASE_ERROR_H

enum status {
    OK = 0,
    ERR_INPUT,   /* a file, message, key or argument breaks its declared form or limit */
    ERR_MEMORY,  /* the system refused memory */
    ERR_IO,      /* the operating system refused an operation on a file or socket */
    ERR_SUPPORT, /* well-formed, but graft does not do it (an operator, a format) */
    ERR_PEER,    /* a member of the cluster broke the protocol or disappeared */
    ERR_STATE,   /* well-formed, but not now (run directory in use, data changed since the manifest)
                  */
    ERR_STOPPED, /* a person or a deadline ended it */
};

#define ERROR_TEXT_BYTES 512

struct error {
    enum status status;
    char text[ERROR_TEXT_BYTES];
};

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Writes the sentence (cut at the limit) and returns `status`, so that `return error_set(…)` reads
 * well. */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Puts "where: " before the sentence already in `err`; for the one layer that knows the file or
 * member. */
enum status error_prefix(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
