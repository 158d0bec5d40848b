/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI Express functions and buses (PCI Local Bus 3.0, PCIe Base 5.0): config space,
 * BARs, COMMAND, INTx, MSI, MSI-X, capabilities.
 *
 *   pci.c         the function: config space, capabilities, reset, saved state
 *   pci-bar.c     what COMMAND, BARs and bridge windows map, in one transaction each
 *   pci-bus.c     the bus: addresses, finding functions, INTx swizzling
 *   pci-bridge.c  type 1 headers: secondary bus, windows and reset
 *   pci-assign.c  the firmware's part: bus numbers, addresses
 *   msi.c         MSI and MSI-X
 *
 * Config space writes change the map synchronously on the writing thread.  A
 * function's config space is guarded by its device lock; pci_config_load() and
 * pci_config_store() take it, so their callers hold none.  Single bytes of it are
 * written atomically: bus numbers, windows and COMMAND are also read by threads
 * that look for a function or compute what a bridge forwards.
 */
#pragma once

#include <linux/pci.h>

#include "vmm/device.h"
#include "vmm/dma.h"
#include "vmm/irq.h"

typedef struct PciDevice PciDevice;
typedef struct PciBus PciBus;

#define PCI_CONFIG_SIZE  256
#define PCIE_CONFIG_SIZE 4096
#define PCI_BARS 6
#define PCI_DEVFN_COUNT 256
#define PCI_SUBSYSTEM_DEFAULT_VENDOR 0x1af4
#define PCI_SUBSYSTEM_DEFAULT 0x1100

typedef enum PciBarKind { PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_MEM64_PREFETCH } PciBarKind;

extern const DeviceClass pci_device_class; /* abstract base of every function */
extern const BusClass pci_bus_class;
extern const FieldCodec pci_address_codec; /* "5", "05.1", "0x1.0x2": devfn as int32_t, -1: any */

/* Identity: constant per class. */
typedef struct PciInfo {
    uint16_t vendor, device, subsystem_vendor, subsystem; /* subsystem both 0: the default */
    uint8_t revision, prog_if;
    uint16_t class_code; /* 0x0200: base class and subclass */
    uint8_t header_type; /* 0, 1: bridge */
} PciInfo;

struct PciDevice {
    Device dev;
    /* Configuration */
    int32_t addr;        /* "addr": devfn, -1: first free slot */
    bool multifunction;
    uint32_t rombar; /* has no effect, as: */
    bool no_rom; /* always: no function has an option ROM */
    uint8_t devfn;
    DmaSpace dma;
    /* Guest state */
    uint8_t config[PCIE_CONFIG_SIZE];
    GByteArray *msix_table, *msix_pba; /* NULL: no MSI-X */
    /* Set in realize, constant from then on */
    uint8_t reset_config[PCIE_CONFIG_SIZE];  /* config after realize, once sealed */
    bool sealed;
    uint8_t wmask[PCIE_CONFIG_SIZE];         /* bits that a write changes */
    uint8_t w1cmask[PCIE_CONFIG_SIZE];       /* bits that a written 1 clears */
    uint8_t hwmask[PCIE_CONFIG_SIZE];        /* read-only bits that the device itself changes */
    uint16_t next_cap, next_ecap, last_ecap; /* where the next capability goes; the newest extended one */
    uint8_t msi_cap, msix_cap, pcie_cap, pm_cap; /* offsets; 0: none */
    MemoryRegion *bar[PCI_BARS];
    PciBarKind bar_kind[PCI_BARS];
    IrqLine *intx;       /* NULL: no pin */
    struct PciMsi *msi;
    struct PciMsix *msix;
    MemoryRegion msix_bar_region, msix_table_region, msix_pba_region;
    /* Derived */
    bool visible;        /* atomic: answers config cycles */
    bool intx_level;     /* atomic: what the device asserts, whatever COMMAND lets through */
    bool bar_mapped[PCI_BARS]; /* LOCK_MAPPING */
    /* Hooks of the derived class, set in its realize; lock held. */
    void (*config_read)(PciDevice *pci, unsigned offset, unsigned size);  /* before a read */
    void (*config_wrote)(PciDevice *pci, unsigned offset, unsigned size); /* after a write took effect, and a load */
    void (*msix_vector_changed)(PciDevice *pci, unsigned vector, bool masked);
    /* The same, but the lock may be that of a bridge above it, and LOCK_MAPPING is held: dma.enabled has changed. */
    void (*mastering_changed)(PciDevice *pci);
};

