#include "coordinator/cluster/membership.h"

#include <stdio.h>
#include <string.h>

void membership_init(struct membership *membership, uint32_t death_ms)
{
    memset(membership, 0, sizeof *membership);
    membership->death_ms = death_ms;
}

/* The first slot from `at` on that holds this incarnation or nothing; linear probing, and there are always free ones. */
static size_t probe(const struct membership *membership, size_t at, uint64_t incarnation)
{
    for (; membership->slots[at] != 0; at = (at + 1) % MEMBERSHIP_SLOTS)
        if (membership->members[membership->slots[at] - 1].incarnation == incarnation)
            break;
    return at;
}

/* Living, or gone? One that came again under its old incarnation has several slots. */
static struct cluster_member *look_up(const struct membership *membership, uint64_t incarnation,
                                      bool gone)
{
    size_t at = probe(membership, incarnation % MEMBERSHIP_SLOTS, incarnation);
    for (; membership->slots[at] != 0;
         at = probe(membership, (at + 1) % MEMBERSHIP_SLOTS, incarnation)) {
        const struct cluster_member *member = &membership->members[membership->slots[at] - 1];
        if ((member->state >= MEMBER_LEFT) == gone)
            return (struct cluster_member *)(uintptr_t)member;
    }
    return NULL;
}

static void add_slot(struct membership *membership, const struct cluster_member *member)
{
    size_t at = member->incarnation % MEMBERSHIP_SLOTS;
    while (membership->slots[at] != 0)
        at = (at + 1) % MEMBERSHIP_SLOTS;
    membership->slots[at] = (uint16_t)member->number;
}

struct cluster_member *membership_join(struct membership *membership, uint64_t incarnation,
                                       const struct message_hello *hello, int64_t now_ms)
{
    struct cluster_member *member = membership_find(membership, incarnation);
    if (member != NULL)
        return member;
    if (membership->count == MEMBERSHIP_MAX)
        return NULL;
    member = &membership->members[membership->count++];
    *member = (struct cluster_member){
        .number = (uint32_t)membership->count,
        .incarnation = incarnation,
        .role = (enum member_role)hello->role,
        .state = MEMBER_JOINED,
        .pid = hello->pid,
        .heard_ms = now_ms,
    };
    snprintf(member->host, sizeof member->host, "%s", hello->host);
    snprintf(member->endpoint, sizeof member->endpoint, "%s", hello->endpoint);
    snprintf(member->platform, sizeof member->platform, "%s", hello->platform);
    add_slot(membership, member);
    return member;
}

struct cluster_member *membership_find(struct membership *membership, uint64_t incarnation)
{
    return look_up(membership, incarnation, false);
}

bool membership_is_gone(const struct membership *membership, uint64_t incarnation)
{
    return look_up(membership, incarnation, true) != NULL;
}

struct cluster_member *membership_by_pid(struct membership *membership, uint64_t pid,
                                         const char *host)
{
    for (size_t i = 0; i < membership->count; i++)
        if (membership->members[i].pid == pid && strcmp(membership->members[i].host, host) == 0 &&
            membership->members[i].state < MEMBER_LEFT)
            return &membership->members[i];
    return NULL;
}

void membership_heard(struct cluster_member *member, int64_t now_ms)
{
    member->heard_ms = now_ms;
}

struct cluster_member *membership_silent(struct membership *membership, int64_t now_ms)
{
    for (size_t i = 0; i < membership->count; i++) {
        struct cluster_member *member = &membership->members[i];
        if (member->state < MEMBER_LEFT && now_ms - member->heard_ms > membership->death_ms)
            return member;
    }
    return NULL;
}

size_t membership_list(struct membership *membership, enum member_role role,
                       enum member_state state, struct cluster_member **out)
{
    size_t count = 0;
    for (size_t i = 0; i < membership->count; i++)
        if (membership->members[i].role == role && membership->members[i].state == state)
            out[count++] = &membership->members[i];
    return count;
}

size_t membership_serving(struct membership *membership, struct cluster_member **out)
{
    size_t count = 0;
    for (size_t i = 0; i < membership->count; i++) {
        struct cluster_member *member = &membership->members[i];
        if (member->role == ROLE_SERVER &&
            (member->state == MEMBER_READY || member->state == MEMBER_LEAVING))
            out[count++] = member;
    }
    return count;
}
