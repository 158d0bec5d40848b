/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-pci.  Names and members are QEMU 7.2's (qapi/pci.json); what it tells is read
 * from config space, so it is what the guest sees.
 *
 * Locking: the main thread walks; each function's lock is taken while its config space is read.
 */
#include "hw/pci/pci-commands.h"

#include "hw/pci/pci-bridge.h"
#include "hw/pci/pci-internal.h"
#include "vmm/domain.h"

/* ---- what it returns ---- */

typedef struct Range { uint64_t base, limit; } Range;
static const FieldStruct range_desc = {
    .name = "PciMemoryRange", .size = sizeof(Range),
    .fields = (const Field[]) {
        F_UINT("base", Range, base, 0, .flags = FIELD_REQUIRED, .help = "First address"),
        F_UINT("limit", Range, limit, 0, .flags = FIELD_REQUIRED, .help = "Last address"),
        FIELD_END
    },
};

typedef struct Region { int64_t bar; char *type; int64_t address, size; bool memory, prefetch, wide; } Region;
static const FieldStruct region_desc = {
    .name = "PciMemoryRegion", .size = sizeof(Region),
    .fields = (const Field[]) {
        F_INT("bar", Region, bar, 0, .flags = FIELD_REQUIRED, .help = "Its number"),
        F_STR("type", Region, type, NULL, .flags = FIELD_REQUIRED, .help = "io or memory"),
        F_INT("address", Region, address, 0, .flags = FIELD_REQUIRED, .help = "Where it is, as far as it was given"),
        F_INT("size", Region, size, 0, .flags = FIELD_REQUIRED, .help = "Bytes"),
        F_BOOL("prefetch", Region, prefetch, false, FIELD_HAS(Region, memory), .help = "Whether it is prefetchable"),
        F_BOOL("mem_type_64", Region, wide, false, FIELD_HAS(Region, memory), .help = "Whether it may lie above 4 GiB"),
        FIELD_END
    },
};
static const Field region_element = FIELD_VALUE(FIELD_STRUCT, Region, .of.structure = &region_desc);

typedef struct ClassInfo { char *desc; int64_t code; } ClassInfo;
static const FieldStruct class_desc = {
    .name = "PciDeviceClass", .size = sizeof(ClassInfo),
    .fields = (const Field[]) {
        F_STR("desc", ClassInfo, desc, NULL, .help = "Its name, where it has one"),
        F_INT("class", ClassInfo, code, 0, .flags = FIELD_REQUIRED, .help = "Base class and subclass"),
        FIELD_END
    },
};

typedef struct IdInfo { int64_t device, vendor, subsystem, subsystem_vendor; bool has_subsystem; } IdInfo;
static const FieldStruct id_desc = {
    .name = "PciDeviceId", .size = sizeof(IdInfo),
    .fields = (const Field[]) {
        F_INT("device", IdInfo, device, 0, .flags = FIELD_REQUIRED, .help = "Device id"),
        F_INT("vendor", IdInfo, vendor, 0, .flags = FIELD_REQUIRED, .help = "Vendor id"),
        F_INT("subsystem", IdInfo, subsystem, 0, FIELD_HAS(IdInfo, has_subsystem), .help = "Subsystem id"),
        F_INT("subsystem-vendor", IdInfo, subsystem_vendor, 0, FIELD_HAS(IdInfo, has_subsystem),
              .help = "Subsystem vendor id"),
        FIELD_END
    },
};

typedef struct BusInfo { int64_t number, secondary, subordinate; Range io, memory, prefetchable; } BusInfo;
static const FieldStruct bus_desc = {
    .name = "PciBusInfo", .size = sizeof(BusInfo),
    .fields = (const Field[]) {
        F_INT("number", BusInfo, number, 0, .flags = FIELD_REQUIRED, .help = "The bus that the bridge is on"),
        F_INT("secondary", BusInfo, secondary, 0, .flags = FIELD_REQUIRED, .help = "The bus behind it"),
        F_INT("subordinate", BusInfo, subordinate, 0, .flags = FIELD_REQUIRED, .help = "The last bus behind it"),
        F_STRUCT("io_range", BusInfo, io, &range_desc, .flags = FIELD_REQUIRED, .help = "Ports that it forwards"),
        F_STRUCT("memory_range", BusInfo, memory, &range_desc, .flags = FIELD_REQUIRED,
                 .help = "Memory that it forwards"),
        F_STRUCT("prefetchable_range", BusInfo, prefetchable, &range_desc, .flags = FIELD_REQUIRED,
                 .help = "Prefetchable memory that it forwards"),
        FIELD_END
    },
};

