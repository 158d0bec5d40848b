/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware's part of PCI, for kernels that are entered directly: bus numbers,
 * addresses of BARs, windows of bridges, and decoding switched on.
 *
 * Two walks.  Up: each bus gathers what its functions and the bridges on it need
 * of each kind of window (I/O, 32-bit memory, 64-bit prefetchable memory), aligned
 * as they need it.  Down: each bus hands out the window it was given, the largest
 * need first, so that natural alignment costs nothing.  A hot plug port asks for
 * room besides.  What does not fit is said once in the log and stays unprogrammed,
 * as a firmware leaves it.
 *
 * Main thread, vCPUs parked: nobody else looks at config space meanwhile.
 */
#include <inttypes.h>

#include "hw/pci/pci-bridge.h"
#include "hw/pci/pci-internal.h"
#include "vmm/log.h"

/* What PCI-to-PCI bridges forward in: 4 KiB of ports, 1 MiB of memory. */
static const uint64_t window_granule[PCI_WINDOW_KINDS] = { 0x1000, 0x100000, 0x100000 };
static const char *const kind_name[PCI_WINDOW_KINDS] = { "I/O", "32-bit memory", "64-bit memory" };

/* A BAR, or a bridge's window. */
typedef struct Need {
    PciDevice *pci;
    int bar; /* -1: the window */
    uint64_t size, align;
} Need;

typedef struct Space {
    uint64_t next, end;
} Space;

static PciWindowKind bar_window(PciBarKind kind)
{
    static const PciWindowKind window[] = {
        [PCI_BAR_IO] = PCI_WINDOW_IO,
        [PCI_BAR_MEM32] = PCI_WINDOW_MEMORY,
        [PCI_BAR_MEM64] = PCI_WINDOW_MEMORY,
        [PCI_BAR_MEM64_PREFETCH] = PCI_WINDOW_PREFETCH,
    };

    return window[kind];
}

/* A 64-bit BAR that is not prefetchable fits only the 32-bit window behind a bridge; on the root bus
 * a large one (the 32-bit hole is small) goes above 4 GiB. */
static PciWindowKind need_window(const PciDevice *pci, unsigned bar)
{
    PciBarKind kind = pci->bar_kind[bar];

    if (kind == PCI_BAR_MEM64 && !pci_bus((PciDevice *)pci)->bridge && pci->bar[bar]->size > (64 << 20)) {
        return PCI_WINDOW_PREFETCH;
    }
    return bar_window(kind);
}

static gint need_compare(gconstpointer a, gconstpointer b)
{
    const Need *left = a, *right = b;

    if (left->align != right->align) {
        return left->align < right->align ? 1 : -1;
    }
    return left->pci->devfn - right->pci->devfn;
}

static uint64_t align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

static GArray *gather(PciBus *bus, PciWindowKind kind);

/* Size and alignment of the window that everything behind the bridge needs; size 0: none. */
static Need bridge_need(PciDevice *pci, PciWindowKind kind)
{
    PciBridge *bridge = pci_bridge(pci);
    g_autoptr(GArray) needs = gather(&bridge->secondary, kind);
    Need all = { .pci = pci, .bar = -1, .align = window_granule[kind] };

    for (unsigned i = 0; i < needs->len; i++) {
        Need *need = &g_array_index(needs, Need, i);

        all.size = align_up(all.size, need->align) + need->size;
        all.align = MAX(all.align, need->align);
    }
    all.size = align_up(MAX(all.size, bridge->reserve[kind]), window_granule[kind]);
    return all;
}

/* Everything on the bus that wants room of this kind, the strictest alignment first. */
static GArray *gather(PciBus *bus, PciWindowKind kind)
{
    GArray *needs = g_array_new(false, false, sizeof(Need));

    for (unsigned i = 0; i < PCI_DEVFN_COUNT; i++) {
        PciDevice *pci = bus->function[i];

        if (!pci || !pci->visible) {
            continue;
        }
        for (int bar = 0; bar < PCI_BARS; bar++) {
            if (pci->bar[bar] && need_window(pci, (unsigned)bar) == kind) {
                Need need = { pci, bar, pci->bar[bar]->size, pci->bar[bar]->size };

                g_array_append_val(needs, need);
            }
        }
        if (pci_is_bridge(pci)) {
            Need need = bridge_need(pci, kind);

            if (need.size) {
                g_array_append_val(needs, need);
            }
        }
    }
    g_array_sort(needs, need_compare);
    return needs;
}

