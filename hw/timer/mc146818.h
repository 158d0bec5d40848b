/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "mc146818rtc": the real-time clock of a PC and its battery-backed memory.
 */
#pragma once

#include "vmm/command.h"
#include "vmm/device.h"
#include "vmm/event.h"

extern const DeviceClass mc146818_class;
extern const EventType event_rtc_change;
extern const Command mc146818_commands[];

/* ---- main thread, before the guest runs ---- */
/* What a PC's firmware reads of the memory's size: CMOS 0x15-0x18, 0x30-0x35, 0x5b-0x5d. */
void mc146818_set_memory(Device *dev, uint64_t below_4g, uint64_t above_4g);
/* An alarm whose interrupt is enabled is also posted as fn(listener). */
void mc146818_set_alarm(Device *dev, Device *listener, void (*fn)(Device *listener));
void mc146818_set_nvram(Device *dev, unsigned index, uint8_t value); /* 0x0e to 0x7f */
void mc146818_forget_lost_ticks(Device *dev);
