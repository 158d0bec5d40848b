/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Type 1 functions (PCI-to-PCI Bridge Architecture 1.2, chapter 3).
 *
 * What is behind the bridge is mapped into containers of its own, at its bus
 * addresses; each open window is an alias of them in the containers of the bus
 * above, so nothing outside of a window is forwarded.
 *
 * Secondary bus reset: while its bit is set nothing behind the bridge can be reached,
 * and the main loop resets what is there.  Where software clears the bit before that is
 * done, the bus comes back when it is.
 *
 *   vCPU: bit set --bridge_control_wrote()--> resetting -> device_post() -> main loop, no lock: reset_behind()
 *
 * Not modelled: VGA and ISA forwarding, the latency timer of the primary side.
 */
#include "hw/pci/pci-bridge.h"

#include <string.h>

#include "hw/pci/pci-internal.h"
#include "vmm/domain.h"
#include "vmm/epoch.h"

#define BRIDGE_CONTROL_WRITABLE (PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR | PCI_BRIDGE_CTL_BUS_RESET)

static const char *const window_name[PCI_WINDOW_KINDS] = { "pci-bridge-io", "pci-bridge-mem", "pci-bridge-pref-mem" };

PciBus *pci_bridge_secondary(PciDevice *pci)
{
    return &pci_bridge(pci)->secondary;
}

static void reset_when_possible(void *opaque);

void pci_bridge_init(PciBridge *bridge, const char *name)
{
    bridge->reset_later = (LoopBatch) { .fn = reset_when_possible, .opaque = bridge };
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
    loop_batch_cancel(domain_loop(bridge->pci.dev.domain), &bridge->reset_later);
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
    bool visible = __atomic_load_n(&pci->visible, __ATOMIC_RELAXED) && pci_bridge_is_open(pci);
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

/* ---- secondary bus reset ---- */
bool pci_bridge_is_open(PciDevice *pci)
{
    PciBridge *bridge = pci_bridge(pci);

    return !__atomic_load_n(&bridge->secondary.off, __ATOMIC_ACQUIRE) &&
           !__atomic_load_n(&bridge->resetting, __ATOMIC_ACQUIRE) &&
           !(pci_config_byte(pci, PCI_BRIDGE_CONTROL) & PCI_BRIDGE_CTL_BUS_RESET);
}

static bool is_behind(const Device *dev, const Device *bridge)
{
    const Device *up = dev;

    while (up && up != bridge) {
        up = up->bus ? up->bus->parent : up->parent;
    }
    return up && dev != bridge;
}

static bool collect_behind(Device *dev, void *opaque)
{
    GPtrArray *behind = opaque;

    if (is_behind(dev, g_ptr_array_index(behind, 0))) {
        g_ptr_array_add(behind, dev);
    }
    return true;
}

/* Main thread, no lock held; nobody else reshapes the domain while it waits for the devices' requests. */
static void reset_behind(void *opaque)
{
    g_autoptr(GPtrArray) behind = g_ptr_array_new(); /* the bridge itself, then what is there, as it was realized */
    PciDevice *pci = opaque;
    bool quiet = pci->dev.paused;

    if (!__atomic_load_n(&pci_bridge(pci)->resetting, __ATOMIC_ACQUIRE)) {
        return; /* the machine's reset came first */
    }
    g_ptr_array_add(behind, pci);
    device_each(pci->dev.domain, collect_behind, behind);
    epoch_synchronize(); /* no vCPU is still within an access from before the bus closed */
    for (unsigned i = behind->len - 1; i > 0; i--) {
        device_pause(behind->pdata[i]);
    }
    for (unsigned i = 1; i < behind->len; i++) {
        Device *dev = behind->pdata[i];
        bool unplug_pending = dev->unplug_pending;

        device_reset(dev);
        dev->unplug_pending = unplug_pending; /* which a reset of the bus does not end */
    }
    for (unsigned i = 1; !quiet && i < behind->len; i++) {
        device_resume(behind->pdata[i]);
    }
    lock_acquire(pci->dev.lock);
    __atomic_store_n(&pci_bridge(pci)->resetting, false, __ATOMIC_RELEASE);
    pci_update_mapping(pci);
    lock_release(pci->dev.lock);
}

static void reset_when_possible(void *opaque)
{
    PciDevice *pci = opaque;

    if (!loop_defer(domain_loop(pci->dev.domain), &pci_bridge(pci)->reset_later)) {
        reset_behind(pci);
    }
}

static void reset_is_due(Device *dev)
{
    effect_post(reset_when_possible, dev);
}

void pci_bridge_control_wrote(PciDevice *pci, uint8_t old)
{
    uint8_t begun = pci_config_byte(pci, PCI_BRIDGE_CONTROL) & ~old & PCI_BRIDGE_CTL_BUS_RESET;

    if (begun && !__atomic_exchange_n(&pci_bridge(pci)->resetting, true, __ATOMIC_ACQ_REL)) {
        device_post(&pci->dev, reset_is_due);
    }
    pci_update_mapping(pci);
}

/* The domain goes quiet, perhaps to be saved: a stream has no reset that is under way. */
static void bridge_pause(Device *dev)
{
    reset_behind(dev);
}

static void bridge_reset(Device *dev)
{
    PciBridge *bridge = pci_bridge(pci_device(dev));

    __atomic_store_n(&bridge->resetting, false, __ATOMIC_RELEASE);
    pci_update_mapping(&bridge->pci);
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
    .pause = bridge_pause,
    .reset = bridge_reset,
};
