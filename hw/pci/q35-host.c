/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host bridge of the Q35: the memory controller hub of the Intel 3 Series (data
 * sheet 316966): config cycles by ports cf8h/cfch and by ECAM, and the attribute
 * registers (PAM) that decide what of c0000h-fffffh is RAM.
 *
 * Two devices: the host bridge has the bus and the config mechanisms, the hub is
 * function 00.0 on it, whose registers say where ECAM is and what PAM maps.
 * Everything in memory that is neither RAM nor a chip belongs to PCI.
 *
 * Port cf9h, the reset control register, is ICH9's (13.7.5), but lies among the
 * ports of the config address: it is decoded here.
 *
 * Not modelled: SMRAM and TSEG (there is no SMM: their registers are read-only), the
 * graphics port, ECAM of less than 256 buses, DRAM timing.
 *
 * Locking: none for the ports, a config cycle takes the function's lock; the config
 * address is one word.  The hub's registers are under the hub's lock.
 */
#include "hw/pci/q35-host.h"

#include "hw/i386/q35.h"
#include "vmm/domain.h"

#define PAM_FIRST 0xc0000u /* PAM1 to PAM6: 12 segments of 16 KiB from here; PAM0: the one above them */
#define PAM_SEGMENT 0x4000u
#define PAM_TOP 0xf0000u
#define PAM_SEGMENTS 13
#define VGA_BASE 0xa0000u
#define VGA_SIZE 0x20000u
#define MCH_SMRAM 0x9d

enum { RCR_SYSTEM_RESET = 1 << 1, RCR_RESET_CPU = 1 << 2, RCR_FULL_RESET = 1 << 3 };
/* PAM: what a segment's two bits say. */
enum { PAM_READ_RAM = 1 << 0, PAM_WRITE_RAM = 1 << 1 };

typedef struct Q35Host {
    Device dev;
    PciBus bus;
    /* Configuration */
    MemoryRegion *low_ram;
    MemoryRegion pci_memory;
    MemoryRegion config_address_ports, config_data_ports, ecam;
    MemoryRegion vga;                    /* over RAM at a0000h, which is never RAM */
    MemoryRegion nobody;                 /* what low PCI memory is where no function answers: it hides RAM */
    MemoryRegion pam_pci[PAM_SEGMENTS];  /* over RAM: the segment is PCI's */
    MemoryRegion pam_rom[PAM_SEGMENTS];  /* over RAM: it cannot be written */
    bool ecam_mapped;                    /* derived */
    /* Guest state */
    uint32_t config_address; /* atomic */
    uint8_t reset_control;   /* atomic */
} Q35Host;

static Q35Host *host_of(Device *dev)
{
    return (Q35Host *)dev;
}

PciBus *q35_host_bus(Device *dev)
{
    return &host_of(dev)->bus;
}

void q35_host_set_ram(Device *dev, MemoryRegion *low_ram)
{
    host_of(dev)->low_ram = low_ram;
}

/* ---- config mechanism 1: PCI Local Bus 3.0, 3.2.2.3.2 ---- */
#define CONFIG_ENABLE 0x80000000u

static void reset_control_write(Q35Host *h, uint8_t value)
{
    __atomic_store_n(&h->reset_control, value & (RCR_SYSTEM_RESET | RCR_FULL_RESET), __ATOMIC_RELAXED);
    if (value & RCR_RESET_CPU) {
        domain_request_reset(h->dev.domain, REASON_GUEST_RESET);
    }
}

/* Only a double word is the config address; a byte at cf9h is reset control. */
static uint64_t config_address_read(void *opaque, uint64_t offset, unsigned size)
{
    Q35Host *h = opaque;

    if (size == 4) {
        return __atomic_load_n(&h->config_address, __ATOMIC_RELAXED);
    }
    return size == 1 && offset == 1 ? __atomic_load_n(&h->reset_control, __ATOMIC_RELAXED) : UINT64_MAX;
}

static void config_address_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Q35Host *h = opaque;

    if (size == 4) {
        __atomic_store_n(&h->config_address, (uint32_t)value & ~0x7f000003u, __ATOMIC_RELAXED);
    } else if (size == 1 && offset == 1) {
        reset_control_write(h, (uint8_t)value);
    }
}

static const MemoryOps config_address_ops = {
    .read = config_address_read, .write = config_address_write, .min = 1, .max = 4,
};

static uint64_t config_data_read(void *opaque, uint64_t offset, unsigned size)
{
    Q35Host *h = opaque;
    uint32_t a = __atomic_load_n(&h->config_address, __ATOMIC_RELAXED);

    if (!(a & CONFIG_ENABLE)) {
        return UINT64_MAX;
    }
    return pci_config_load(&h->bus, (uint8_t)(a >> 16), (uint8_t)(a >> 8), (a & 0xfc) + (unsigned)offset, size);
}

