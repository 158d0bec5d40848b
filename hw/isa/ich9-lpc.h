/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ICH9's LPC bridge (1f.0): the ISA bus, PCI interrupt routing, power
 * management.
 */
#pragma once

#include "hw/isa/isa.h"
#include "hw/pci/pci.h"

/* Config registers that firmware programs; data sheet 316972, 13.1 */
#define ICH9_LPC_PMBASE    0x40
#define ICH9_LPC_ACPI_CNTL 0x44
#define ICH9_LPC_ACPI_EN   0x80
#define ICH9_LPC_PIRQ_A    0x60 /* to 0x63 */
#define ICH9_LPC_PIRQ_E    0x68 /* to 0x6b */

extern const DeviceClass ich9_lpc_class;

bool ich9_lpc_hotplug_by_acpi(Device *lpc);
/* Whether the properties leave it the sleep state. */
bool ich9_lpc_has_s3(Device *lpc);
bool ich9_lpc_has_s4(Device *lpc);
void ich9_lpc_rtc_alarm(Device *lpc); /* lock held: a wake event, mc146818_set_alarm() */
void ich9_lpc_enable_acpi(Device *lpc); /* as firmware leaves it: SCI_EN.  Main thread */
/* PIRQ (0: A) that pin `pin` (0: INTA) of a function in `slot` of bus 0 drives. */
unsigned ich9_pirq(unsigned slot, unsigned pin);