static void program_bar(PciDevice *pci, unsigned bar, uint64_t address)
{
    unsigned at = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint32_t flags = pci_get32(pci->reset_config + at) & ~pci_get32(pci->wmask + at);
    uint16_t decode = pci->bar_kind[bar] == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

    pci_config_put(pci, at, (uint32_t)address | flags, 4);
    if (pci->bar_kind[bar] >= PCI_BAR_MEM64) {
        pci_config_put(pci, at + 4, (uint32_t)(address >> 32), 4);
    }
    pci_config_put(pci, PCI_COMMAND, pci_config_word(pci, PCI_COMMAND) | decode, 2);
}

static void place(PciBus *bus, PciWindowKind kind, Space *space);

static void place_need(const Need *need, PciWindowKind kind, Space *space)
{
    uint64_t base = align_up(space->next, need->align);
    bool fits = base >= space->next && base <= space->end && need->size <= space->end - base;
    Space inside = { base, base + need->size };

    if (!fits) {
        log_warning("%s: no room for %#" PRIx64 " bytes of %s on bus '%s'", device_name(&need->pci->dev), need->size,
                    kind_name[kind], need->pci->dev.bus->name);
    } else {
        space->next = base + need->size;
    }
    if (need->bar >= 0) {
        if (fits) {
            program_bar(need->pci, (unsigned)need->bar, base);
        }
        return;
    }
    pci_bridge_set_window(pci_bridge(need->pci), kind,
                          fits ? (PciWindow){ base, base + need->size - 1 } : (PciWindow){ UINT64_MAX, 0 });
    if (fits) {
        place(&pci_bridge(need->pci)->secondary, kind, &inside);
    }
}

static void place(PciBus *bus, PciWindowKind kind, Space *space)
{
    g_autoptr(GArray) needs = gather(bus, kind);

    for (unsigned i = 0; i < needs->len; i++) {
        place_need(&g_array_index(needs, Need, i), kind, space);
    }
}

/* Depth first; returns the last number given out. */
static uint8_t number_buses(PciBus *bus, uint8_t number)
{
    uint8_t last = number;

    for (unsigned i = 0; i < PCI_DEVFN_COUNT; i++) {
        PciDevice *pci = bus->function[i];

        if (!pci || !pci->visible || !pci_is_bridge(pci)) {
            continue;
        }
        if (last == UINT8_MAX) {
            log_warning("%s: no bus number is left for it", device_name(&pci->dev));
            break;
        }
        pci_config_put(pci, PCI_PRIMARY_BUS, number, 1);
        pci_config_put(pci, PCI_SECONDARY_BUS, last + 1u, 1);
        last = number_buses(pci_bridge_secondary(pci), last + 1);
        pci_config_put(pci, PCI_SUBORDINATE_BUS, last, 1);
        for (unsigned kind = 0; kind < PCI_WINDOW_KINDS; kind++) {
            pci_bridge_set_window(pci_bridge(pci), kind, (PciWindow){ UINT64_MAX, 0 });
        }
        /* Bridges forward requests of what is behind them. */
        pci_config_put(pci, PCI_COMMAND,
                       pci_config_word(pci, PCI_COMMAND) | PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    }
    return last;
}

static void map_function(PciDevice *pci, void *opaque)
{
    pci_update_mapping(pci);
}

void pci_assign_resources(PciBus *root, const PciWindows *windows)
{
    Space space[PCI_WINDOW_KINDS] = {
        [PCI_WINDOW_IO] = { windows->io_base, windows->io_end },
        [PCI_WINDOW_MEMORY] = { windows->mem32_base, windows->mem32_end },
        [PCI_WINDOW_PREFETCH] = { windows->mem64_base, windows->mem64_end },
    };

    number_buses(root, root->number);
    for (unsigned kind = 0; kind < PCI_WINDOW_KINDS; kind++) {
        place(root, kind, &space[kind]);
    }
    memory_begin();
    pci_each(root, map_function, NULL);
    memory_commit();
}
