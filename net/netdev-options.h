/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of backends as they lie in C: what the language (netdev-options.c) fills in and each
 * backend's open() reads.
 */
#pragma once

#include "net/backend.h"
#include "vmm/socket-address.h"

typedef struct NetString { char *str; } NetString; /* what QMP wraps a listed string in */

typedef struct NetUserOptions {
    bool restricted, ipv4, ipv6, has_ipv4, has_ipv6;
    char *hostname, *net, *ip, *host, *tftp, *tftp_server_name, *bootfile, *dhcpstart, *dns, *domainname;
    char *ipv6_net, *ipv6_prefix, *ipv6_host, *ipv6_dns, *egress, *smb, *smbserver;
    int64_t ipv6_prefixlen;
    bool has_ipv6_prefixlen;
    FieldList dnssearch, hostfwd, guestfwd; /* NetString */
} NetUserOptions;

typedef struct NetHubOptions {
    int32_t hub;
    char *netdev;
} NetHubOptions;

typedef struct NetTapOptions {
    char *ifname, *fd, *fds, *script, *downscript, *br, *helper, *vhostfd, *vhostfds;
    bool vnet_hdr, has_vnet_hdr, has_queues, vhost, has_vhost, vhostforce;
    uint32_t queues;
    uint64_t sndbuf;
} NetTapOptions;

typedef struct NetBridgeOptions { char *br, *helper; } NetBridgeOptions;

typedef struct NetVhostUserOptions {
    char *chardev;
    bool vhostforce, has_queues;
    uint32_t queues;
} NetVhostUserOptions;

typedef struct NetStreamOptions {
    SocketAddress addr;
    bool server;
    uint32_t reconnect; /* s; 0: never */
} NetStreamOptions;

typedef struct NetDgramOptions { SocketAddress *local, *remote; } NetDgramOptions;

typedef struct NetSocketOptions { char *fd, *listen, *connect, *udp, *mcast, *localaddr; } NetSocketOptions;

extern const NetClass net_user_class, net_hubport_class, net_tap_class, net_bridge_class, net_stream_class,
    net_vhost_user_class,    net_dgram_class, net_socket_class, net_socket_dgram_class;
