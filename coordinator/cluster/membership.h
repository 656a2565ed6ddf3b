/* Who is in the cluster. Members come by HELLO, are ready after READY, and are dead after too long
 * a silence (or when their process is known to have ended). Each change makes the membership
 * `changed`, and the controller then makes the next view. Pure: time comes with the calls. */
#ifndef GRAFT_COORDINATOR_CLUSTER_MEMBERSHIP_H
#define GRAFT_COORDINATOR_CLUSTER_MEMBERSHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire/message.h"

#define MEMBERSHIP_MAX 4096 /* of a run, the dead among them */
#define MEMBERSHIP_SLOTS ((size_t)2 * MEMBERSHIP_MAX)

enum member_state {
    MEMBER_JOINED,
    MEMBER_READY,
    MEMBER_LEAVING, /* asked to go: gets nothing new, gives what it has to others */
    MEMBER_LEFT,    /* has given it and was told to stop */
    MEMBER_DEAD,
};

struct cluster_member {
    uint32_t number;      /* counts up, never reused */
    uint64_t incarnation; /* its identity on the sockets; a restarted process is another member */
    enum member_role role;
    enum member_state state;
    uint64_t pid;
    char host[WIRE_TEXT_BYTES];
    char endpoint[WIRE_TEXT_BYTES];
    char platform[WIRE_TEXT_BYTES];
    int64_t heard_ms;
    uint32_t view; /* the newest that a heartbeat of it named */
    struct message_heartbeat progress;
};

struct membership {
    struct cluster_member members[MEMBERSHIP_MAX];
    size_t count;
    uint32_t death_ms;
    uint16_t slots[MEMBERSHIP_SLOTS]; /* by incarnation: number of the member; 0: free */
};

void membership_init(struct membership *membership, uint32_t death_ms);

/* A new member; NULL when the table is full. Saying HELLO again gives the same member. */
struct cluster_member *membership_join(struct membership *membership, uint64_t incarnation,
                                       const struct message_hello *hello, int64_t now_ms);
/* By identity; NULL for strangers and who is gone (they are fenced off). */
struct cluster_member *membership_find(struct membership *membership, uint64_t incarnation);
/* Was it a member once, and is gone? */
bool membership_is_gone(const struct membership *membership, uint64_t incarnation);
/* A living member by process and host; process numbers repeat on other hosts. */
struct cluster_member *membership_by_pid(struct membership *membership, uint64_t pid,
                                         const char *host);

/* Any message counts as life. */
void membership_heard(struct cluster_member *member, int64_t now_ms);

/* The first living member whose silence is too long; NULL when there is none. */
struct cluster_member *membership_silent(struct membership *membership, int64_t now_ms);

/* Members of a role in a state, in order of number; returns how many. */
size_t membership_list(struct membership *membership, enum member_role role,
                       enum member_state state, struct cluster_member **out);
/* Servers that are ready or leaving: those that may hold something. */
size_t membership_serving(struct membership *membership, struct cluster_member **out);

#endif