struct PciBus {
    Bus bus;
    uint8_t number;      /* of a root bus; behind a bridge, its config says */
    PciDevice *function[PCI_DEVFN_COUNT]; /* atomic: main thread writes, any thread reads */
    PciDevice *bridge;   /* NULL: root */
    uint8_t slot_min;    /* first slot handed out */
    uint8_t slot_max;    /* last one there is: 31, or 0 below a PCIe port */
    bool conventional;   /* no PCI Express: functions on it have no such capability, and 256 bytes of config space */
    bool off;            /* atomic: its slot has no power, nothing on it can be reached */
    MemoryRegion *memory, *ports; /* BARs are mapped here */
    AddressSpace *dma_space;
    /* Root buses: what INTx pin (1..4) of a function in `slot` drives; NULL: nothing. Main thread. */
    IrqLine *(*connect_pin)(PciBus *bus, unsigned slot, unsigned pin);
    void (*disconnect_pin)(PciBus *bus, unsigned slot, unsigned pin, IrqLine *line);
    /* Hot plug, asked of the bridge above; NULL: devices stay. */
    void (*plugged)(PciBus *bus, PciDevice *pci);
    bool (*unplug)(PciBus *bus, PciDevice *pci, GError **error);
    /* Root buses: ACPI tells of cards that come and are to go in place of their ports; NULL: the ports do.  Main
     * thread, no lock held. */
    void (*slot_event)(PciBus *bus, PciDevice *port, bool came);
    /* The operating system let go of the cards: on the main loop, with the bridge.  NULL: none ever goes so. */
    void (*ejected)(void *bridge);
    void *opaque;
};

static inline PciDevice *pci_device(Device *dev)
{
    return (PciDevice *)dev;
}
static inline PciBus *pci_bus(PciDevice *pci)
{
    return (PciBus *)pci->dev.bus;
}

/* ---- realize of derived classes: main thread ---- */
/* Sets vendor, device and class codes: a derived class' realize calls it first. */
void pci_set_info(PciDevice *pci, const PciInfo *info);
void pci_set_bar(PciDevice *pci, unsigned bar, PciBarKind kind, MemoryRegion *mr); /* size: a power of two */
/* Its offset.  There is always room for what the classes here use. */
uint8_t pci_add_capability(PciDevice *pci, uint8_t id, uint8_t size);
uint16_t pci_add_ext_capability(PciDevice *pci, uint16_t id, uint8_t version, uint16_t size);
void pci_set_intx_pin(PciDevice *pci, uint8_t pin); /* 1..4: INTA..INTD */
void pci_add_pm(PciDevice *pci);
/* port_type: PCI_EXP_TYPE_*; an endpoint on a root bus becomes a root complex integrated one, and one on a conventional
 * bus has none of it. */
void pci_add_express(PciDevice *pci, uint8_t port_type);
bool pci_add_msi(PciDevice *pci, unsigned vectors, bool address64, bool per_vector_mask, GError **error);
/* Table and PBA in BAR `bar`, at table_offset and pba_offset of the container mr. */
bool pci_add_msix(PciDevice *pci, unsigned vectors, unsigned bar, MemoryRegion *mr, uint32_t table_offset,
                  uint32_t pba_offset, GError **error);
/* A BAR of its own for MSI-X. */
bool pci_add_msix_bar(PciDevice *pci, unsigned vectors, unsigned bar, GError **error);

