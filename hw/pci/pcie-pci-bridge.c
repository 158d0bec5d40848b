/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bridges to conventional PCI, which has 32 slots with four pins each: pcie-pci-bridge from PCI Express (PCI Express to
 * PCI/PCI-X Bridge 1.0), the place for cards that are no Express ones, and pci-bridge from conventional PCI or the root
 * bus (PCI-to-PCI Bridge Architecture 1.2).  Identities are QEMU's, which guests' drivers know.
 *
 * An INTx of a card is that pin of the bridge to which its slot turns it (pci-bus.c); the bridge itself has nothing to
 * interrupt for.  Slot 0 is not handed out, since others keep it for a hot plug controller; cards there were named so.
 *
 * Not modelled: the standard hot plug controller, so cards stay; PCI-X; the latency timer's effect, discard timers.
 *
 * Locking: the device's lock, as pci-bridge.c has it.
 */
#include "hw/pci/pci-bridge.h"
#include "vmm/domain.h"
#include "vmm/error.h"

#define BRIDGE_VENDOR          0x1b36
#define PCIE_PCI_BRIDGE_DEVICE 0x000e
#define PCI_BRIDGE_DEVICE      0x0001
#define SLOT_ID_SIZE           4
#define SLOT_ID_SLOTS          2    /* expansion slot register */
#define SLOT_ID_CHASSIS        3
#define SLOT_ID_FIRST          0x20 /* the first bridge of its chassis */

typedef struct ConventionalBridge {
    PciBridge bridge;
    /* Configuration */
    uint8_t chassis; /* of pci-bridge */
} ConventionalBridge;

static void init_bridge(PciDevice *pci, uint16_t device)
{
    const PciInfo info = {
        .vendor = BRIDGE_VENDOR, .device = device, .class_code = 0x0604, .header_type = PCI_HEADER_TYPE_BRIDGE,
    };

    pci_set_info(pci, &info);
}

/* Behind the bridge. */
static void init_bus(PciDevice *pci)
{
    PciBus *bus = &pci_bridge(pci)->secondary;
    Device *dev = &pci->dev;
    g_autofree char *name = dev->id ? g_strdup(dev->id) : g_strdup_printf("pci.%u", domain_next_number(dev->domain));

    pci_bridge_init(pci_bridge(pci), name);
    pci->wmask[PCI_SEC_LATENCY_TIMER] = 0xf8;
    bus->conventional = true;
    bus->slot_min = 1;
}

/* ---- pcie-pci-bridge ---- */
static bool express_realize(Device *dev, GError **error)
{
    PciDevice *pci = pci_device(dev);

    if (pci_bus(pci)->conventional) {
        error_set(error, "it plugs into PCI Express, and bus '%s' is conventional PCI", pci_bus(pci)->bus.name);
        return error_hint(error, "Plug it into a pcie-root-port, or use a pci-bridge.");
    }
    init_bridge(pci, PCIE_PCI_BRIDGE_DEVICE);
    pci_add_pm(pci);
    pci_add_express(pci, PCI_EXP_TYPE_PCI_BRIDGE);
    init_bus(pci);
    return true;
}

/* ---- pci-bridge ---- */
static bool plain_realize(Device *dev, GError **error)
{
    PciDevice *pci = pci_device(dev);
    ConventionalBridge *b = (ConventionalBridge *)pci;
    uint8_t at;

    init_bridge(pci, PCI_BRIDGE_DEVICE);
    if (b->chassis) {
        at = pci_add_capability(pci, PCI_CAP_ID_SLOTID, SLOT_ID_SIZE);
        pci->config[at + SLOT_ID_SLOTS] = SLOT_ID_FIRST;
        pci->config[at + SLOT_ID_CHASSIS] = b->chassis;
    }
    init_bus(pci);
    return true;
}

static void bridge_unrealize(Device *dev)
{
    pci_bridge_finish(pci_bridge(pci_device(dev)));
}

static const Property plain_props[] = {
    PROP_UINT("chassis_nr", ConventionalBridge, chassis, 0,
              .help = "Number of the chassis its slots are in; 0: of none"),
    PROP_END,
};

/* No guest state beyond the function's config space. */
const DeviceClass pcie_pci_bridge_class = {
    .name = "pcie-pci-bridge",
    .desc = "Bridge from PCI Express to conventional PCI",
    .category = "Bridge",
    .base = &pci_bridge_class,
    .bus = &pci_bus_class,
    .size = sizeof(ConventionalBridge),
    .state = &state_none,
    .realize = express_realize,
    .unrealize = bridge_unrealize,
};

const DeviceClass pci_bridge_plain_class = {
    .name = "pci-bridge",
    .desc = "Bridge to conventional PCI",
    .category = "Bridge",
    .base = &pci_bridge_class,
    .bus = &pci_bus_class,
    .size = sizeof(ConventionalBridge),
    .props = plain_props,
    .state = &state_none,
    .realize = plain_realize,
    .unrealize = bridge_unrealize,
};
