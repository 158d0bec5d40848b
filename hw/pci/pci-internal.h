/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of the PCI core; nothing outside hw/pci includes it.
 */
#pragma once

#include "hw/pci/pci.h"

/* ---- msi.c ---- */
void pci_msi_wrote(PciDevice *pci, unsigned offset, unsigned size); /* lock held; after the config bytes changed */
void pci_msi_read(PciDevice *pci, unsigned offset, unsigned size);  /* brings pending bits up to date */
void pci_msi_reset(PciDevice *pci);
bool pci_msi_check(const PciDevice *scratch, GError **error);
void pci_msi_loaded(PciDevice *pci);
void pci_msi_free(PciDevice *pci);
extern const StateDesc pci_msix_state; /* of PciDevice, needed when it has MSI-X */

/* ---- pci-bridge.c ---- */
/* Publishes the windows of a bridge: inside memory_begin() and memory_commit(). */
void pci_bridge_update_windows(PciDevice *pci);
PciBus *pci_bridge_secondary(PciDevice *pci);
bool pci_bridge_is_open(PciDevice *pci); /* what is behind it can be reached.  Any thread */
void pci_bridge_control_wrote(PciDevice *pci, uint8_t old); /* lock held; not after a load */

/* ---- pci-bus.c ---- */
void pci_bus_connect_pin(PciDevice *pci);
void pci_bus_disconnect_pin(PciDevice *pci);

/* ---- pci.c ---- */
void pci_seal(PciDevice *pci); /* realize is over: what it left are the reset values */
void pci_update_intx(PciDevice *pci); /* any thread */
uint32_t pci_config_read(PciDevice *pci, unsigned offset, unsigned size); /* lock held */
void pci_config_write(PciDevice *pci, unsigned offset, uint32_t value, unsigned size);

static inline bool pci_touches(unsigned offset, unsigned size, unsigned at, unsigned length)
{
    return offset < at + length && at < offset + size;
}
