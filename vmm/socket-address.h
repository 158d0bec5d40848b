/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses of sockets (what QEMU calls SocketAddress): of chardevs, of network backends, of a domain that is to come.
 * Connecting and looking names up may block: any thread, on copies.
 */
#pragma once

#include "vmm/field.h"
#include "vmm/host-dgram.h"

typedef enum SocketAddressKind { SOCKET_ADDRESS_INET, SOCKET_ADDRESS_UNIX, SOCKET_ADDRESS_FD } SocketAddressKind;
typedef struct InetSocketAddress { char *host, *port; bool ipv4, ipv6, has_ipv4, has_ipv6; } InetSocketAddress;
typedef struct UnixSocketAddress { char *path; bool abstract; } UnixSocketAddress;
typedef struct FdSocketAddress { char *str; } FdSocketAddress;
typedef struct SocketAddress {
    int type;
    void *data;
} SocketAddress;
extern const FieldStruct socket_address_struct; /* { "type": "unix", "path": ... } */
/* The same in memory; { "type": "unix", "data": { "path": ... } } */
extern const FieldStruct socket_address_legacy_struct;

SocketAddress socket_address_copy(const SocketAddress *a);
void socket_address_clear(SocketAddress *a);
/* Where a socket is bound to; numbers, not names.  False: it is neither of IP nor local. */
bool socket_address_of(int fd, SocketAddress *ret);
char *socket_address_text(const SocketAddress *a); /* "unix:/p", "host:port", "fd:3" */
/* "HOST:PORT", IPv6 in brackets. */
bool socket_address_parse(const char *text, SocketAddress *ret, GError **error);

/* -1 and error; a passed descriptor is checked for its kind. */
int socket_address_listen(const SocketAddress *a, GError **error);
int socket_address_connect(const SocketAddress *a, GError **error);
int socket_address_dgram(const SocketAddress *local, const SocketAddress *remote, HostAddress *ret, GError **error);
/* The path that listening or binding made is removed. */
void socket_address_unlink(const SocketAddress *a);
