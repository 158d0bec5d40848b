/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BARs: sizing is in their write masks, mapping here (PCI Local Bus 3.0, 6.2.5).
 *
 * pci_update_mapping() compares what COMMAND, the power state and the BARs say
 * with what is in the map and changes the difference, in one transaction.  The
 * transaction's lock also orders what depends on several functions' config: the
 * windows of a bridge, and bus mastering, which every bridge above must allow too.
 */
#include <inttypes.h>

#include "hw/pci/pci-internal.h"

#include "vmm/error.h"
#include "vmm/log.h"

#define BAR_UNMAPPED UINT64_MAX

void pci_set_bar(PciDevice *pci, unsigned bar, PciBarKind kind, MemoryRegion *mr)
{
    unsigned at = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint64_t mask = ~(mr->size - 1);
    uint32_t flags[] = {
        [PCI_BAR_IO] = PCI_BASE_ADDRESS_SPACE_IO,
        [PCI_BAR_MEM32] = PCI_BASE_ADDRESS_MEM_TYPE_32,
        [PCI_BAR_MEM64] = PCI_BASE_ADDRESS_MEM_TYPE_64,
        [PCI_BAR_MEM64_PREFETCH] = PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH,
    };

    g_assert(bar < PCI_BARS && (mr->size & (mr->size - 1)) == 0 && mr->size >= (kind == PCI_BAR_IO ? 4 : 16));
    pci->bar[bar] = mr;
    pci->bar_kind[bar] = kind;
    pci->bar_mapped[bar] = false;
    pci_set32(pci->config + at, flags[kind]);
    pci_set32(pci->wmask + at, (uint32_t)mask & (kind == PCI_BAR_IO ? 0xfffffffcu : 0xfffffff0u));
    if (kind >= PCI_BAR_MEM64) {
        g_assert(bar + 1 < PCI_BARS);
        pci_set32(pci->wmask + at + 4, (uint32_t)(mask >> 32));
    }
}

static bool in_d0(const PciDevice *pci)
{
    return !pci->pm_cap || !(pci_config_byte(pci, pci->pm_cap + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK);
}

/* Where the BAR is to be seen, or BAR_UNMAPPED: not decoded, never programmed, or beyond the space's end. */
static uint64_t bar_address(const PciDevice *pci, unsigned bar)
{
    unsigned at = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint16_t command = pci_config_word(pci, PCI_COMMAND);
    uint64_t base = pci_config_long(pci, at), last, limit;

    if (!in_d0(pci) || !__atomic_load_n(&pci->visible, __ATOMIC_RELAXED)) {
        return BAR_UNMAPPED;
    }
    if (pci->bar_kind[bar] == PCI_BAR_IO) {
        base &= 0xfffffffc;
        limit = 0xffff;
        if (!(command & PCI_COMMAND_IO)) {
            return BAR_UNMAPPED;
        }
    } else {
        base &= 0xfffffff0;
        limit = UINT32_MAX;
        if (pci->bar_kind[bar] >= PCI_BAR_MEM64) {
            base |= (uint64_t)pci_config_long(pci, at + 4) << 32;
            limit = UINT64_MAX - 1;
        }
        if (!(command & PCI_COMMAND_MEMORY)) {
            return BAR_UNMAPPED;
        }
    }
    last = base + pci->bar[bar]->size - 1;
    /* While a BAR is being sized its top address is all ones: nothing is mapped there. */
    return base == 0 || last < base || last >= limit ? BAR_UNMAPPED : base;
}

static void update_bar(PciDevice *pci, unsigned bar)
{
    uint64_t address = bar_address(pci, bar);
    MemoryRegion *mr = pci->bar[bar];
    PciBus *bus = pci_bus(pci);

    if (pci->bar_mapped[bar] && (address == BAR_UNMAPPED || address != mr->address)) {
        memory_remove(mr);
        pci->bar_mapped[bar] = false;
    }
    if (address != BAR_UNMAPPED && !pci->bar_mapped[bar]) {
        memory_add(pci->bar_kind[bar] == PCI_BAR_IO ? bus->ports : bus->memory, address, mr, 1);
        pci->bar_mapped[bar] = true;
        log_if(LOG_PCI, "%s: BAR %u at %#" PRIx64 ", %#" PRIx64 " bytes", device_name(&pci->dev), bar, address,
               mr->size);
    }
}

static bool is_master(const PciDevice *pci)
{
    return pci_config_byte(pci, PCI_COMMAND) & PCI_COMMAND_MASTER;
}

/* Requests from behind the bridge get through it. */
static bool forwards(PciDevice *bridge)
{
    return is_master(bridge) && pci_bridge_is_open(bridge);
}

/* The function, and what is behind it if it is a bridge, whose own path to the root is `open`. */
static void update_mastering(PciDevice *pci, bool open)
{
    bool enabled = open && is_master(pci), was = __atomic_load_n(&pci->dma.enabled, __ATOMIC_RELAXED);

    dma_space_set_enabled(&pci->dma, enabled);
    if (enabled != was && pci->mastering_changed) {
        pci->mastering_changed(pci);
    }
    if (pci_is_bridge(pci)) {
        PciBus *bus = pci_bridge_secondary(pci);

        for (unsigned i = 0; i < PCI_DEVFN_COUNT; i++) {
            PciDevice *child = __atomic_load_n(&bus->function[i], __ATOMIC_ACQUIRE);

            if (child) {
                update_mastering(child, open && forwards(pci));
            }
        }
    }
}

void pci_update_mapping(PciDevice *pci)
{
    bool open = true;

    memory_begin();
    for (unsigned i = 0; i < PCI_BARS; i++) {
        if (pci->bar[i]) {
            update_bar(pci, i);
        }
    }
    if (pci_is_bridge(pci)) {
        pci_bridge_update_windows(pci);
    }
    for (PciDevice *up = pci_bus(pci)->bridge; up; up = pci_bus(up)->bridge) {
        open = open && forwards(up);
    }
    update_mastering(pci, open);
    memory_commit();
}
