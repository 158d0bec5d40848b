/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Type 1 functions (PCI-to-PCI Bridge Architecture 1.2, chapter 3).
 *
 * What is behind the bridge is mapped into containers of its own, at its bus
 * addresses; each open window is an alias of them in the containers of the bus
 * above, so nothing outside of a window is forwarded.
 *
 * Not modelled: VGA and ISA forwarding, secondary bus reset (its bit reads 0), the
 * latency timers.
 */
#include "hw/pci/pci-bridge.h"

#include <string.h>

#include "hw/pci/pci-internal.h"
#include "vmm/domain.h"

#define BRIDGE_CONTROL_WRITABLE (PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR)

static const char *const window_name[PCI_WINDOW_KINDS] = { "pci-bridge-io", "pci-bridge-mem", "pci-bridge-pref-mem" };

PciBus *pci_bridge_secondary(PciDevice *pci)
{
    return &pci_bridge(pci)->secondary;
}

void pci_bridge_init(PciBridge *bridge, const char *name)
{
    PciDevice *pci = &bridge->pci;
    PciBus *above = pci_bus(pci), *bus = &bridge->secondary;
    uint8_t *c = pci->config, *w = pci->wmask;

    memset(w + PCI_PRIMARY_BUS, 0xff, 3);
    w[PCI_IO_BASE] = w[PCI_IO_LIMIT] = 0xf0;
    c[PCI_IO_BASE] = c[PCI_IO_LIMIT] = PCI_IO_RANGE_TYPE_16;
    pci_set16(w + PCI_MEMORY_BASE, 0xfff0);
    pci_set16(w + PCI_MEMORY_LIMIT, 0xfff0);
    pci_set16(w + PCI_PREF_MEMORY_BASE, 0xfff0);
    pci_set16(w + PCI_PREF_MEMORY_LIMIT, 0xfff0);
    pci_set16(c + PCI_PREF_MEMORY_BASE, PCI_PREF_RANGE_TYPE_64);
    pci_set16(c + PCI_PREF_MEMORY_LIMIT, PCI_PREF_RANGE_TYPE_64);
    memset(w + PCI_PREF_BASE_UPPER32, 0xff, 8);
    pci_set16(w + PCI_BRIDGE_CONTROL, BRIDGE_CONTROL_WRITABLE);
    pci_set16(pci->w1cmask + PCI_SEC_STATUS, 0xf900);

    memory_region_init(&bridge->memory, "pci-bridge-memory", UINT64_MAX);
    memory_region_init(&bridge->ports, "pci-bridge-ports", 0x10000);
    memset(bridge->open, 0, sizeof(bridge->open));
    pci_bus_init(bus, pci->dev.domain, &pci->dev, name);
    bus->bridge = pci;
    bus->memory = &bridge->memory;
    bus->ports = &bridge->ports;
    bus->dma_space = above->dma_space;
}

void pci_bridge_finish(PciBridge *bridge)
{
    bus_finish(&bridge->secondary.bus);
    memory_begin();
    for (unsigned i = 0; i < PCI_WINDOW_KINDS; i++) {
        if (bridge->open[i]) {
            memory_remove(&bridge->alias[i]);
            memory_region_finish(&bridge->alias[i]);
            bridge->open[i] = false;
        }
    }
    memory_commit();
    memory_region_finish(&bridge->memory);
    memory_region_finish(&bridge->ports);
}

bool pci_bridge_ejectable(PciDevice *bridge)
{
    return pci_bridge(bridge)->secondary.ejected != NULL;
}

void pci_bridge_ejected(PciDevice *bridge)
{
    if (pci_bridge_ejectable(bridge)) {
        loop_post(domain_loop(bridge->dev.domain), pci_bridge(bridge)->secondary.ejected, bridge);
    }
}

