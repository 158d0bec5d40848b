/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See net/socket-address.h.
 */
#include "net/socket-address.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"

NetAddress net_address_copy(const NetAddress *a)
{
    NetAddress copy = { .type = a->type };

    if (a->type == NET_ADDRESS_INET) {
        NetInetAddress *inet = g_memdup2(a->data, sizeof(*inet));

        inet->host = g_strdup(inet->host);
        inet->port = g_strdup(inet->port);
        copy.data = inet;
    } else if (a->type == NET_ADDRESS_UNIX) {
        NetUnixAddress *local = g_memdup2(a->data, sizeof(*local));

        local->path = g_strdup(local->path);
        copy.data = local;
    } else {
        NetFdAddress *fd = g_new(NetFdAddress, 1);

        fd->str = g_strdup(((const NetFdAddress *)a->data)->str);
        copy.data = fd;
    }
    return copy;
}

void net_address_clear(NetAddress *a)
{
    if (a->data) {
        field_struct_clear(&net_address_struct, a);
        a->data = NULL;
    }
}

/* host.h knows an abstract name by its '@', so a path that begins with one is spelled out. */
static char *local_name(const NetUnixAddress *a)
{
    return g_strconcat(a->abstract ? "@" : a->path[0] == '@' ? "./" : "", a->path, NULL);
}

char *net_address_text(const NetAddress *a)
{
    const NetInetAddress *inet = a->data;

    switch (a->type) {
    case NET_ADDRESS_INET:
        return g_strdup_printf("%s:%s", inet->host, inet->port);
    case NET_ADDRESS_UNIX:
        return g_strconcat("unix:", ((const NetUnixAddress *)a->data)->path, NULL);
    default:
        return g_strconcat("fd:", ((const NetFdAddress *)a->data)->str, NULL);
    }
}

bool net_address_parse(const char *text, NetAddress *ret, GError **error)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    NetInetAddress *inet;

    if (!colon || !colon[1]) {
        error_set(error, "'%s' has no port", text);
        return error_hint(error, "Write HOST:PORT.");
    }
    inet = g_new0(NetInetAddress, 1);
    inet->host = length >= 2 && text[0] == '[' && text[length - 1] == ']' ? g_strndup(text + 1, length - 2)
                                                                          : g_strndup(text, length);
    inet->port = g_strdup(colon + 1);
    *ret = (NetAddress) { .type = NET_ADDRESS_INET, .data = inet };
    return true;
}

static HostPort host_port(const NetInetAddress *a)
{
    return (HostPort) { a->host, a->port, a->has_ipv4 ? a->ipv4 : !(a->has_ipv6 && a->ipv6),
                        a->has_ipv6 ? a->ipv6 : !(a->has_ipv4 && a->ipv4) };
}

static int socket_option(int fd, int name)
{
    socklen_t length = sizeof(int);
    int value = -1;

    return getsockopt(fd, SOL_SOCKET, name, &value, &length) < 0 ? -1 : value;
}

/* One by number may be anybody's: it is not closed if it is refused. */
static int take_passed(const NetFdAddress *a, int type, int accepts, GError **error)
{
    int fd = host_passed_fd(a->str, error);

    if (fd < 0) {
        return -1;
    }
    if (socket_option(fd, SO_TYPE) != type) {
        error_set(error, "descriptor '%s' is no %s socket", a->str, type == SOCK_STREAM ? "stream" : "datagram");
    } else if (type == SOCK_STREAM && socket_option(fd, SO_ACCEPTCONN) != accepts) {
        error_set(error, accepts ? "the socket '%s' does not listen" : "the socket '%s' listens, it is not connected",
                  a->str);
        error_hint(error, accepts ? "Leave server=on out." : "Say server=on.");
    } else {
        return fd;
    }
    if (!g_ascii_isdigit(a->str[0])) {
        close(fd);
    }
    return -1;
}

int net_address_listen(const NetAddress *a, GError **error)
{
    g_autofree char *name = a->type == NET_ADDRESS_UNIX ? local_name(a->data) : NULL;
    HostPort at;

    switch (a->type) {
    case NET_ADDRESS_INET:
        at = host_port(a->data);
        return host_listen_tcp(at.host, at.port, at.ipv4, at.ipv6, error);
    case NET_ADDRESS_UNIX:
        return host_listen_unix(name, error);
    default:
        return take_passed(a->data, SOCK_STREAM, 1, error);
    }
}

int net_address_connect(const NetAddress *a, GError **error)
{
    g_autofree char *name = a->type == NET_ADDRESS_UNIX ? local_name(a->data) : NULL;
    HostPort at;

    switch (a->type) {
    case NET_ADDRESS_INET:
        at = host_port(a->data);
        return host_connect_tcp(at.host, at.port, at.ipv4, at.ipv6, error);
    case NET_ADDRESS_UNIX:
        return host_connect_unix(name, error);
    default:
        return take_passed(a->data, SOCK_STREAM, 0, error);
    }
}

static bool is_multicast(const HostAddress *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->address;

    return a->address.ss_family == AF_INET ? IN_MULTICAST(ntohl(in->sin_addr.s_addr))
                                           : a->address.ss_family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&in6->sin6_addr);
}

int net_address_dgram(const NetAddress *local, const NetAddress *remote, HostAddress *ret, GError **error)
{
    int fd;

    *ret = (HostAddress) { .length = 0 };
    if (!local) {
        error_set(error, "'local' is missing");
        error_hint(error, "Say where it receives, or pass a descriptor: local.type=fd,local.str=FD.");
        return -1;
    }
    if (remote && remote->type != local->type) {
        error_set(error, "local and remote are addresses of different kinds");
        return -1;
    }
    if (local->type != NET_ADDRESS_FD && !remote) {
        error_set(error, "'remote' is missing");
        return -1;
    }
    if (local->type == NET_ADDRESS_INET) {
        HostPort here = host_port(local->data), there = host_port(remote->data);

        fd = host_dgram_inet(&here, &there, ret, error);
        if (fd >= 0 && is_multicast(ret)) {
            error_set(error, "a multicast group is not supported");
            close(fd);
            fd = -1;
        }
        return fd;
    }
    if (local->type == NET_ADDRESS_UNIX) {
        g_autofree char *here = local_name(local->data), *there = local_name(remote->data);

        return host_dgram_unix(here, there, ret, error);
    }
    if (remote) {
        error_set(error, "'remote' is not for a passed descriptor, which is connected");
        return -1;
    }
    return take_passed(local->data, SOCK_DGRAM, 0, error);
}

void net_address_unlink(const NetAddress *a)
{
    const NetUnixAddress *local = a->data;

    if (a->type == NET_ADDRESS_UNIX && !local->abstract) {
        unlink(local->path);
    }
}
