/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's datagram sockets: a part of vmm/host.h for those who send to addresses.  Any thread; looking
 * names up may block.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>

typedef struct HostAddress { struct sockaddr_storage address; socklen_t length; } HostAddress;
typedef struct HostPort { const char *host, *port; bool ipv4, ipv6; } HostPort;

/* A socket at `local`, and where it sends to: remote NULL makes ret->length 0.  -1 and error. */
int host_dgram_unix(const char *local, const char *remote, HostAddress *ret, GError **error);
int host_dgram_inet(const HostPort *local, const HostPort *remote, HostAddress *ret, GError **error);