static const FieldStruct function_desc; /* a bridge has functions behind it */
typedef struct FunctionInfo FunctionInfo;
typedef struct BridgeInfo { BusInfo bus; FieldList devices; } BridgeInfo;
struct FunctionInfo {
    int64_t bus, slot, function;
    ClassInfo class;
    IdInfo id;
    int64_t irq, irq_pin;
    bool has_irq;
    char *qdev_id;
    BridgeInfo *bridge;
    FieldList regions;
};
static const Field function_element = FIELD_VALUE(FIELD_STRUCT, FunctionInfo, .of.structure = &function_desc);
static const FieldStruct bridge_desc = {
    .name = "PciBridgeInfo", .size = sizeof(BridgeInfo),
    .fields = (const Field[]) {
        F_STRUCT("bus", BridgeInfo, bus, &bus_desc, .flags = FIELD_REQUIRED, .help = "What it connects and forwards"),
        F_LIST("devices", BridgeInfo, devices, &function_element, .flags = FIELD_REQUIRED, .help = "What is behind it"),
        FIELD_END
    },
};
static const FieldStruct function_desc = {
    .name = "PciDeviceInfo", .size = sizeof(FunctionInfo),
    .fields = (const Field[]) {
        F_INT("bus", FunctionInfo, bus, 0, .flags = FIELD_REQUIRED, .help = "Bus number"),
        F_INT("slot", FunctionInfo, slot, 0, .flags = FIELD_REQUIRED, .help = "Slot"),
        F_INT("function", FunctionInfo, function, 0, .flags = FIELD_REQUIRED, .help = "Function"),
        F_STRUCT("class_info", FunctionInfo, class, &class_desc, .flags = FIELD_REQUIRED, .help = "What it is"),
        F_STRUCT("id", FunctionInfo, id, &id_desc, .flags = FIELD_REQUIRED, .help = "Who made it"),
        F_INT("irq", FunctionInfo, irq, 0, FIELD_HAS(FunctionInfo, has_irq), .help = "Interrupt line register"),
        F_INT("irq_pin", FunctionInfo, irq_pin, 0, .flags = FIELD_REQUIRED, .help = "Interrupt pin; 0: none"),
        F_STR("qdev_id", FunctionInfo, qdev_id, NULL, .flags = FIELD_REQUIRED, .help = "The device's id, or nothing"),
        F_STRUCT("pci_bridge", FunctionInfo, bridge, &bridge_desc, .flags = FIELD_POINTER, .help = "If it is a bridge"),
        F_LIST("regions", FunctionInfo, regions, &region_element, .flags = FIELD_REQUIRED, .help = "Its BARs"),
        FIELD_END
    },
};

typedef struct RootInfo { int64_t bus; FieldList devices; } RootInfo;
static const FieldStruct root_desc = {
    .name = "PciInfo", .size = sizeof(RootInfo),
    .fields = (const Field[]) {
        F_INT("bus", RootInfo, bus, 0, .flags = FIELD_REQUIRED, .help = "Number of a root bus"),
        F_LIST("devices", RootInfo, devices, &function_element, .flags = FIELD_REQUIRED, .help = "What is on it"),
        FIELD_END
    },
};
static const Field root_element = FIELD_VALUE(FIELD_STRUCT, RootInfo, .of.structure = &root_desc);

/* ---- reading; the function's lock is held ---- */

static FieldList read_regions(const PciDevice *pci)
{
    GArray *regions = g_array_new(FALSE, FALSE, sizeof(Region));
    FieldList list;

    for (unsigned i = 0; i < PCI_BARS; i++) {
        PciBarKind kind = pci->bar_kind[i];
        bool wide = kind == PCI_BAR_MEM64 || kind == PCI_BAR_MEM64_PREFETCH;
        Region r;

        if (!pci->bar[i]) {
            continue;
        }
        r = (Region) {
            .bar = i, .type = g_strdup(kind == PCI_BAR_IO ? "io" : "memory"), .memory = kind != PCI_BAR_IO,
            .address = pci_config_long(pci, PCI_BASE_ADDRESS_0 + 4 * i) & (kind == PCI_BAR_IO ? ~3u : ~15u),
            .size = (int64_t)pci->bar[i]->size, .prefetch = kind == PCI_BAR_MEM64_PREFETCH, .wide = wide,
        };
        if (wide) {
            r.address |= (int64_t)((uint64_t)pci_config_long(pci, PCI_BASE_ADDRESS_0 + 4 * i + 4) << 32);
        }
        g_array_append_val(regions, r);
    }
    list.n = regions->len;
    list.items = g_array_free(regions, FALSE);
    return list;
}

/* PCI-to-PCI Bridge Architecture 1.2, 3.2.5.6 to 3.2.5.12. */
static BusInfo read_bridge(const PciDevice *pci)
{
    uint64_t upper_base = pci_config_long(pci, PCI_PREF_BASE_UPPER32);
    uint64_t upper_limit = pci_config_long(pci, PCI_PREF_LIMIT_UPPER32);

    return (BusInfo) {
        .number = pci_config_byte(pci, PCI_PRIMARY_BUS),
        .secondary = pci_config_byte(pci, PCI_SECONDARY_BUS),
        .subordinate = pci_config_byte(pci, PCI_SUBORDINATE_BUS),
        .io = { (pci_config_byte(pci, PCI_IO_BASE) & 0xf0u) << 8 |
                    (uint32_t)pci_config_word(pci, PCI_IO_BASE_UPPER16) << 16,
                (pci_config_byte(pci, PCI_IO_LIMIT) & 0xf0u) << 8 | 0xfff |
                    (uint32_t)pci_config_word(pci, PCI_IO_LIMIT_UPPER16) << 16 },
        .memory = { (pci_config_word(pci, PCI_MEMORY_BASE) & 0xfff0u) << 16,
                    (pci_config_word(pci, PCI_MEMORY_LIMIT) & 0xfff0u) << 16 | 0xfffff },
        .prefetchable = { upper_base << 32 | (pci_config_word(pci, PCI_PREF_MEMORY_BASE) & 0xfff0u) << 16,
                          upper_limit << 32 | (pci_config_word(pci, PCI_PREF_MEMORY_LIMIT) & 0xfff0u) << 16 | 0xfffff },
    };
}

