/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/socket-address.h.
 */
#include "vmm/socket-address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"

/* ---- their language ---- */

static const FieldStruct inet_address = FIELD_TABLE("InetSocketAddress", InetSocketAddress, "An internet address",
    F_STR("host", InetSocketAddress, host, NULL, .flags = FIELD_REQUIRED, .help = "Host name or address"),
    F_STR("port", InetSocketAddress, port, NULL, .flags = FIELD_REQUIRED, .help = "Port number or service"),
    F_BOOL("ipv4", InetSocketAddress, ipv4, false, FIELD_HAS(InetSocketAddress, has_ipv4), .help = "Use IPv4"),
    F_BOOL("ipv6", InetSocketAddress, ipv6, false, FIELD_HAS(InetSocketAddress, has_ipv6), .help = "Use IPv6"));
static const FieldStruct unix_address = FIELD_TABLE("UnixSocketAddress", UnixSocketAddress, "A local address",
    F_STR("path", UnixSocketAddress, path, NULL, .flags = FIELD_REQUIRED, .help = "Path of the socket"),
    F_BOOL("abstract", UnixSocketAddress, abstract, false, .help = "The path is a name in the abstract namespace"));
static const FieldStruct fd_address = FIELD_TABLE("FdSocketAddress", FdSocketAddress, "A descriptor that was passed",
    F_STR("str", FdSocketAddress, str, NULL, .flags = FIELD_REQUIRED,
          .help = "Name that getfd gave to it, or its number"));

FIELD_DATA(inet_wrapper, "InetSocketAddressWrapper", InetSocketAddress, inet_address, "The address");
FIELD_DATA(unix_wrapper, "UnixSocketAddressWrapper", UnixSocketAddress, unix_address, "The address");
FIELD_DATA(fd_wrapper, "FdSocketAddressWrapper", FdSocketAddress, fd_address, "The address");

static const FieldEnum kinds = { "SocketAddressType", (const char *const[]) { "inet", "unix", "fd", NULL } };
static const Field kind_fields[] = {
    F_ENUM("type", SocketAddress, type, &kinds, 0, .flags = FIELD_REQUIRED, .help = "Kind of address"), FIELD_END
};

#define UNION(NAME, INET, UNIX, FD)                                                                                    \
    {                                                                                                                  \
        .name = NAME, .size = sizeof(SocketAddress), .help = "The address of a socket", .fields = kind_fields,         \
        .tag = "type",                                                                                                 \
        .cases = (const FieldCase[]) { { "inet", &INET }, { "unix", &UNIX }, { "fd", &FD }, { NULL, NULL } },          \
        .variant_offset = offsetof(SocketAddress, data),                                                               \
    }

const FieldStruct socket_address_struct = UNION("SocketAddress", inet_address, unix_address, fd_address);
const FieldStruct socket_address_legacy_struct = UNION("SocketAddressLegacy", inet_wrapper, unix_wrapper, fd_wrapper);

/* ---- addresses as they are ---- */

SocketAddress socket_address_copy(const SocketAddress *a)
{
    SocketAddress copy = { .type = a->type };

    if (a->type == SOCKET_ADDRESS_INET) {
        InetSocketAddress *inet = g_memdup2(a->data, sizeof(*inet));

        inet->host = g_strdup(inet->host);
        inet->port = g_strdup(inet->port);
        copy.data = inet;
    } else if (a->type == SOCKET_ADDRESS_UNIX) {
        UnixSocketAddress *local = g_memdup2(a->data, sizeof(*local));

        local->path = g_strdup(local->path);
        copy.data = local;
    } else {
        FdSocketAddress *fd = g_new(FdSocketAddress, 1);

        fd->str = g_strdup(((const FdSocketAddress *)a->data)->str);
        copy.data = fd;
    }
    return copy;
}

void socket_address_clear(SocketAddress *a)
{
    if (a->data) {
        field_struct_clear(&socket_address_struct, a);
        a->data = NULL;
    }
}

typedef union Name {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un local;
} Name;

static SocketAddress inet_of(int family, const void *address, in_port_t port)
{
    InetSocketAddress *inet = g_new0(InetSocketAddress, 1);
    char text[INET6_ADDRSTRLEN];

    inet->host = g_strdup(inet_ntop(family, address, text, sizeof(text)));
    inet->port = g_strdup_printf("%u", ntohs(port));
    inet->has_ipv4 = inet->ipv4 = family == AF_INET;
    inet->has_ipv6 = inet->ipv6 = family == AF_INET6;
    return (SocketAddress) { SOCKET_ADDRESS_INET, inet };
}

/* An abstract name begins with a NUL, and needs none at its end; nor does a path that fills its place. */
static SocketAddress local_of(const struct sockaddr_un *name, size_t length)
{
    UnixSocketAddress *local = g_new0(UnixSocketAddress, 1);

    local->abstract = length > 0 && !name->sun_path[0];
    local->path = g_strndup(name->sun_path + local->abstract, length - local->abstract);
    return (SocketAddress) { SOCKET_ADDRESS_UNIX, local };
}

