/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor commands that plug and unplug devices, and what is told about it.
 */
#pragma once

#include "vmm/command.h"
#include "vmm/device.h"
#include "vmm/event.h"

extern const Command device_commands[];
extern const EventType event_device_deleted, event_device_unplug_guest_error;

/* The device is gone, and with it every link it held.  Main thread. */
void device_emit_deleted(const Device *dev);