/* ---- any thread ---- */
bool pci_msix_enabled(const PciDevice *pci);
bool pci_msi_enabled(const PciDevice *pci);
void pci_msix_notify(PciDevice *pci, unsigned vector);
/* The same by what a loop submits next, if the vector has a descriptor; in a batch of that loop (loop_ring()). */
void pci_msix_notify_soon(PciDevice *pci, unsigned vector, Loop *loop);
void pci_msi_notify(PciDevice *pci, unsigned vector);
int pci_msix_irqfd(PciDevice *pci, unsigned vector, GError **error); /* eventfd; -1 */
void pci_set_intx(PciDevice *pci, bool level);

/* ---- host bridges and bridges: main thread ---- */
/* memory and ports: containers for what lies behind the bus; bus->bridge etc. are the caller's. */
void pci_bus_init(PciBus *bus, Domain *domain, Device *parent, const char *name);

/* ACPI's part: can the cards behind the bridge go so; and they may go now.  Any thread. */
bool pci_bridge_ejectable(PciDevice *bridge);
void pci_bridge_ejected(PciDevice *bridge);

/* ---- config cycles and walks: any thread, no device lock held ---- */
uint32_t pci_config_load(PciBus *root, uint8_t bus, uint8_t devfn, unsigned offset, unsigned size);
void pci_config_store(PciBus *root, uint8_t bus, uint8_t devfn, unsigned offset, uint32_t value, unsigned size);
PciBus *pci_find_bus(PciBus *root, uint8_t number);
PciDevice *pci_find_function(PciBus *root, uint8_t bus, uint8_t devfn);
uint8_t pci_bus_number(PciBus *bus);
typedef void (*PciFn)(PciDevice *pci, void *opaque);
void pci_each(PciBus *root, PciFn fn, void *opaque); /* depth first, a bridge before what is behind it */

/* Windows a root bus may place things in. */
typedef struct PciWindows {
    uint64_t mem32_base, mem32_end; /* end: first byte behind */
    uint64_t mem64_base, mem64_end;
    uint32_t io_base, io_end;
} PciWindows;
/* Without firmware, we do its part: number the buses, place BARs and bridge windows, enable
 * decoding.  At reset: main thread, vCPUs parked, after every device's reset. */
void pci_assign_resources(PciBus *root, const PciWindows *windows);
/* What COMMAND, BARs and windows say, mapped: lock held, or as above.  pci-bar.c */
void pci_update_mapping(PciDevice *pci);

/* ---- config bytes ---- */
static inline uint16_t pci_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t pci_get32(const uint8_t *p)
{
    return pci_get16(p) | (uint32_t)pci_get16(p + 2) << 16;
}
static inline void pci_set16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void pci_set32(uint8_t *p, uint32_t v)
{
    pci_set16(p, (uint16_t)v);
    pci_set16(p + 2, (uint16_t)(v >> 16));
}
/* Of a live function, which other threads may look at. */
static inline uint8_t pci_config_byte(const PciDevice *pci, unsigned offset)
{
    return __atomic_load_n(&pci->config[offset], __ATOMIC_RELAXED);
}
static inline uint16_t pci_config_word(const PciDevice *pci, unsigned offset)
{
    return (uint16_t)(pci_config_byte(pci, offset) | pci_config_byte(pci, offset + 1) << 8);
}
static inline uint32_t pci_config_long(const PciDevice *pci, unsigned offset)
{
    return pci_config_word(pci, offset) | (uint32_t)pci_config_word(pci, offset + 2) << 16;
}
void pci_config_put(PciDevice *pci, unsigned offset, uint32_t value, unsigned size); /* whatever the masks; lock held */
static inline bool pci_is_bridge(const PciDevice *pci)
{
    return (pci_config_byte(pci, PCI_HEADER_TYPE) & PCI_HEADER_TYPE_MASK) == PCI_HEADER_TYPE_BRIDGE;
}
