/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor commands on backends and NICs, and what is told about them.
 */
#pragma once

#include "net/netdev-options.h"
#include "vmm/command.h"
#include "vmm/event.h"

extern const Command net_commands[];
extern const EventType event_nic_rx_filter_changed, event_netdev_stream_connected, event_netdev_stream_disconnected;

/* A stream's peer came, or went. */
void net_stream_connected(NetBackend *b, const SocketAddress *address);
void net_stream_disconnected(NetBackend *b);

void net_info(Domain *domain, GString *out); /* `info network` */
