#define _DEFAULT_SOURCE /* S_IFMT, lstat */
#include "common/net/endpoint.h"

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TCP "tcp://"
#define IPC "ipc://"
#define PATH_LIMIT sizeof(((struct sockaddr_un *)0)->sun_path) /* with its zero */
#define SWEEP_MAX 4096
/* A younger socket that does not answer may be one that is being made. */
#define STALE_SECONDS 60

enum status endpoint_read(const char *text, struct endpoint *out, struct error *err)
{
    struct endpoint got = {0};
    size_t length = strcspn(text, ",");
    if (strncmp(text, TCP, strlen(TCP)) != 0 || length >= sizeof got.tcp)
        return error_set(err, ERR_INPUT, "'%.80s' is no endpoint; expected tcp://HOST:PORT", text);
    memcpy(got.tcp, text, length);
    for (const char *at = text + length; *at == ','; at += length) {
        bool path = strncmp(++at, IPC, strlen(IPC)) == 0;
        char *to = path ? got.path : got.name;
        at += path ? strlen(IPC) : 0;
        length = strcspn(at, ",");
        if (length == 0 || length >= (path ? PATH_LIMIT : sizeof got.name) || to[0] != '\0')
            return error_set(
                err, ERR_INPUT,
                "'%.120s' is no endpoint; expected tcp://HOST:PORT[,ipc://PATH][,NAME]", text);
        memcpy(to, at, length);
    }
    *out = got;
    return OK;
}

static size_t add(char out[WIRE_TEXT_BYTES], size_t used, const char *prefix, const char *text)
{
    if (text[0] == '\0')
        return used;
    return used + (size_t)snprintf(out + used, WIRE_TEXT_BYTES - used, "%s%s", prefix, text);
}

void endpoint_write(const struct endpoint *endpoint, char out[WIRE_TEXT_BYTES])
{
    size_t fixed = strlen(endpoint->tcp) + 1 + strlen(endpoint->name);
    size_t used = (size_t)snprintf(out, WIRE_TEXT_BYTES, "%s", endpoint->tcp);
    if (fixed + strlen("," IPC) + strlen(endpoint->path) < WIRE_TEXT_BYTES)
        used = add(out, used, "," IPC, endpoint->path);
    add(out, used, ",", endpoint->name);
}

void endpoint_forget_path(char text[WIRE_TEXT_BYTES])
{
    struct endpoint endpoint;
    if (endpoint_read(text, &endpoint, NULL) != OK)
        return;
    endpoint.path[0] = '\0';
    endpoint_write(&endpoint, text);
}

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int reason = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    return reason;
}

bool endpoint_answers(const char *path)
{
    int reason = dial(path);
    return reason == 0 || reason == EAGAIN; /* its backlog is full: it is alive */
}

static void sweep(const char *directory)
{
    DIR *list = opendir(directory);
    struct dirent *entry;
    for (int i = 0; list != NULL && i < SWEEP_MAX && (entry = readdir(list)) != NULL; i++) {
        char path[PATH_LIMIT];
        struct stat info;
        int length = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (length < 0 || (size_t)length >= sizeof path || lstat(path, &info) != 0 ||
            !S_ISSOCK(info.st_mode) || time(NULL) - info.st_mtime < STALE_SECONDS)
            continue;
        if (dial(path) == ECONNREFUSED)
            unlink(path);
    }
    if (list != NULL)
        closedir(list);
}

bool endpoint_new_path(char out[WIRE_TEXT_BYTES], const char **why)
{
    char directory[64];
    struct stat info;
    snprintf(directory, sizeof directory, "/tmp/graft-%u", (unsigned)geteuid());
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        *why = strerror(errno);
        return false;
    }
    if (lstat(directory, &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid() ||
        (info.st_mode & 077) != 0) {
        *why = "/tmp/graft-UID is not this user's own directory of mode 0700";
        return false;
    }
    sweep(directory);
    uint64_t number;
    randombytes_buf(&number, sizeof number);
    snprintf(out, WIRE_TEXT_BYTES, "%s/%d-%016llx", directory, (int)getpid(),
             (unsigned long long)number);
    return true;
}
