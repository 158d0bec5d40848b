/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI hot plug by ACPI, in the place of each port's own (acpi-pci-hotplug-with-bridge-support): a part of the LPC
 * bridge, under its lock.
 */
#pragma once

#include "hw/pci/pci.h"

#define ACPI_PCI_HOTPLUG_SIZE 12 /* ports */
#define ACPI_PCI_HOTPLUG_GPE  1

typedef struct AcpiPciHotplug {
    /* Configuration */
    PciBus *root;
    uint16_t base; /* first port */
    MemoryRegion region;
    /* Guest state, saved by acpi_pci_hotplug_state; ports of the root bus by device and function */
    uint8_t events[PCI_DEVFN_COUNT];
    uint32_t selected;
} AcpiPciHotplug;

void acpi_pci_hotplug_init(AcpiPciHotplug *h, Device *dev, PciBus *root, uint16_t base);
void acpi_pci_hotplug_reset(AcpiPciHotplug *h);
/* The card of a root port came, or is asked to go; the owner raises the GPE. */
void acpi_pci_hotplug_event(AcpiPciHotplug *h, const PciDevice *port, bool came);
/* The LPC bridge's object, whose scope is open: registers, ports, the GPE's method. */
void acpi_pci_hotplug_aml(const AcpiPciHotplug *h, struct Aml *aml);
extern const StateDesc acpi_pci_hotplug_state;
