/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The q35's host bridge: the root bus pcie.0, config cycles, what of the first
 * megabyte is RAM.
 */
#pragma once

#include "hw/pci/pci.h"

/* Config registers of the memory controller hub (00.0) that firmware programs */
#define Q35_MCH_PCIEXBAR    0x60
#define Q35_MCH_PCIEXBAR_EN 1u
#define Q35_MCH_PAM0        0x90 /* to PAM6 at 0x96 */
#define Q35_MCH_PAMS        7

extern const DeviceClass q35_host_class; /* owns the bus; the board creates it */
extern const DeviceClass q35_mch_class;  /* the function 00.0 on it */

/* Before realize: the RAM that is mapped at 0. */
void q35_host_set_ram(Device *host, MemoryRegion *low_ram);
PciBus *q35_host_bus(Device *host);
