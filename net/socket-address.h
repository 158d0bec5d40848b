/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses of sockets (what QEMU calls SocketAddress): for stream.c and dgram.c.  Connecting and
 * looking names up may block: any thread, on copies.
 */
#pragma once

#include "net/netdev-options.h"
#include "vmm/host-dgram.h"

NetAddress net_address_copy(const NetAddress *a);
void net_address_clear(NetAddress *a);
char *net_address_text(const NetAddress *a); /* "unix:/p", "tcp:host:port", "fd:3" */
/* "HOST:PORT", IPv6 in brackets. */
bool net_address_parse(const char *text, NetAddress *ret, GError **error);

/* -1 and error; a passed descriptor is checked for its kind. */
int net_address_listen(const NetAddress *a, GError **error);
int net_address_connect(const NetAddress *a, GError **error);
int net_address_dgram(const NetAddress *local, const NetAddress *remote, HostAddress *ret, GError **error);
/* The path that listening or binding made is removed. */
void net_address_unlink(const NetAddress *a);