static void config_data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Q35Host *h = opaque;
    uint32_t a = __atomic_load_n(&h->config_address, __ATOMIC_RELAXED);

    if (a & CONFIG_ENABLE) {
        pci_config_store(&h->bus, (uint8_t)(a >> 16), (uint8_t)(a >> 8), (a & 0xfc) + (unsigned)offset, (uint32_t)value,
                         size);
    }
}

static const MemoryOps config_data_ops = { .read = config_data_read, .write = config_data_write, .min = 1, .max = 4 };

/* ---- ECAM: PCIe Base 5.0, 7.2.2 ---- */
static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned size)
{
    Q35Host *h = opaque;

    return pci_config_load(&h->bus, (uint8_t)(offset >> 20), (uint8_t)(offset >> 12), offset & 0xfff, size);
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Q35Host *h = opaque;

    pci_config_store(&h->bus, (uint8_t)(offset >> 20), (uint8_t)(offset >> 12), offset & 0xfff, (uint32_t)value, size);
}

static const MemoryOps ecam_ops = {
    .read = ecam_read, .write = ecam_write, .min = 1, .max = 8, .impl_min = 1, .impl_max = 4,
};

/* ---- the hub's registers ---- */
static void update_ecam(Q35Host *h, const PciDevice *mch)
{
    uint64_t bar = pci_config_long(mch, Q35_MCH_PCIEXBAR) | (uint64_t)pci_config_long(mch, Q35_MCH_PCIEXBAR + 4) << 32;
    uint64_t base = bar & ~(Q35_ECAM_SIZE - 1);
    bool enabled = bar & Q35_MCH_PCIEXBAR_EN;

    if (h->ecam_mapped && (!enabled || h->ecam.address != base)) {
        memory_remove(&h->ecam);
        h->ecam_mapped = false;
    }
    if (enabled && !h->ecam_mapped) {
        memory_add(domain_memory_root(h->dev.domain), base, &h->ecam, 2);
        h->ecam_mapped = true;
    }
}

/* PAM0 bits 5-4: the top segment; PAMn bits 1-0 and 5-4: the two below it, upwards. */
static unsigned pam_bits(const PciDevice *mch, unsigned segment)
{
    unsigned reg = segment == PAM_SEGMENTS - 1 ? 0 : 1 + segment / 2;
    unsigned shift = segment == PAM_SEGMENTS - 1 || segment % 2 ? 4 : 0;

    return pci_config_byte(mch, Q35_MCH_PAM0 + reg) >> shift & 3;
}

/* A segment that takes writes but reads from PCI is treated as PCI's: nothing there can be shadowed. */
static void update_pam(Q35Host *h, const PciDevice *mch)
{
    for (unsigned i = 0; i < PAM_SEGMENTS; i++) {
        unsigned bits = pam_bits(mch, i);

        memory_set_enabled(&h->pam_pci[i], !(bits & PAM_READ_RAM));
        memory_set_enabled(&h->pam_rom[i], bits == PAM_READ_RAM);
    }
}

static void mch_config_wrote(PciDevice *pci, unsigned offset, unsigned size)
{
    Q35Host *h = host_of(pci_bus(pci)->bus.parent);

    memory_begin();
    if (offset < Q35_MCH_PCIEXBAR + 8 && offset + size > Q35_MCH_PCIEXBAR) {
        update_ecam(h, pci);
    }
    if (offset < Q35_MCH_PAM0 + Q35_MCH_PAMS && offset + size > Q35_MCH_PAM0) {
        update_pam(h, pci);
    }
    memory_commit();
}

static bool mch_realize(Device *dev, GError **error)
{
    static const PciInfo info = { .vendor = 0x8086, .device = 0x29c0, .class_code = 0x0600 };
    PciDevice *pci = pci_device(dev);

    pci_set_info(pci, &info);
    pci_set32(pci->wmask + Q35_MCH_PCIEXBAR, 0xf0000000 | Q35_MCH_PCIEXBAR_EN);
    pci_set32(pci->wmask + Q35_MCH_PCIEXBAR + 4, 0xf); /* 36 address lines */
    pci->wmask[Q35_MCH_PAM0] = 0x30;
    for (unsigned i = 1; i < Q35_MCH_PAMS; i++) {
        pci->wmask[Q35_MCH_PAM0 + i] = 0x33;
    }
    pci->config[MCH_SMRAM] = 0x02; /* C_BASE_SEG, hardwired: a0000h */
    pci->config_wrote = mch_config_wrote;
    return true;
}

static void mch_reset(Device *dev)
{
    mch_config_wrote(pci_device(dev), 0, PCI_CONFIG_SIZE);
}

