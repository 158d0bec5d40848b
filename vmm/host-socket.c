/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's stream sockets.  A local name is a path of the file system, or
 * "@NAME" in Linux' abstract namespace.  Any thread; connecting may block, to each
 * address for CONNECT_S, and so may looking names up.
 */
#include "vmm/host.h"

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host-dgram.h"
#include "vmm/sandbox.h"

#define LISTEN_BACKLOG 128 /* clients that wait for their turn on a chardev */
#define CONNECT_S      10  /* who waits for an answer longer waits for nobody; the domain's end waits for it, too */

static bool unix_address(const char *path, struct sockaddr_un *ret, socklen_t *ret_length, GError **error)
{
    size_t length = strlen(path);
    bool abstract = path[0] == '@';

    if (length < 1 || (abstract && length < 2)) {
        return error_set(error, "the name of a socket is empty");
    }
    if (length + !abstract > sizeof(ret->sun_path)) {
        error_set(error, "the socket name '%s' is longer than %zu bytes", path, sizeof(ret->sun_path) - 1);
        return error_hint(error, "Use a shorter path.");
    }
    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    memcpy(ret->sun_path, path, length);
    if (abstract) {
        ret->sun_path[0] = '\0';
    }
    *ret_length = offsetof(struct sockaddr_un, sun_path) + length + !abstract;
    return true;
}

static int new_unix_socket(const char *path, int type, GError **error)
{
    int fd;

    if (!sandbox_check_opening(path, error)) {
        return -1;
    }
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        error_set_errno(error, errno, "cannot make a socket for '%s'", path);
    }
    return fd;
}

/* Nobody listens there any more: a process that died left its name behind. */
static bool is_dead(const char *path, int type, const struct sockaddr_un *address, socklen_t length)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;
    bool dead;

    if (fd < 0) {
        return false;
    }
    dead = lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && connect(fd, (const struct sockaddr *)address, length) < 0
        && errno == ECONNREFUSED;
    close(fd);
    return dead;
}

/* 0600; in the place of a socket that nobody serves any more. */
static int bind_unix(int fd, const char *path, int type, const struct sockaddr_un *address, socklen_t length)
{
    int err;

    fchmod(fd, 0600); /* Linux gives the file the mode of the unbound socket */
    err = bind(fd, (const struct sockaddr *)address, length) < 0 ? errno : 0;
    if (err == EADDRINUSE && path[0] != '@' && is_dead(path, type, address, length)) {
        unlink(path);
        err = bind(fd, (const struct sockaddr *)address, length) < 0 ? errno : 0;
    }
    return err;
}

/* A limit of sending is one of connecting as well (socket(7)).  Returns errno, or 0. */
static int connect_in_time(int fd, const struct sockaddr *address, socklen_t length)
{
    const struct timeval limit = { .tv_sec = CONNECT_S }, none = { 0 };
    int err;

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    err = connect(fd, address, length) < 0 ? errno : 0;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
    return err == EINPROGRESS || err == EAGAIN ? ETIMEDOUT : err;
}

/* What helps where a local name cannot be taken. */
static void name_refused(int err, GError **error)
{
    if (err == EADDRINUSE) {
        error_hint(error, "Another process listens there, or it is not a socket: choose another path or remove it.");
    } else if (err == ENOENT) {
        error_hint(error, "Make its folder first, or check the path.");
    } else if (err == EACCES) {
        error_hint(error, "Check that this user may write to its folder.");
    }
}

int host_listen_unix(const char *path, GError **error)
{
    struct sockaddr_un address;
    socklen_t length;
    int fd, err;

    if (!unix_address(path, &address, &length, error)) {
        return -1;
    }
    fd = new_unix_socket(path, SOCK_STREAM, error);
    if (fd < 0) {
        return -1;
    }
    err = bind_unix(fd, path, SOCK_STREAM, &address, length);
    if (!err && listen(fd, LISTEN_BACKLOG) < 0) {
        err = errno;
    }
    if (err) {
        error_set_errno(error, err, "cannot listen on '%s'", path);
        name_refused(err, error);
        close(fd);
        return -1;
    }
    return fd;
}

int host_connect_unix(const char *path, GError **error)
{
    struct sockaddr_un address;
    socklen_t length;
    int fd, err;

    if (!unix_address(path, &address, &length, error)) {
        return -1;
    }
    fd = new_unix_socket(path, SOCK_STREAM, error);
    err = fd < 0 ? 0 : connect_in_time(fd, (struct sockaddr *)&address, length);
    if (err) {
        error_set_errno(error, err, "cannot connect to '%s'", path);
        close(fd);
        return -1;
    }
    return fd;
}