/* PCI Code and ID Assignment 1.11, in the words of QEMU's monitor. */
static const char *class_name(uint16_t code)
{
    static const struct { uint16_t code; const char *name; } names[] = {
        { 0x0100, "SCSI controller" }, { 0x0101, "IDE controller" },  { 0x0104, "RAID controller" },
        { 0x0106, "SATA controller" }, { 0x0180, "Storage controller" }, { 0x0200, "Ethernet controller" },
        { 0x0280, "Network controller" }, { 0x0300, "VGA controller" }, { 0x0302, "3D controller" },
        { 0x0380, "Display controller" }, { 0x0400, "Video controller" }, { 0x0401, "Audio controller" },
        { 0x0403, "Audio controller" }, { 0x0500, "RAM controller" }, { 0x0580, "Memory controller" },
        { 0x0600, "Host bridge" }, { 0x0601, "ISA bridge" }, { 0x0604, "PCI bridge" }, { 0x0680, "Bridge" },
        { 0x0700, "Serial port" }, { 0x0701, "Parallel port" }, { 0x0c03, "USB controller" }, { 0x0c05, "SMBus" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (names[i].code == code) {
            return names[i].name;
        }
    }
    return NULL;
}

static FunctionInfo read_function(PciDevice *pci)
{
    bool plain = !pci_is_bridge(pci);
    uint8_t pin = pci_config_byte(pci, PCI_INTERRUPT_PIN);

    return (FunctionInfo) {
        .slot = pci->devfn >> 3, .function = pci->devfn & 7,
        .class = { g_strdup(class_name(pci_config_word(pci, PCI_CLASS_DEVICE))),
                   pci_config_word(pci, PCI_CLASS_DEVICE) },
        .id = { .device = pci_config_word(pci, PCI_DEVICE_ID), .vendor = pci_config_word(pci, PCI_VENDOR_ID),
                .has_subsystem = plain, .subsystem = pci_config_word(pci, PCI_SUBSYSTEM_ID),
                .subsystem_vendor = pci_config_word(pci, PCI_SUBSYSTEM_VENDOR_ID) },
        .irq_pin = pin, .has_irq = pin != 0, .irq = pci_config_byte(pci, PCI_INTERRUPT_LINE),
        .qdev_id = g_strdup(pci->dev.id ? pci->dev.id : ""),
        .regions = read_regions(pci),
    };
}

/* ---- the walk ---- */

static FieldList list_bus(PciBus *bus)
{
    GArray *functions = g_array_new(FALSE, FALSE, sizeof(FunctionInfo));
    FieldList list;

    for (unsigned i = 0; i < PCI_DEVFN_COUNT; i++) {
        PciDevice *pci = bus->function[i];
        FunctionInfo info;

        if (!pci) {
            continue;
        }
        lock_acquire(pci->dev.lock);
        info = read_function(pci);
        info.bus = pci_bus_number(bus);
        if (pci_is_bridge(pci)) {
            info.bridge = g_new0(BridgeInfo, 1);
            info.bridge->bus = read_bridge(pci);
        }
        lock_release(pci->dev.lock);
        if (info.bridge) {
            info.bridge->devices = list_bus(pci_bridge_secondary(pci));
        }
        g_array_append_val(functions, info);
    }
    list.n = functions->len;
    list.items = g_array_free(functions, FALSE);
    return list;
}

/* The host bridge is among the devices, and so its bus. */
static bool add_root(Device *dev, void *roots)
{
    for (unsigned i = 0; i < dev->buses->len; i++) {
        Bus *bus = g_ptr_array_index(dev->buses, i);
        RootInfo root;

        if (bus->class == &pci_bus_class && !((PciBus *)bus)->bridge) {
            root = (RootInfo) { pci_bus_number((PciBus *)bus), list_bus((PciBus *)bus) };
            g_array_append_val((GArray *)roots, root);
        }
    }
    return true;
}

static bool query_pci(CommandCall *call, const void *args, void *ret, GError **error)
{
    GArray *roots = g_array_new(FALSE, FALSE, sizeof(RootInfo));
    FieldList *list = ret;

    device_each(call->domain, add_root, roots);
    list->n = roots->len;
    list->items = g_array_free(roots, FALSE);
    return true;
}

const Command pci_commands[] = {
    { "query-pci", query_pci, NULL, COMMAND_RETURNS_LIST(&root_element), .help = "List the PCI functions" },
    COMMAND_END
};
