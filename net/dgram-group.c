/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See net/dgram-group.h.  RFC 1112; ip(7).  A socket bound to the group hears everybody, on this host too, and so what
 * we send ourselves: that goes out by a second socket, whose port nobody else has, and is known by it.
 */
#include "net/dgram-group.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/sandbox.h"

static bool parse(const char *host, struct in_addr *ret)
{
    return host && inet_pton(AF_INET, host, ret) == 1;
}

bool net_group_is(const char *host)
{
    struct in_addr address;

    return parse(host, &address) && IN_MULTICAST(ntohl(address.s_addr));
}

static int new_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Several processes of a host may be in one group.  Unless told, a socket bound to the group hears what came by any
 * interface at which somebody else has joined it. */
static bool join(int fd, const struct sockaddr_in *group, struct in_addr interface)
{
    const struct ip_mreqn member = { .imr_multiaddr = group->sin_addr, .imr_address = interface };
    const int on = 1, off = 0;

    return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
           setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off)) == 0 &&
           bind(fd, (const struct sockaddr *)group, sizeof(*group)) == 0 &&
           setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof(member)) == 0;
}

static bool aim(int fd, const struct sockaddr_in *group, struct in_addr interface, struct sockaddr_in *ret_own)
{
    const struct ip_mreqn from = { .imr_address = interface };
    const int on = 1;
    socklen_t length = sizeof(*ret_own);

    return fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof(on)) == 0 &&
           (!interface.s_addr || setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &from, sizeof(from)) == 0) &&
           connect(fd, (const struct sockaddr *)group, sizeof(*group)) == 0 &&
           getsockname(fd, (struct sockaddr *)ret_own, &length) == 0;
}

static void close_one(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

bool net_group_open(const char *host, const char *port, const char *interface, NetGroup *ret, GError **error)
{
    struct sockaddr_in group = { .sin_family = AF_INET };
    struct in_addr by = { .s_addr = INADDR_ANY };
    guint64 number;
    int err;

    if (!net_group_is(host)) {
        error_set(error, "'%s' is no multicast group", host);
        return error_hint(error, "Groups are 224.0.0.0 to 239.255.255.255, for example 230.0.0.1.");
    }
    if (!g_ascii_string_to_unsigned(port, 10, 1, UINT16_MAX, &number, NULL)) {
        return error_set(error, "'%s' is no port", port);
    }
    if (!sandbox_check_opening(host, error)) {
        return false;
    }
    if (interface && !parse(interface, &by)) {
        return error_set(error, "'%s' is no IPv4 address of an interface", interface);
    }
    parse(host, &group.sin_addr);
    group.sin_port = htons((uint16_t)number);
    ret->in = new_socket();
    ret->out = new_socket();
    if (join(ret->in, &group, by) && aim(ret->out, &group, by, &ret->own)) {
        return true;
    }
    err = errno;
    close_one(ret->in);
    close_one(ret->out);
    error_set_errno(error, err, "cannot join the multicast group '%s:%s'", host, port);
    if (!interface && (err == ENODEV || err == ENETUNREACH)) {
        error_hint(error, "Name by localaddr (or local.host) the address of the interface that leads there.");
    }
    return false;
}
