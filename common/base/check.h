/* CHECK: what must hold if graft's own code is right. On in release; reports and aborts. Never for
 * bytes that came from outside: those get a status and a sentence (error.h). */
#ifndef GRAFT_COMMON_BASE_CHECK_H
#define GRAFT_COMMON_BASE_CHECK_H

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            check_failed(#condition, __FILE__, __LINE__);                                          \
    } while (0)

_Noreturn void check_failed(const char *condition, const char *file, int line);

#endif