/* ---- windows ---- */
static PciWindow window_of(const PciDevice *pci, PciWindowKind kind)
{
    uint64_t base, limit;

    switch (kind) {
    case PCI_WINDOW_IO:
        base = (uint64_t)(pci_config_byte(pci, PCI_IO_BASE) & 0xf0) << 8;
        limit = (uint64_t)(pci_config_byte(pci, PCI_IO_LIMIT) & 0xf0) << 8 | 0xfff;
        break;
    case PCI_WINDOW_MEMORY:
        base = (uint64_t)(pci_config_word(pci, PCI_MEMORY_BASE) & 0xfff0) << 16;
        limit = (uint64_t)(pci_config_word(pci, PCI_MEMORY_LIMIT) & 0xfff0) << 16 | 0xfffff;
        break;
    default:
        base = (uint64_t)pci_config_long(pci, PCI_PREF_BASE_UPPER32) << 32 |
               (uint64_t)(pci_config_word(pci, PCI_PREF_MEMORY_BASE) & 0xfff0) << 16;
        limit = (uint64_t)pci_config_long(pci, PCI_PREF_LIMIT_UPPER32) << 32 |
                (uint64_t)(pci_config_word(pci, PCI_PREF_MEMORY_LIMIT) & 0xfff0) << 16 | 0xfffff;
        break;
    }
    return (PciWindow){ base, limit };
}

void pci_bridge_set_window(PciBridge *bridge, PciWindowKind kind, PciWindow window)
{
    PciDevice *pci = &bridge->pci;
    bool closed = window.base > window.last;
    uint64_t base = closed ? UINT64_MAX : window.base, last = closed ? 0 : window.last;

    switch (kind) {
    case PCI_WINDOW_IO:
        pci_config_put(pci, PCI_IO_BASE, base >> 8 & 0xf0, 1);
        pci_config_put(pci, PCI_IO_LIMIT, last >> 8 & 0xf0, 1);
        break;
    case PCI_WINDOW_MEMORY:
        pci_config_put(pci, PCI_MEMORY_BASE, base >> 16 & 0xfff0, 2);
        pci_config_put(pci, PCI_MEMORY_LIMIT, last >> 16 & 0xfff0, 2);
        break;
    default:
        pci_config_put(pci, PCI_PREF_MEMORY_BASE, (base >> 16 & 0xfff0) | PCI_PREF_RANGE_TYPE_64, 2);
        pci_config_put(pci, PCI_PREF_MEMORY_LIMIT, (last >> 16 & 0xfff0) | PCI_PREF_RANGE_TYPE_64, 2);
        pci_config_put(pci, PCI_PREF_BASE_UPPER32, (uint32_t)(base >> 32), 4);
        pci_config_put(pci, PCI_PREF_LIMIT_UPPER32, (uint32_t)(last >> 32), 4);
        break;
    }
}

void pci_bridge_update_windows(PciDevice *pci)
{
    PciBridge *bridge = pci_bridge(pci);
    PciBus *above = pci_bus(pci);
    bool visible = __atomic_load_n(&pci->visible, __ATOMIC_RELAXED) &&
                   !__atomic_load_n(&bridge->secondary.off, __ATOMIC_RELAXED);
    uint16_t command = pci_config_word(pci, PCI_COMMAND);

    for (unsigned i = 0; i < PCI_WINDOW_KINDS; i++) {
        bool io = i == PCI_WINDOW_IO;
        PciWindow now = bridge->window[i], want = window_of(pci, i);
        bool open = visible && want.base <= want.last && (command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY));

        if (bridge->open[i] && (!open || now.base != want.base || now.last != want.last)) {
            memory_remove(&bridge->alias[i]);
            memory_region_finish(&bridge->alias[i]);
            bridge->open[i] = false;
        }
        if (open && !bridge->open[i]) {
            uint64_t size = want.last - want.base == UINT64_MAX ? UINT64_MAX : want.last - want.base + 1;

            memory_region_init_alias(&bridge->alias[i], window_name[i], io ? &bridge->ports : &bridge->memory,
                                     want.base, size);
            memory_add(io ? above->ports : above->memory, want.base, &bridge->alias[i], 1);
            bridge->window[i] = want;
            bridge->open[i] = true;
        }
    }
}

/* No guest state beyond the function's config space. */
const DeviceClass pci_bridge_class = {
    .name = "pci-bridge-device",
    .desc = "PCI bridge",
    .category = "Bridge",
    .base = &pci_device_class,
    .bus = &pci_bus_class,
    .size = sizeof(PciBridge),
    .state = &state_none,
    .abstract = true,
};
