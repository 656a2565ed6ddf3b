#include "common/net/lines.h"

#include <string.h>

static size_t position_of(const struct lines *lines, uint64_t incarnation)
{
    size_t i = 0;
    while (i < lines->count && lines->incarnations[i] != incarnation)
        i++;
    return i;
}

struct channel *lines_to(const struct lines *lines, uint64_t incarnation)
{
    size_t i = position_of(lines, incarnation);
    return i < lines->count ? lines->channels[i] : NULL;
}

void lines_close(struct lines *lines)
{
    while (lines->count > 0)
        channel_close(&lines->channels[--lines->count]);
}

/* Takes the line over from the lines before, or connects. */
static enum status follow_one(struct lines *lines, struct lines *before,
                              const struct view_member *server, struct error *err)
{
    size_t old = position_of(before, server->incarnation);
    struct channel **channel = &lines->channels[lines->count];
    enum status status = OK;
    *channel = NULL;
    if (old < before->count) {
        *channel = before->channels[old];
        before->channels[old] = NULL;
    } else if (server->incarnation != lines->identity) {
        status = channel_connect(lines->context, server->endpoint, lines->identity, channel, err);
    }
    if (status == OK)
        lines->incarnations[lines->count++] = server->incarnation;
    return status;
}

enum status lines_follow(struct lines *lines, const struct message_view *view, struct error *err)
{
    struct lines before = *lines;
    enum status status = OK;
    if (view->server_count > LINES_MAX)
        return error_set(err, ERR_PEER, "a view of %zu servers; the limit is %d",
                         view->server_count, LINES_MAX);
    lines->count = 0;
    for (size_t i = 0; status == OK && i < view->server_count; i++)
        status = follow_one(lines, &before, &view->servers[i], err);
    lines_close(&before);
    return status;
}
