/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI Express functions and buses (PCI Local Bus 3.0, PCIe Base 5.0): config space,
 * BARs, COMMAND, INTx, MSI, MSI-X, capabilities.
 *
 * Config space writes change the map synchronously on the writing thread.  A
 * device's config space is guarded by its lock (the framework takes it).
 */
#pragma once

#include "vmm/device.h"
#include "vmm/dma.h"
#include "vmm/irq.h"

typedef struct PciDevice PciDevice;
typedef struct PciBus PciBus;

#define PCI_CONFIG_SIZE  256
#define PCIE_CONFIG_SIZE 4096
#define PCI_BARS 6

typedef enum PciBarKind { PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_MEM64_PREFETCH } PciBarKind;

extern const DeviceClass pci_device_class; /* abstract base of every function */
extern const BusClass pci_bus_class;
extern const FieldCodec pci_address_codec; /* "5", "05.1", "0x1.0x2": devfn as int32_t, -1: any */

/* Identity: constant per class, from the class' PciInfo. */
typedef struct PciInfo {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint8_t revision, prog_if;
    uint16_t class_code; /* 0x0200: base class and subclass */
    uint8_t header_type; /* 0, 1: bridge */
    bool express;
} PciInfo;

struct PciDevice {
    Device dev;
    /* Configuration */
    int32_t addr;        /* "addr": devfn, -1: first free slot */
    bool multifunction;
    int rombar;
    uint8_t devfn;
    PciInfo info;        /* set by the derived class before pci's realize: class hook pci_identify */
    DmaSpace dma;
    /* Guest state */
    uint8_t config[PCIE_CONFIG_SIZE];
    /* Derived, and the framework's */
    uint8_t wmask[PCIE_CONFIG_SIZE], w1cmask[PCIE_CONFIG_SIZE];
    MemoryRegion *bar[PCI_BARS];
    PciBarKind bar_kind[PCI_BARS];
    uint16_t next_cap, next_ecap;
    uint8_t msi_cap, msix_cap, pcie_cap, pm_cap;
    IrqLine *intx;       /* NULL: no pin */
    bool intx_level;
    struct PciMsi *msi;
    struct PciMsix *msix;
    /* Hooks of the derived class, set in its realize; lock held. */
    void (*config_read)(PciDevice *pci, unsigned offset, unsigned size);          /* before a read */
    void (*config_wrote)(PciDevice *pci, unsigned offset, unsigned size);         /* after a write took effect */
    void (*msix_vector_changed)(PciDevice *pci, unsigned vector, bool masked);
};

struct PciBus {
    Bus bus;
    uint8_t number;      /* of the root bus; bridges: from their config */
    PciDevice *function[256];
    PciDevice *bridge;   /* NULL: root */
    bool express;
    uint8_t slot_min;    /* first slot handed out */
    MemoryRegion *memory, *ports; /* BARs are mapped here */
    AddressSpace *dma_space;
    IrqLine *(*pin_line)(PciBus *bus, PciDevice *pci, unsigned pin); /* root: INTx routing; freed by pci core */
    void (*pin_line_free)(PciBus *bus, PciDevice *pci, IrqLine *line);
    void *opaque;
};

static inline PciDevice *pci_device(Device *dev)
{
    return (PciDevice *)dev;
}

/* ---- realize of derived classes ---- */
/* Sets vendor, device and class codes: a derived class' realize calls it first. */
void pci_set_info(PciDevice *pci, const PciInfo *info);
void pci_set_bar(PciDevice *pci, unsigned bar, PciBarKind kind, MemoryRegion *mr); /* size: a power of two */
uint8_t pci_add_capability(PciDevice *pci, uint8_t id, uint8_t size);  /* offset; there is always room for what the classes here use */
uint16_t pci_add_ext_capability(PciDevice *pci, uint16_t id, uint8_t version, uint16_t size);
void pci_set_intx_pin(PciDevice *pci, uint8_t pin); /* 1..4: INTA..INTD */
void pci_add_pm(PciDevice *pci);
void pci_add_express(PciDevice *pci, uint8_t port_type, uint8_t slot);
bool pci_add_msi(PciDevice *pci, unsigned vectors, bool address64, bool per_vector_mask, GError **error);
/* Table and PBA in BAR `bar`, at table_offset and pba_offset of region mr. */
bool pci_add_msix(PciDevice *pci, unsigned vectors, unsigned bar, MemoryRegion *mr, uint32_t table_offset,
                  uint32_t pba_offset, GError **error);
/* A BAR of its own for MSI-X. */
bool pci_add_msix_bar(PciDevice *pci, unsigned vectors, unsigned bar, GError **error);

/* ---- any thread ---- */
bool pci_msix_enabled(const PciDevice *pci);
bool pci_msi_enabled(const PciDevice *pci);
void pci_msix_notify(PciDevice *pci, unsigned vector);
void pci_msi_notify(PciDevice *pci, unsigned vector);
int pci_msix_irqfd(PciDevice *pci, unsigned vector, GError **error); /* eventfd; -1 */
void pci_set_intx(PciDevice *pci, bool level); /* lock held, or the device's loop */

/* ---- host bridges and bridges ---- */
void pci_bus_init(PciBus *bus, Domain *domain, Device *parent, const char *name);
uint32_t pci_config_load(PciBus *root, uint8_t bus, uint8_t devfn, unsigned offset, unsigned size);
void pci_config_store(PciBus *root, uint8_t bus, uint8_t devfn, unsigned offset, uint32_t value, unsigned size);
PciBus *pci_find_bus(PciBus *root, uint8_t number);
PciDevice *pci_find_function(PciBus *root, uint8_t bus, uint8_t devfn);
typedef void (*PciFn)(PciDevice *pci, void *opaque);
void pci_each(PciBus *root, PciFn fn, void *opaque); /* depth first */
/* Without firmware, we do its part: number the buses, place BARs and windows, enable decoding. At reset. */
void pci_assign_resources(PciBus *root, uint64_t mem32_base, uint64_t mem32_end, uint64_t mem64_base, uint64_t mem64_end,
                          uint16_t io_base, uint32_t io_end);

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