int host_dgram_unix(const char *local, const char *remote, HostAddress *ret, GError **error)
{
    struct sockaddr_un address;
    socklen_t length;
    int fd, err;

    *ret = (HostAddress) { .length = 0 };
    if (remote) {
        if (!unix_address(remote, &address, &length, error)) {
            return -1;
        }
        memcpy(&ret->address, &address, sizeof(address));
        ret->length = length;
    }
    if (!unix_address(local, &address, &length, error)) {
        return -1;
    }
    fd = new_unix_socket(local, SOCK_DGRAM, error);
    err = fd < 0 ? 0 : bind_unix(fd, local, SOCK_DGRAM, &address, length);
    if (err) {
        error_set_errno(error, err, "cannot make the socket '%s'", local);
        name_refused(err, error);
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- TCP and UDP ---- */

/* getaddrinfo() cuts a number that is too large. */
static bool check_port(const char *port, GError **error)
{
    bool number = *port && !port[strspn(port, "0123456789")];

    return !number || g_ascii_string_to_unsigned(port, 10, 0, UINT16_MAX, NULL, NULL) ||
           error_set(error, "there is no port '%s'; they go up to %d", port, UINT16_MAX);
}

static struct addrinfo *look_up(const char *host, const char *port, bool ipv4, bool ipv6, int type, int flags,
                                GError **error)
{
    struct addrinfo hints = {
        .ai_socktype = type,
        .ai_family = ipv4 == ipv6 ? AF_UNSPEC : ipv4 ? AF_INET : AF_INET6,
        .ai_flags = flags,
    };
    g_autofree char *name = g_strdup_printf("%s:%s", host ? host : "", port);
    struct addrinfo *found = NULL;
    int err;

    if (!sandbox_check_opening(name, error) || !check_port(port, error)) {
        return NULL;
    }
    err = getaddrinfo(host && *host ? host : NULL, port, &hints, &found);
    if (err) {
        error_set(error, "cannot find the address '%s': %s", name, gai_strerror(err));
        return NULL;
    }
    return found;
}

static int listen_at(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    int on = 1, err;

    if (fd < 0) {
        return -errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0) {
        return fd;
    }
    err = errno;
    close(fd);
    return -err;
}

static int connect_to(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    int err;

    if (fd < 0) {
        return -errno;
    }
    err = connect_in_time(fd, a->ai_addr, a->ai_addrlen);
    if (!err) {
        return fd;
    }
    close(fd);
    return -err;
}

/* The first address that works. */
static int first_of(struct addrinfo *list, int (*try)(const struct addrinfo *))
{
    int fd = -EADDRNOTAVAIL;

    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = try(a);
    }
    freeaddrinfo(list);
    return fd;
}

/* Why nobody can be heard there, and what helps. */
static int port_refused(int err, const char *what, const char *host, const char *port, GError **error)
{
    error_set_errno(error, err, "cannot %s '%s:%s'", what, host ? host : "", port);
    switch (-err) {
    case EADDRINUSE:
        error_hint(error, "Another process has that port: choose another, or end that process.");
        break;
    case EACCES:
        error_hint(error, "Use a port from 1024 on.");
        break;
    case EADDRNOTAVAIL:
        error_hint(error, "No interface of this host has that address: see ip address.");
        break;
    default:
        break;
    }
    return -1;
}

int host_listen_tcp(const char *host, const char *port, bool ipv4, bool ipv6, GError **error)
{
    struct addrinfo *list = look_up(host, port, ipv4, ipv6, SOCK_STREAM, AI_PASSIVE, error);
    int fd;

    if (!list) {
        return -1;
    }
    fd = first_of(list, listen_at);
    return fd < 0 ? port_refused(fd, "listen on", host, port, error) : fd;
}

int host_connect_tcp(const char *host, const char *port, bool ipv4, bool ipv6, GError **error)
{
    struct addrinfo *list = look_up(host, port, ipv4, ipv6, SOCK_STREAM, 0, error);
    int fd;

    if (!list) {
        return -1;
    }
    fd = first_of(list, connect_to);
    if (fd < 0) {
        error_set_errno(error, fd, "cannot connect to '%s:%s'", host ? host : "", port);
        return -1;
    }
    return fd;
}

static int bind_to(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    int err;

    if (fd >= 0 && bind(fd, a->ai_addr, a->ai_addrlen) == 0) {
        return fd;
    }
    err = errno;
    if (fd >= 0) {
        close(fd);
    }
    return -err;
}

int host_dgram_inet(const HostPort *local, const HostPort *remote, HostAddress *ret, GError **error)
{
    struct addrinfo *list = NULL;
    int fd;

    *ret = (HostAddress) { .length = 0 };
    if (remote) {
        list = look_up(remote->host, remote->port, remote->ipv4, remote->ipv6, SOCK_DGRAM, 0, error);
        if (!list) {
            return -1;
        }
        memcpy(&ret->address, list->ai_addr, list->ai_addrlen);
        ret->length = list->ai_addrlen;
        freeaddrinfo(list);
    }
    list = look_up(local->host, local->port, local->ipv4, local->ipv6, SOCK_DGRAM, AI_PASSIVE, error);
    if (!list) {
        return -1;
    }
    fd = first_of(list, bind_to);
    return fd < 0 ? port_refused(fd, "use UDP port", local->host, local->port, error) : fd;
}
