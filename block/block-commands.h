/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor commands on block nodes and the disks above them, and what is told about them.
 */
#pragma once

#include "block/block.h"
#include "vmm/command.h"
#include "vmm/event.h"

extern const Command block_commands[];
extern const Command block_stats_commands[];
extern const EventType event_block_io_error;

/* A request of this user failed with -errno, and this is done about it: report, ignore or stop.  Any thread. */
void block_io_error_emit(const BlockUser *user, BlockOp op, BlockErrorAction action, int ret);
