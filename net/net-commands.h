/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor commands on backends and NICs, and what is told about them.
 */
#pragma once

#include "net/net.h"
#include "vmm/command.h"
#include "vmm/event.h"

extern const Command net_commands[];
extern const EventType event_nic_rx_filter_changed;

void net_info(Domain *domain, GString *out); /* `info network` */