/* Its registers are config space, which the base saves. */
const DeviceClass q35_mch_class = {
    .name = "mch",
    .desc = "Q35 memory controller hub",
    .category = "Bridge",
    .base = &pci_device_class,
    .bus = &pci_bus_class,
    .size = sizeof(PciDevice),
    .board_only = true,
    .state = &state_none,
    .realize = mch_realize,
    .reset = mch_reset,
};

/* ---- the host bridge ---- */
/* A read that no function answers ends in a master abort: all ones. */
static uint64_t nobody_read(void *opaque, uint64_t offset, unsigned size)
{
    return UINT64_MAX;
}

static void nobody_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const MemoryOps nobody_ops = { .read = nobody_read, .write = nobody_write, .unaligned = true };

static void init_low_memory(Q35Host *h, MemoryRegion *root)
{
    memory_region_init_io(&h->nobody, "pci-nobody", 0x100000 - VGA_BASE, &nobody_ops, h, NULL);
    memory_add(&h->pci_memory, VGA_BASE, &h->nobody, -1);
    g_ptr_array_add(h->dev.regions, &h->nobody);
    memory_region_init_alias(&h->vga, "vga-area", &h->pci_memory, VGA_BASE, VGA_SIZE);
    memory_add(root, VGA_BASE, &h->vga, 1);
    for (unsigned i = 0; i < PAM_SEGMENTS; i++) {
        bool top = i == PAM_SEGMENTS - 1;
        uint64_t at = top ? PAM_TOP : PAM_FIRST + i * PAM_SEGMENT, size = top ? 0x10000 : PAM_SEGMENT;

        memory_region_init_alias(&h->pam_pci[i], "pam-pci", &h->pci_memory, at, size);
        memory_add(root, at, &h->pam_pci[i], 1);
        memory_region_init_alias(&h->pam_rom[i], "pam-rom", h->low_ram, at, size);
        memory_set_readonly(&h->pam_rom[i], true);
        memory_set_enabled(&h->pam_rom[i], false);
        memory_add(root, at, &h->pam_rom[i], 1);
        g_ptr_array_add(h->dev.regions, &h->pam_pci[i]);
        g_ptr_array_add(h->dev.regions, &h->pam_rom[i]);
    }
    g_ptr_array_add(h->dev.regions, &h->vga);
}

static void init_ports(Q35Host *h, MemoryRegion *ports)
{
    memory_region_init_io(&h->config_address_ports, "pci-conf-idx", 4, &config_address_ops, h, NULL);
    memory_region_init_io(&h->config_data_ports, "pci-conf-data", 4, &config_data_ops, h, NULL);
    memory_region_init_io(&h->ecam, "pcie-mmcfg", Q35_ECAM_SIZE, &ecam_ops, h, NULL);
    memory_add(ports, 0xcf8, &h->config_address_ports, 0);
    memory_add(ports, 0xcfc, &h->config_data_ports, 0);
    g_ptr_array_add(h->dev.regions, &h->config_address_ports);
    g_ptr_array_add(h->dev.regions, &h->config_data_ports);
    g_ptr_array_add(h->dev.regions, &h->ecam);
}

static bool host_realize(Device *dev, GError **error)
{
    Q35Host *h = host_of(dev);
    MemoryRegion *root = domain_memory_root(dev->domain);

    memory_region_init(&h->pci_memory, "pci", UINT64_MAX);
    g_ptr_array_add(dev->regions, &h->pci_memory);
    h->ecam_mapped = false;
    memory_begin();
    memory_add(root, 0, &h->pci_memory, -1);
    init_low_memory(h, root);
    init_ports(h, domain_port_root(dev->domain));
    memory_commit();
    pci_bus_init(&h->bus, dev->domain, dev, "pcie.0");
    h->bus.memory = &h->pci_memory;
    h->bus.ports = domain_port_root(dev->domain);
    h->bus.dma_space = domain_memory(dev->domain);
    return true;
}

static void host_unrealize(Device *dev)
{
    bus_finish(&host_of(dev)->bus.bus);
}

static void host_reset(Device *dev)
{
    __atomic_store_n(&host_of(dev)->config_address, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&host_of(dev)->reset_control, 0, __ATOMIC_RELAXED);
}

static const StateDesc host_state = {
    .name = "q35-pcihost",
    .version = 1,
    .fields = (const StateField[]) {
        STATE_U32(Q35Host, config_address),
        STATE_U8(Q35Host, reset_control),
        STATE_END,
    },
};

const DeviceClass q35_host_class = {
    .name = "q35-pcihost",
    .desc = "Q35 host bridge",
    .category = "Bridge",
    .size = sizeof(Q35Host),
    .board_only = true,
    .state = &host_state,
    .realize = host_realize,
    .unrealize = host_unrealize,
    .reset = host_reset,
};