bool socket_address_of(int fd, SocketAddress *ret)
{
    socklen_t length = sizeof(Name);
    Name name = { 0 };

    if (getsockname(fd, &name.any, &length) < 0) {
        return false;
    }
    switch (name.any.sa_family) {
    case AF_INET:
        *ret = inet_of(AF_INET, &name.in.sin_addr, name.in.sin_port);
        return true;
    case AF_INET6:
        *ret = inet_of(AF_INET6, &name.in6.sin6_addr, name.in6.sin6_port);
        return true;
    case AF_UNIX:
        *ret = local_of(&name.local, MIN(length, sizeof(name.local)) - offsetof(struct sockaddr_un, sun_path));
        return true;
    default:
        return false;
    }
}

/* host.h knows an abstract name by its '@', so a path that begins with one is spelled out. */
static char *local_name(const UnixSocketAddress *a)
{
    return g_strconcat(a->abstract ? "@" : a->path[0] == '@' ? "./" : "", a->path, NULL);
}

char *socket_address_text(const SocketAddress *a)
{
    const InetSocketAddress *inet = a->data;
    g_autofree char *name = NULL;

    switch (a->type) {
    case SOCKET_ADDRESS_INET:
        return g_strdup_printf("%s:%s", inet->host, inet->port);
    case SOCKET_ADDRESS_UNIX:
        name = local_name(a->data);
        return g_strconcat("unix:", name, NULL);
    default:
        return g_strconcat("fd:", ((const FdSocketAddress *)a->data)->str, NULL);
    }
}

bool socket_address_parse(const char *text, SocketAddress *ret, GError **error)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    InetSocketAddress *inet;

    if (!colon || !colon[1]) {
        error_set(error, "'%s' has no port", text);
        return error_hint(error, "Write HOST:PORT.");
    }
    inet = g_new0(InetSocketAddress, 1);
    inet->host = length >= 2 && text[0] == '[' && text[length - 1] == ']' ? g_strndup(text + 1, length - 2)
                                                                          : g_strndup(text, length);
    inet->port = g_strdup(colon + 1);
    *ret = (SocketAddress) { .type = SOCKET_ADDRESS_INET, .data = inet };
    return true;
}

/* ---- sockets ---- */

static HostPort host_port(const InetSocketAddress *a)
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
static int take_passed(const FdSocketAddress *a, int type, int accepts, GError **error)
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
        error_hint(error, accepts ? "Say server=off if it is connected." : "Say server=on.");
    } else {
        return fd;
    }
    if (!g_ascii_isdigit(a->str[0])) {
        close(fd);
    }
    return -1;
}

int socket_address_listen(const SocketAddress *a, GError **error)
{
    g_autofree char *name = a->type == SOCKET_ADDRESS_UNIX ? local_name(a->data) : NULL;
    HostPort at;

    switch (a->type) {
    case SOCKET_ADDRESS_INET:
        at = host_port(a->data);
        return host_listen_tcp(at.host, at.port, at.ipv4, at.ipv6, error);
    case SOCKET_ADDRESS_UNIX:
        return host_listen_unix(name, error);
    default:
        return take_passed(a->data, SOCK_STREAM, 1, error);
    }
}

int socket_address_connect(const SocketAddress *a, GError **error)
{
    g_autofree char *name = a->type == SOCKET_ADDRESS_UNIX ? local_name(a->data) : NULL;
    HostPort at;

    switch (a->type) {
    case SOCKET_ADDRESS_INET:
        at = host_port(a->data);
        return host_connect_tcp(at.host, at.port, at.ipv4, at.ipv6, error);
    case SOCKET_ADDRESS_UNIX:
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

int socket_address_dgram(const SocketAddress *local, const SocketAddress *remote, HostAddress *ret, GError **error)
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
    if (local->type != SOCKET_ADDRESS_FD && !remote) {
        error_set(error, "'remote' is missing");
        return -1;
    }
    if (local->type == SOCKET_ADDRESS_INET) {
        HostPort here = host_port(local->data), there = host_port(remote->data);

        fd = host_dgram_inet(&here, &there, ret, error);
        if (fd >= 0 && is_multicast(ret)) {
            error_set(error, "'%s' leads to a multicast group", there.host);
            error_hint(error, "It is named by its IPv4 address: socket,mcast=GROUP:PORT or dgram,remote.host=GROUP.");
            close(fd);
            fd = -1;
        }
        return fd;
    }
    if (local->type == SOCKET_ADDRESS_UNIX) {
        g_autofree char *here = local_name(local->data), *there = local_name(remote->data);

        return host_dgram_unix(here, there, ret, error);
    }
    if (remote) {
        error_set(error, "'remote' is not for a passed descriptor, which is connected");
        return -1;
    }
    return take_passed(local->data, SOCK_DGRAM, 0, error);
}

void socket_address_unlink(const SocketAddress *a)
{
    const UnixSocketAddress *local = a->data;

    if (a->type == SOCKET_ADDRESS_UNIX && !local->abstract) {
        unlink(local->path);
    }
}
