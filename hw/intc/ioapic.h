/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "ioapic": the I/O APIC of a PC, 24 pins.
 */
#pragma once

#include "vmm/device.h"

#define IOAPIC_ADDRESS UINT64_C(0xfec00000)
#define IOAPIC_WINDOW  0x1000

extern const DeviceClass ioapic_class;

/* Pins 0 to 23 (IrqSink).  The chip connects itself to the GSIs. */
void ioapic_set_input(void *opaque, unsigned pin, bool level);
/* A CPU ended the service of a vector: AccelClass.set_eoi_handler.  Any thread. */
void ioapic_eoi(void *opaque, uint8_t vector);
