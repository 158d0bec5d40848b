/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Type 1 functions: a bus behind a function, and the windows that lead there
 * (PCI-to-PCI Bridge Architecture 1.2, chapter 3; PCIe Base 5.0, 7.5.1.3).
 *
 * A derived class embeds PciBridge first and calls pci_bridge_init() in its
 * realize, after pci_set_info().
 */
#pragma once

#include "hw/pci/pci.h"

typedef enum PciWindowKind { PCI_WINDOW_IO, PCI_WINDOW_MEMORY, PCI_WINDOW_PREFETCH, PCI_WINDOW_KINDS } PciWindowKind;

typedef struct PciWindow {
    uint64_t base, last; /* base > last: closed */
} PciWindow;

typedef struct PciBridge {
    PciDevice pci;
    PciBus secondary;
    MemoryRegion memory, ports;  /* what is behind the bridge */
    /* LOCK_MAPPING: the windows as they are in the map now */
    MemoryRegion alias[PCI_WINDOW_KINDS];
    PciWindow window[PCI_WINDOW_KINDS];
    bool open[PCI_WINDOW_KINDS];
    bool resetting; /* derived, atomic: a reset of what is behind is under way */
    LoopBatch reset_later; /* it came within a wait (loop_defer()) */
    /* Room kept for what is plugged later, bytes */
    uint64_t reserve[PCI_WINDOW_KINDS];
} PciBridge;

static inline PciBridge *pci_bridge(PciDevice *pci)
{
    return (PciBridge *)pci;
}

/* name: of the secondary bus. */
void pci_bridge_init(PciBridge *bridge, const char *name);
void pci_bridge_finish(PciBridge *bridge);
/* Programs a window as firmware does; the lock is held. */
void pci_bridge_set_window(PciBridge *bridge, PciWindowKind kind, PciWindow window);

extern const DeviceClass pci_bridge_class; /* abstract */
