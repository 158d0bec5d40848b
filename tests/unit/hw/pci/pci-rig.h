/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain with the q35's root bus, an accelerator of its own that records messages
 * and whose routes change only when they are committed, and a PCI function to try
 * things on.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hw/pci/pci.h"
#include "vmm/accel.h"
#include "vmm/domain.h"

#define RIG_MESSAGES 64

typedef struct PciRig {
    Domain *domain;
    Device *host;
    PciBus *bus; /* pcie.0 */
    /* What the fabric was given. */
    MsiMessage message[RIG_MESSAGES];
    unsigned messages;
    bool gsi[IRQ_GSIS];
} PciRig;

int pci_rig_setup(void **state); /* cmocka's */
int pci_rig_teardown(void **state);

/*
 * "pci-test": BAR 0 4 KiB of memory that reads as 0x5a, BAR 1 16 ports that read as 0xa5, BAR 2 a prefetchable 64-bit
 * BAR of 1 MiB, BAR 4 MSI-X with 4 vectors; MSI with 4 maskable vectors; INTA; PCIe and PM capabilities.
 */
extern const DeviceClass pci_test_class;
/* addr NULL: the first free slot */
PciDevice *pci_rig_add(PciRig *r, const char *bus, const char *addr, GError **error);
PciDevice *pci_rig_plug(PciRig *r, const DeviceClass *class, const char *bus, const char *id, const char *const *props,
                        GError **error);

uint32_t pci_rig_config(PciDevice *pci, unsigned offset, unsigned size);
void pci_rig_set_config(PciDevice *pci, unsigned offset, uint32_t value, unsigned size);
uint32_t pci_rig_load(PciRig *r, uint64_t address);  /* memory, 32 bits */
void pci_rig_store(PciRig *r, uint64_t address, uint32_t value);
uint32_t pci_rig_in(PciRig *r, uint16_t port, unsigned size);
void pci_rig_out(PciRig *r, uint16_t port, uint32_t value, unsigned size);
void pci_rig_run(PciRig *r); /* what was posted to the main loop */
